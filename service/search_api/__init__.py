"""The search API: full-text search over the user's own MySQL or MariaDB databases."""
