"""The pictures of the README, made from the product itself: `python docs/pictures.py`.

Serves the page over an empty store on this machine and takes a screenshot of the board, which shows the committed
evidence. Needs Chromium on the PATH, and the web and dev extras.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

import uvicorn
from playwright.sync_api import sync_playwright

from trued.feed import PaperStore
from trued.web.app import create_app
from trued.web.settings import Settings

IMAGES = Path(__file__).parent / "images"


def main() -> int:
    """Write docs/images/board.png."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        print("pictures: no Chromium on the PATH; install one (Debian, Ubuntu: apt install chromium)", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        store = PaperStore(f"sqlite:///{folder}/papers.db")
        app = create_app(store, Settings(database_url=f"sqlite:///{folder}/runs.db"))
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run)
        thread.start()
        while thread.is_alive() and not server.started:
            time.sleep(0.05)
        try:
            port = server.servers[0].sockets[0].getsockname()[1]
            IMAGES.mkdir(exist_ok=True)
            with sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": 1000, "height": 640})
                page.goto(f"http://127.0.0.1:{port}/board", timeout=300_000)
                page.screenshot(path=IMAGES / "board.png")
                browser.close()
        finally:
            server.should_exit = True
            thread.join()
            store.close()
    print(IMAGES / "board.png")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
