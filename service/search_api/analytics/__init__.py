"""What recorded searches say: figures of a user, and of the whole service for its administrators."""
