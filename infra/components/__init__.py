"""What machines are made of: a folder a component, its deploy beside its templates and facts."""
