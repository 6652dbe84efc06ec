"""`trued serve`: the page of the daily papers, on this machine or for others.

Knows how to start a server. Knows nothing of what it shows. Without the extra `models` it searches by words and TF-IDF.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from trued.cli.options import WholeNumber
from trued.cli.terminal import console, messages

if TYPE_CHECKING:
    from socket import socket

    from trued.feed.paper_store import PaperStore


def serve(
    *,
    host: str = "127.0.0.1",
    port: WholeNumber = 8000,
    public: bool = False,
    database_url: str | None = None,
    evidence: Path | None = None,
) -> None:
    """Serve the page of the daily papers, with search, verdicts and runs.

    On this machine whoever opens it is the owner. With --public others may read it; they write once they have signed
    in with the token in TRUED_TOKEN, and without that variable nobody does. Sessions and links in mails are signed with
    TRUED_SECRET, or with a secret that is made once and kept in the data folder.

    Parameters
    ----------
    host
        The address to listen on; one that others can reach needs --public.
    port
        The port; 0 takes any that is free.
    public
        Let others read, and let those who sign in write. Put a server that speaks HTTPS in front of it.
    database_url
        An SQLAlchemy URL of papers and runs, such as postgresql+psycopg://host/name; TRUED_DATABASE_URL by default.
    evidence
        A folder of SLUG.json with evidence to show instead of what is committed.
    """
    import uvicorn

    from trued.errors import InputError
    from trued.web.app import create_app
    from trued.web.settings import Settings

    settings = Settings.from_environment(host, port, public=public, database_url=database_url)
    if evidence is not None and not evidence.is_dir():
        raise InputError(f"{evidence} is no folder; give one of SLUG.json files, as `trued run --evidence` writes it")
    sock = _listen(settings.host, settings.port)
    app = create_app(settings=settings, evidence=evidence)
    store: PaperStore = app.state.store
    if not store.days() and not store.listing(limit=1)[1]:
        from trued.feed.sources.shipped import shipped_page

        store.ingest_reading(shipped_page())
    threading.Thread(target=learn_meaning, args=(store,), daemon=True).start()
    url = replace(settings, port=sock.getsockname()[1]).url
    console().print(f"trued serves the papers at {url}  (Ctrl-C ends it)")
    if public and settings.token is None:
        messages().print("trued: TRUED_TOKEN is not set, so nobody can sign in, and the page is for reading only")
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=3))
    server.run(sockets=[sock])


def learn_meaning(store: PaperStore) -> None:
    """Give the store its embedder once that is loaded, which takes seconds; until then meaning is judged by TF-IDF."""
    from trued.errors import InputError, missing_extra

    try:
        import torch

        from trued.language.engine.embedder import SentenceEmbedder

        torch.set_num_threads(1)  # a query is a dozen tokens: on a busy machine a second thread is only waited for
        embed = SentenceEmbedder.load(dtype="auto")
        embed(["A first sentence, so that the first search waits for nothing."])
    except (InputError, ImportError, OSError) as error:
        reason = missing_extra(error) or error
        messages().print(f"trued: meaning is judged by TF-IDF, since the embedder cannot be had: {reason}")
        return
    store.embed = embed
    store.index()


def _listen(host: str, port: int) -> socket:
    """Return a listening socket, or say why there is none: uvicorn would end the process instead."""
    import socket as sockets

    from trued.errors import InputError

    try:
        family = sockets.getaddrinfo(host, port, type=sockets.SOCK_STREAM)[0][0]
        sock = sockets.socket(family, sockets.SOCK_STREAM)
        sock.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(2048)  # from here on nobody is turned away, even if the server needs another moment
    except OSError as error:
        raise InputError(
            f"{host}:{port} cannot be listened on ({error.strerror}); give another --port or --host"
        ) from None
    return sock
