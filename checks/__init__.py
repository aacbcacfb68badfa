"""How we know that a fleet is ready: the catalogue, its checks, and the sabotages that prove them."""
