"""The pictures that the daily papers name, fetched when papers come in and kept small in the store.

A page shows them from its own address, so that who reads it asks nobody else for anything. Only pictures of the
feed's own server are fetched, and what is kept is never their bytes but a small picture drawn anew from them.

Knows addresses and pictures. Knows nothing of pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from io import BytesIO
from typing import TYPE_CHECKING

import httpx2

from trued.errors import InputError
from trued.feed.http.client import HF_URL, Client, FetchError, TooLargeError, base_url, default_client
from trued.feed.http.guard import origin, origins
from trued.feed.paper import FeedPaper
from trued.files import cache_dir

if TYPE_CHECKING:
    from trued.feed.paper_store import PaperStore

SIZE = (480, 320)  # pixels at most: twice what a list shows
LARGEST = 8 << 20  # bytes of a picture
MOST_PIXELS = 25_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
EVERY = 0.2  # seconds between two requests to one host; pictures come from a network made for them
MOST_FAILURES = 3  # in a row: then the server is left alone until the next time
_OWN_HOSTS = ("huggingface.co", "hf.co")


def fetch_thumbnails(
    store: PaperStore,
    papers: Iterable[FeedPaper],
    *,
    client: Client | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> int:
    """Fetch the pictures that these papers name and the store lacks; each is kept as it comes.

    A picture that is not there, is too large, or is none is noted as such and not fetched again for a week. If the
    server does not answer, the rest is left for the next time.

    Args:
        papers: as a source tells of them; the store has them already.
        client: fetches them; one that gives up soon if None. Offline, nothing is done.
        progress: is called with (pictures done, how many there are) after each.

    Returns:
        How many pictures the store has now that it lacked before.
    """
    client = client or default_client(retries=1, timeout=10.0, deadline=30.0, folder=cache_dir() / "feed" / "pictures")
    if client.offline:
        return 0
    lacking = store.lacking_thumbnails(paper.thumbnail for paper in papers if paper.thumbnail)
    added = failures = 0
    for done, (uid, url) in enumerate(lacking.items(), start=1):
        try:
            image = fetch_thumbnail(url, client)
            failures = 0
        except FetchError as error:
            if _may_pass(error):
                failures += 1
                if failures == MOST_FAILURES:
                    break
                continue
            image = None
        except InputError:
            image = None
        store.set_thumbnail(uid, url, image)
        added += image is not None
        if progress is not None:
            progress(done, len(lacking))
    return added


def fetch_thumbnail(url: str, client: Client) -> bytes:
    """Fetch one picture and return it small, as WebP.

    Raises:
        FetchError: it cannot be fetched.
        InputError: it is not on the feed's own server, or no picture that can be shown.
    """
    if not is_of_the_feed(url):
        raise InputError(f"{url} is not on Hugging Face's servers; pictures are fetched only from there")
    answer = client.get(url, accept="image/*", every=EVERY, largest=LARGEST)
    if not answer.kind.startswith("image/"):
        raise InputError(f"{url} is {answer.kind or 'of no type'}, expected a picture")
    return small(answer.content)


def is_of_the_feed(url: str) -> bool:
    """True for an https address of Hugging Face, and for the server that `TRUED_HF_URL` names."""
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        return False
    named = base_url("TRUED_HF_URL", HF_URL)
    if origin(parsed) in origins([named]):
        return True
    return parsed.scheme == "https" and any(
        parsed.host == host or parsed.host.endswith(f".{host}") for host in _OWN_HOSTS
    )


def _may_pass(error: FetchError) -> bool:
    if isinstance(error, TooLargeError):
        return False
    return error.status is None or error.status == 429 or error.status >= 500


def small(content: bytes) -> bytes:
    """Return a picture as WebP of at most `SIZE`, on white: the first frame, without any metadata.

    Raises:
        InputError: it is no PNG, JPEG, WebP or GIF, is broken, or has too many pixels.
    """
    from PIL import Image

    try:
        with Image.open(BytesIO(content), formats=FORMATS) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise InputError(f"the picture has {picture.width} × {picture.height} pixels; that many are not read")
            picture.draft("RGB", SIZE)
            clear = picture.convert("RGBA")
        clear.thumbnail(SIZE)
        opaque = Image.new("RGB", clear.size, "white")
        opaque.paste(clear, mask=clear)
        buffer = BytesIO()
        opaque.save(buffer, "WEBP", quality=80, method=4)
    except InputError:
        raise
    except Exception as error:  # decoders fail in many ways, and each of them means that it cannot be shown
        raise InputError(f"the picture cannot be read: {error}") from None
    return buffer.getvalue()
