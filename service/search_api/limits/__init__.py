"""How much each caller may ask: tiers of API keys, addresses, users; counted in Redis, or locally while it is away."""
