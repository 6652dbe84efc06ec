"""Pictures that papers name: fetched from the feed's own server alone, checked, drawn anew and small, and once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from io import BytesIO
from pathlib import Path

import pytest
from local_web import LocalWeb, Reply
from PIL import Image

from trued.errors import InputError
from trued.feed.http.client import Client
from trued.feed.paper import FeedPaper
from trued.feed.thumbnails import LARGEST, MOST_PIXELS, SIZE, fetch_thumbnails, is_of_the_feed, small


def picture(kind: str = "PNG", size: tuple[int, int] = (1200, 600), colour: str = "red", **options: object) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalWeb]:
    with LocalWeb() as web:
        monkeypatch.setenv("TRUED_HF_URL", web.url)
        monkeypatch.setattr("trued.feed.thumbnails.EVERY", 0.0)
        yield web


@pytest.fixture
def client(web: LocalWeb, tmp_path: Path) -> Client:
    return Client(bases=[web.url], folder=tmp_path, retries=0, wait=lambda _: None)


def put(store, *addresses: str) -> list[FeedPaper]:
    papers = [
        FeedPaper(f"Paper {n}", thumbnail=address, published=date(2025, 12, 10), source="huggingface")
        for n, address in enumerate(addresses, start=1)
    ]
    store.ingest(papers)
    return papers


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_picture_is_drawn_anew_and_small(kind: str) -> None:
    content = small(picture(kind, comment=b"<script>") if kind in ("JPEG", "GIF") else picture(kind))
    with Image.open(BytesIO(content)) as image:
        assert image.format == "WEBP"
        assert image.size == (480, 240)
        red, green, blue = image.convert("RGB").getpixel((5, 5))
    assert red > 240
    assert max(green, blue) < 15
    assert b"<script>" not in content


def test_a_small_picture_keeps_its_size_and_what_is_clear_becomes_white() -> None:
    buffer = BytesIO()
    Image.new("RGBA", (40, 30), (0, 0, 0, 0)).save(buffer, "PNG")
    with Image.open(BytesIO(small(buffer.getvalue()))) as image:
        assert image.size == (40, 30)
        assert min(image.convert("RGB").getpixel((20, 15))) > 250


@pytest.mark.parametrize(
    "content",
    [b"", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, picture()[:300],
     picture("TIFF"), picture("BMP", (8, 8))],
)  # fmt: skip
def test_what_is_no_picture_is_refused(content: bytes) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        small(content)


def test_a_picture_with_too_many_pixels_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.Image.Image.convert", lambda *_: pytest.fail("it was unpacked"))
    side = int(MOST_PIXELS**0.5) + 1
    buffer = BytesIO()
    Image.new("1", (side, side)).save(buffer, "PNG")
    with pytest.raises(InputError, match="that many are not read"):
        small(buffer.getvalue())


def test_only_the_feeds_own_pictures_are_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRUED_HF_URL", raising=False)
    assert is_of_the_feed("https://cdn-thumbnails.huggingface.co/social-thumbnails/papers/2512.01234.png")
    assert is_of_the_feed("https://huggingface.co/x.png")
    for address in (
        "http://cdn-thumbnails.huggingface.co/x.png", "https://evil.example/x.png", "https://nothuggingface.co/x.png",
        "https://huggingface.co.evil.example/x.png", "https://huggingface.co@evil.example/x.png", "ftp://hf.co/x.png",
        "http://127.0.0.1/x.png", "nothing",
    ):  # fmt: skip
        assert not is_of_the_feed(address), address


def test_pictures_are_fetched_once(web: LocalWeb, client: Client, store) -> None:
    web.answer("/a.png", Reply(picture(), headers={"Content-Type": "image/png"}))
    papers = put(store, f"{web.url}/a.png", "https://evil.example/b.png")
    steps: list[tuple[int, int]] = []

    assert fetch_thumbnails(store, papers, client=client, progress=lambda *step: steps.append(step)) == 1
    assert steps == [(1, 2), (2, 2)]
    assert list(store.thumbnail_digests([1, 2])) == [1]
    with Image.open(BytesIO(store.thumbnail(1))) as image:
        assert image.width <= SIZE[0]
    assert fetch_thumbnails(store, papers, client=client) == 0
    assert web.paths() == ["/a.png"]


@pytest.mark.parametrize(
    "reply",
    [
        Reply("gone", 404),
        Reply("<html>", headers={"Content-Type": "text/html"}),
        Reply(picture(), headers={"Content-Type": "text/html"}),
        Reply(b"\0" * (LARGEST + 1), headers={"Content-Type": "image/png"}),
        Reply(b"broken", headers={"Content-Type": "image/png"}),
    ],
    ids=["absent", "page", "picture-as-page", "too-large", "broken"],
)
def test_what_cannot_be_shown_is_tried_again_after_a_week(
    web: LocalWeb, client: Client, store, clock, reply: Reply
) -> None:
    web.answer("/a.png", reply)
    papers = put(store, f"{web.url}/a.png")
    assert fetch_thumbnails(store, papers, client=client) == 0
    assert store.thumbnail(1) is None
    clock.pass_(days=6)
    assert fetch_thumbnails(store, papers, client=client) == 0
    assert len(web.asked) == 1
    clock.pass_(days=2)
    web.answer("/a.png", Reply(picture(), headers={"Content-Type": "image/png"}))
    assert fetch_thumbnails(store, papers, client=client) == 1


def test_a_server_that_fails_is_left_alone_and_asked_the_next_time(web: LocalWeb, client: Client, store) -> None:
    papers = put(store, *(f"{web.url}/{n}.png" for n in range(9)))
    for n in range(9):
        web.answer(f"/{n}.png", Reply(status=503), Reply(picture(), headers={"Content-Type": "image/png"}))
    assert fetch_thumbnails(store, papers, client=client) == 0
    assert len(web.asked) == 3
    assert fetch_thumbnails(store, papers, client=client) == 3, "the three that failed, and three that fail now"
    assert len(web.asked) == 9


def test_offline_nothing_is_fetched(web: LocalWeb, store, tmp_path: Path) -> None:
    papers = put(store, f"{web.url}/a.png")
    assert fetch_thumbnails(store, papers, client=Client(bases=[web.url], folder=tmp_path, offline=True)) == 0
    assert store.lacking_thumbnails([f"{web.url}/a.png"]) == {1: f"{web.url}/a.png"}
