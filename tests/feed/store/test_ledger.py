"""A digest is claimed by one sender only, whatever happens to it; subscribers come back as they were put."""

import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from trued.errors import InputError
from trued.feed.paper_store import Digest, PaperStore, Subscriber

ADA = Subscriber("ada@example.org", "daily", "year:2025", "pending", nonce="n1")


def test_subscribers(either, clock):
    either.put_subscriber(ADA)
    kept = either.subscriber("ada@example.org")
    assert kept == replace(ADA, since=clock.now)
    either.put_subscriber(replace(kept, state="active"))
    either.put_subscriber(Subscriber("eve@example.org", "weekly", state="active"))
    either.put_subscriber(Subscriber("bob@example.org", "daily", state="bounced", reason="550"))
    assert [one.email for one in either.subscribers()] == ["ada@example.org", "eve@example.org"]
    assert [one.email for one in either.subscribers(period="weekly")] == ["eve@example.org"]
    assert [one.reason for one in either.subscribers(state="bounced")] == ["550"]
    assert len(either.subscribers(state=None)) == 3
    assert either.subscriber("nobody@example.org") is None


def test_a_digest_is_claimed_once(either, clock):
    assert either.claim_digest("a@b", "2025-12-10")
    assert not either.claim_digest("a@b", "2025-12-10")
    assert either.claim_digest("a@b", "2025-12-11")
    assert either.claim_digest("c@d", "2025-12-10")
    either.settle_digest("a@b", "2025-12-10", "sent")
    assert not either.claim_digest("a@b", "2025-12-10")
    assert {(one.period_key, one.state) for one in either.digests("a@b")} == {
        ("2025-12-10", "sent"),
        ("2025-12-11", "claimed"),
    }
    assert Digest("a@b", "2025-12-10", "sent", clock.now) in either.digests()


def test_one_that_surely_failed_may_be_tried_again_once(either):
    assert either.claim_digest("a@b", "2025-12-10")
    either.settle_digest("a@b", "2025-12-10", "failed")
    assert either.claim_digest("a@b", "2025-12-10")
    assert not either.claim_digest("a@b", "2025-12-10")


def test_settling_needs_a_claim_and_an_outcome(either):
    with pytest.raises(InputError, match="no digest of 2025-12-10 for a@b was claimed"):
        either.settle_digest("a@b", "2025-12-10", "sent")
    either.claim_digest("a@b", "2025-12-10")
    with pytest.raises(InputError, match="not as 'claimed'"):
        either.settle_digest("a@b", "2025-12-10", "claimed")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_of_many_senders_at_once_one_wins(kind, tmp_path, request):
    url = f"sqlite:///{tmp_path}/papers.db" if kind == "sqlite" else request.getfixturevalue("empty_postgres")
    stores, won, start = [PaperStore(url) for _ in range(4)], [], threading.Barrier(4)

    def claim(store):
        start.wait()
        for day in range(5):
            if store.claim_digest("a@b", f"2025-12-{day:02}"):
                won.append(day)

    threads = [threading.Thread(target=claim, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == list(range(5))
    for store in stores:
        store.close()


def test_a_claim_outlives_a_sender_that_is_killed(tmp_path, clock):
    url = f"sqlite:///{tmp_path}/papers.db"
    code = (
        "import os, signal; from trued.feed.paper_store import PaperStore; "
        f"PaperStore({url!r}).claim_digest('a@b', '2025-12-10'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    store = PaperStore(url)
    assert not store.claim_digest("a@b", "2025-12-10")
    assert store.doctor() == []  # it may still be at work
    clock.now = store.now().replace(year=2100)
    late = PaperStore(url, clock=clock)
    assert late.doctor() == [
        "1 digest was begun and never settled (2025-12-10 to a@b): its sender was cut off, and it is not sent again "
        "lest it come twice"
    ]
