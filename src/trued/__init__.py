"""trued: measure, attack, train, steer and repair models, and check what papers claim about it."""

__version__ = "0.1.0"
