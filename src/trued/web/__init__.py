"""The web page: the feed, the papers, the board of what was measured."""
