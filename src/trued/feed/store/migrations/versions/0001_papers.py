"""The tables of the daily papers, and the full-text index that the database itself keeps in step with them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Title 5, authors 2, abstract 1; words by their stems. The index contains no text, and triggers follow every change.
REMOVE = (
    "INSERT INTO papers_fts(papers_fts, rowid, title, names, abstract) "
    "VALUES ('delete', old.uid, old.title, old.names, old.abstract);"
)
INSERT = "INSERT INTO papers_fts(rowid, title, names, abstract) VALUES (new.uid, new.title, new.names, new.abstract);"
FTS5 = (
    """CREATE VIRTUAL TABLE papers_fts USING fts5(
        title, names, abstract, content='papers', content_rowid='uid',
        tokenize="porter unicode61 remove_diacritics 2", prefix='2 3'
    )""",
    "INSERT INTO papers_fts(papers_fts, rank) VALUES ('rank', 'bm25(5.0, 2.0, 1.0)')",
    f"CREATE TRIGGER papers_added AFTER INSERT ON papers BEGIN {INSERT} END",
    f"CREATE TRIGGER papers_removed AFTER DELETE ON papers BEGIN {REMOVE} END",
    f"CREATE TRIGGER papers_changed AFTER UPDATE OF title, names, abstract ON papers BEGIN {REMOVE} {INSERT} END",
)

# PostgreSQL: the same weights as classes A, B and C, stems without a list of stop words, no diacritics, cut at ASCII
# punctuation as FTS5 does it (PostgreSQL's own parser would keep "text/image" as the name of a file).
STEMS = (
    "CREATE TEXT SEARCH DICTIONARY papers_stem (TEMPLATE = snowball, Language = english)",
    "CREATE TEXT SEARCH CONFIGURATION papers_words (COPY = simple)",
    "ALTER TEXT SEARCH CONFIGURATION papers_words ALTER MAPPING FOR asciiword, word, hword, asciihword, hword_part, "
    "hword_asciipart WITH papers_stem",
)
FOLDED = (
    r"regexp_replace(regexp_replace(normalize({}, NFD), '[\u0300-\u036f]+', '', 'g'), '[!-/:-@\[-`{{-~]+', ' ', 'g')"
)
WEIGHED = " || ".join(
    f"setweight(to_tsvector('papers_words', {FOLDED.format(column)}), '{weight}')"
    for column, weight in (("title", "A"), ("names", "B"), ("abstract", "C"))
)


def upgrade() -> None:
    op.create_table(
        "digests",
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("period_key", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("email", "period_key"),
    )
    op.create_table(
        "facts",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "papers",
        sa.Column("uid", sa.Integer(), nullable=False),
        sa.Column("arxiv", sa.String(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("title_key", sa.String(), nullable=False),
        sa.Column("abstract", sa.String(), nullable=False),
        sa.Column("names", sa.String(), nullable=False),
        sa.Column("authors", sa.JSON(), nullable=False),
        sa.Column("authors_count", sa.Integer(), nullable=True),
        sa.Column("organization", sa.String(), nullable=True),
        sa.Column("published", sa.Date(), nullable=True),
        sa.Column("date_inferred", sa.Boolean(), nullable=False),
        sa.Column("upvotes", sa.Integer(), nullable=True),
        sa.Column("comments", sa.Integer(), nullable=True),
        sa.Column("categories", sa.JSON(), nullable=False),
        sa.Column("subjects", sa.String(), nullable=False),
        sa.Column("links", sa.JSON(), nullable=False),
        sa.Column("has_code", sa.Boolean(), nullable=False),
        sa.Column("doi", sa.String(), nullable=True),
        sa.Column("journal", sa.String(), nullable=True),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=True),
        sa.Column("submitted_by", sa.String(), nullable=True),
        sa.Column("extra", sa.JSON(), nullable=False),
        sa.Column("origin", sa.JSON(), nullable=False),
        sa.Column("day", sa.Date(), nullable=True),
        sa.Column("shown", sa.Date(), nullable=True),
        sa.Column("votes", sa.Integer(), nullable=False),
        sa.Column("remarks", sa.Integer(), nullable=False),
        sa.Column("popularity", sa.Integer(), nullable=False),
        sa.Column("heat", sa.Double(), nullable=True),
        sa.Column("stamp", sa.Integer(), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("uid"),
        sa.UniqueConstraint("arxiv"),
    )
    op.create_index("ix_papers_day_rank", "papers", ["day", "rank"], unique=False)
    op.create_index("ix_papers_heat", "papers", ["heat"], unique=False)
    op.create_index("ix_papers_popularity", "papers", ["popularity"], unique=False)
    op.create_index("ix_papers_published", "papers", ["published"], unique=False)
    op.create_index("ix_papers_shown", "papers", ["shown"], unique=False)
    op.create_index("ix_papers_stamp", "papers", ["stamp"], unique=False)
    op.create_index("ix_papers_title_key", "papers", ["title_key"], unique=False)
    op.create_table(
        "saved_queries",
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("q", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("person", "name"),
    )
    op.create_table(
        "subscribers",
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("q", sa.String(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("nonce", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("email"),
    )
    op.create_index("ix_subscribers_state", "subscribers", ["state"], unique=False)
    op.create_table(
        "bookmarks",
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("uid", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["uid"], ["papers.uid"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("person", "uid"),
    )
    op.create_table(
        "comments",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.Integer(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["uid"], ["papers.uid"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_comments_uid", "comments", ["uid"], unique=False)
    op.create_table(
        "notes",
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("uid", sa.Integer(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["uid"], ["papers.uid"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("person", "uid"),
    )
    op.create_table(
        "reads",
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("uid", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["uid"], ["papers.uid"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("person", "uid"),
    )
    op.create_table(
        "snapshots",
        sa.Column("uid", sa.Integer(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("upvotes", sa.Integer(), nullable=False),
        sa.Column("comments", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["uid"], ["papers.uid"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("uid", "day"),
    )
    op.create_table(
        "tags",
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("tag", sa.String(), nullable=False),
        sa.Column("uid", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["uid"], ["papers.uid"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("person", "tag", "uid"),
    )
    op.create_table(
        "votes",
        sa.Column("uid", sa.Integer(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["uid"], ["papers.uid"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("uid", "person"),
    )
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        for statement in FTS5:
            connection.exec_driver_sql(statement)
    else:
        for statement in STEMS:
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql(f"ALTER TABLE papers ADD COLUMN fts tsvector GENERATED ALWAYS AS ({WEIGHED}) STORED")
        op.create_index("ix_papers_fts", "papers", ["fts"], postgresql_using="gin")


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE papers_fts")
    for table in (
        "votes",
        "tags",
        "snapshots",
        "reads",
        "notes",
        "comments",
        "bookmarks",
        "subscribers",
        "saved_queries",
        "papers",
        "facts",
        "digests",
    ):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TEXT SEARCH CONFIGURATION papers_words")
        op.execute("DROP TEXT SEARCH DICTIONARY papers_stem")
