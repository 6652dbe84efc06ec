"""The store of papers: tables, ingest, and what people leave beside a paper."""
