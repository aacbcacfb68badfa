"""Alembic's entry point: runs on the connection that search_api.migrate opened and locked."""

from alembic import context

from search_api.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transaction_per_migration=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
