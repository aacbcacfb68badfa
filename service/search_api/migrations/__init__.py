"""Alembic migrations. MySQL commits each DDL statement by itself: a revision makes one change and can be run again."""
