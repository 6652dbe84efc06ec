"""A process that sends the digests that are due, for a test that kills it: STORE PORT NOW."""

from __future__ import annotations

import sys
from datetime import datetime

from trued.feed.mail.digest import send_digests
from trued.feed.mail.settings import MailServer
from trued.feed.mail.smtp import SmtpClient
from trued.feed.paper_store import PaperStore

url, port, now = sys.argv[1:]
store = PaperStore(url, clock=lambda: datetime.fromisoformat(now))
server = MailServer("127.0.0.1", int(port), "papers@example.org", tls="none")
with SmtpClient(server) as smtp:
    send_digests(store, smtp, secret="0123456789abcdef", base_url="https://papers.example.org")
