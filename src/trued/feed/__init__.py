"""The daily papers: where they come from, how they are kept, found, ordered and handed on.

Knows papers as a feed tells of them. Knows nothing of claims, models or web pages; importing it is cheap.
"""
