"""HTTP for the feed: a polite client with a cache, a pause between requests, and a guard against private addresses."""
