"""The conductor: builds a release, rolls it out, judges it, takes it back, and records all of it."""
