"""Checks of the machines, their balancer and what watches them."""
