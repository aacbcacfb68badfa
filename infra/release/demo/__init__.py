"""`make demo`: a fleet, a release, a better one, and one that fails under load and is taken back."""
