"""How we know that it is fast: users, scenarios, pacing, objectives and the verdict."""
