"""The picture that a source names for a paper, and the small copy of it that the page shows."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Until now the address stood among the things that the source says beyond the fields.
SQLITE = (
    "UPDATE papers SET thumbnail = json_extract(extra, '$.thumbnail'), extra = json_remove(extra, '$.thumbnail') "
    "WHERE json_type(extra, '$.thumbnail') = 'text'"
)
POSTGRESQL = (
    "UPDATE papers SET thumbnail = extra ->> 'thumbnail', extra = (extra::jsonb - 'thumbnail')::json "
    "WHERE json_typeof(extra -> 'thumbnail') = 'string'"
)


def upgrade() -> None:
    op.add_column("papers", sa.Column("thumbnail", sa.String(), nullable=True))
    op.create_table(
        "thumbnails",
        sa.Column("uid", sa.Integer(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("image", sa.LargeBinary(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["uid"], ["papers.uid"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("uid"),
    )
    op.execute(SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRESQL)


def downgrade() -> None:
    op.drop_table("thumbnails")
    op.drop_column("papers", "thumbnail")
