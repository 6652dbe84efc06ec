"""How Alembic reaches the database: by the connection, and in the transaction, of whoever calls it."""

from alembic import context

from trued.feed.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=context.config.get_main_option("version_table") or "feed_version",
    render_as_batch=True,  # SQLite can't alter a column in place
)
with context.begin_transaction():
    context.run_migrations()
