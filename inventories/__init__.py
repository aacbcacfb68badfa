"""One truth for pyinfra, testinfra and locust: which machines there are and what is declared about them."""
