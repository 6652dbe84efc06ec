"""Papers as Atom, RSS, JSON Feed and OPML."""
