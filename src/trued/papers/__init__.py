"""Papers: what each one is and what it claims, before anything is run.

Knows titles, dates and claims. Knows nothing of methods, experiments or tensors; importing it is cheap.
"""

from trued.papers.card import Better, Card, Claim, Margin, PaperFigures, load_card
from trued.papers.catalogue import State, cards, state

__all__ = ["Better", "Card", "Claim", "Margin", "PaperFigures", "State", "cards", "load_card", "state"]
