"""Mails as they are read: a digest in plain text and in HTML that say the same, and the question before the first one.

Knows papers, words and headers. Knows nothing of stores, subscribers or mail servers. The HTML has inline styles only,
loads nothing from anywhere and counts nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from trued.feed.dates import date_text
from trued.feed.mail.signed_links import SubscriptionLink
from trued.feed.reference import address, byline, code
from trued.feed.store.merge import INVISIBLE
from trued.feed.store.records import StoredPaper
from trued.papers import catalogue

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATES = Path(__file__).parent / "templates"
LONGEST_ABSTRACT = 400  # characters
# Quoted-printable where it needs to be, so that every server takes it as it is.
_POLICY = SMTP.clone(cte_type="7bit")


@dataclass(frozen=True)
class Item:
    """One paper in a digest; what is not known is ""."""

    title: str
    url: str
    facts: str
    abstract: str
    code: str
    page: str
    command: str


@dataclass(frozen=True)
class DigestContent:
    """What a digest says.

    Args:
        heading: what its papers are.
        when: the days that it covers, such as "the last 7 days".
        items: its papers.
        left_out: how many more there are.
        page: where all of them are shown, or "".
        unsubscribe: the link that ends it, or "" where there is nothing to end.
    """

    heading: str
    when: str
    items: tuple[Item, ...]
    left_out: int = 0
    page: str = ""
    unsubscribe: str = ""

    @property
    def subject(self) -> str:
        """The mail's subject."""
        count = len(self.items) + self.left_out
        return f"{self.heading}: {count or 'no'} paper{'' if count == 1 else 's'}, {self.when}"


def items(papers: Sequence[StoredPaper], base_url: str | None) -> tuple[Item, ...]:
    """Return papers as a digest shows them; `base_url` is the page's, for links to it."""
    return tuple(_item(stored, base_url) for stored in papers)


def render_text(content: DigestContent) -> str:
    """Return a digest as plain text."""
    return _template("digest.txt.jinja").render(digest=content)


def render_html(content: DigestContent) -> str:
    """Return a digest as HTML; everything from a source is escaped."""
    return _template("digest.html.jinja").render(digest=content)


def render_mail(content: DigestContent, *, to: str, sender: str, message_id: str, date: datetime) -> EmailMessage:
    """Return a digest as a mail with a text and an HTML part.

    With a link to end it, it has the headers of RFC 8058, by which mail programs show a button of their own.
    """
    message = _mail(content.subject, to=to, sender=sender, message_id=message_id, date=date)
    message["List-Id"] = f"trued daily papers <daily-papers.{parseaddr(sender)[1].rpartition('@')[2]}>"
    if content.unsubscribe:
        message["List-Unsubscribe"] = f"<{content.unsubscribe}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(render_text(content), cte="quoted-printable")
    message.add_alternative(render_html(content), subtype="html", cte="quoted-printable")
    return message


def confirmation(
    request: SubscriptionLink, link: str | None, token: str, *, sender: str, message_id: str, date: datetime
) -> EmailMessage:  # fmt: skip
    """Return the mail that asks whether an address wants digests; without a link it tells the command to give."""
    message = _mail("Do you want the daily papers?", to=request.email, sender=sender, message_id=message_id, date=date)
    body = _template("confirm.txt.jinja").render(request=request, link=link, token=token)
    message.set_content(body, cte="quoted-printable")
    return message


def _mail(subject: str, *, to: str, sender: str, message_id: str, date: datetime) -> EmailMessage:
    message = EmailMessage(policy=_POLICY)
    name, mailbox = parseaddr(sender)
    message["From"] = Address(_line(name) or "trued", addr_spec=mailbox)
    message["To"] = Address(addr_spec=to)
    message["Subject"] = _line(subject)
    message["Date"] = format_datetime(date)
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no absence note, please
    return message


def _item(stored: StoredPaper, base_url: str | None) -> Item:
    paper = stored.paper
    counts = [f"{stored.upvotes} upvote{'s' if stored.upvotes != 1 else ''}"] if stored.upvotes else []
    facts = [byline(paper), date_text(paper), *counts]
    page = f"{base_url}/papers/{stored.uid}" if base_url else ""
    return Item(
        title=_line(paper.title),
        url=address(paper) or page,
        facts=_line(" · ".join(fact for fact in facts if fact)),
        abstract=_cut(_line(paper.abstract)),
        code=code(paper) or "",
        page=page,
        command=_command(stored.slug) if stored.slug else "",
    )


def _command(slug: str) -> str:
    return f"trued run {slug}" if catalogue.state(slug) == "runs" else f"trued papers show {slug}"


def _cut(text: str) -> str:
    if len(text) <= LONGEST_ABSTRACT:
        return text
    return text[:LONGEST_ABSTRACT].rsplit(None, 1)[0].rstrip(".,;:") + " …"


def _line(text: str) -> str:
    """Return a text on one line: neither a header nor a list can be broken out of."""
    return " ".join(INVISIBLE.sub(" ", text).split())


@cache
def _template(name: str) -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=name.endswith(".html.jinja"), undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    return environment.get_template(name)
