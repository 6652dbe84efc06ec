"""Emoji: which are listed, and what is drawn, with a font made here; the real font in the slow tests."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trued.data import emoji as subject
from trued.data.emoji import draw, emojis, pictures
from trued.errors import InputError


class Font:
    """Stands in for the colour font: knows two characters."""

    known = "🦕🚲"

    def getmask(self, character):
        return b"picture" if character in self.known else b"blank"


def test_only_single_characters_with_a_picture_are_listed(monkeypatch):
    monkeypatch.setattr(subject, "_font", Font)
    for memory in (subject._blank, subject._has_picture):
        memory.cache_clear()
    try:
        assert [(emoji.character, emoji.name) for emoji in emojis()] == [("🚲", "bicycle"), ("🦕", "sauropod")]
        with pytest.raises(InputError, match="no picture of '🐈'"):
            draw("🐈")
    finally:
        for memory in (subject._blank, subject._has_picture):
            memory.cache_clear()


@pytest.mark.slow
def test_the_real_font_has_coloured_pictures_of_different_emoji():
    result = emojis()
    assert len(result) == 1391
    assert len({emoji.name for emoji in result}) == len(result)
    assert not any("\u200d" in emoji.character or len(emoji.character) > 1 for emoji in result)
    drawn = pictures([emoji.character for emoji in result[::100]], 96)
    assert drawn.shape == (14, 3, 96, 96)
    assert 0 <= drawn.min() < 0.2
    assert drawn.max() == 1
    colours = [len(np.unique((emoji.numpy() * 255).round().reshape(3, -1), axis=1).T) for emoji in drawn]
    assert min(colours) > 40
    assert not torch.equal(drawn[0], drawn[1])
    square = draw("🦕", 64)
    ink = np.argwhere((square < 0.9).any(-1))
    sides = ink.max(0) - ink.min(0) + 1
    assert 0.84 * 64 <= sides.max() <= 0.96 * 64  # the margin of a twentieth
    assert abs(ink.min(0) + ink.max(0) - 63).max() <= 4  # in the middle
