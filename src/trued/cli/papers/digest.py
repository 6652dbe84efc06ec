"""`trued papers digest`, `subscribe`, `unsubscribe` and `subscribers`: papers by e-mail, and who gets them.

Knows options and how to print outcomes. Knows nothing of mail or of signed links.
"""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from rich.text import Text

from trued.cli.options import JsonSwitch, Switch, whole_number
from trued.cli.terminal import console, messages, plain_table, print_json, progress
from trued.errors import InputError
from trued.files import claim_output, write_output

if TYPE_CHECKING:
    from trued.feed.mail.digest import Delivery
    from trued.feed.paper_store import PaperStore
    from trued.feed.search.selection import Selection

DRAFT = "draft"
"""What the file of --dry-run is called among the kinds of output."""
SENDER_OF_DRAFTS = "trued@localhost.localdomain"
STATES = {"active": "green", "pending": "yellow", "bounced": "red", "gone": "dim"}


def digest(
    *,
    to: str | None = None,
    since: str = "1d",
    query: Annotated[str, Parameter(alias="-q")] = "",
    tag: str | None = None,
    most: Annotated[int, Parameter(name="--max", converter=whole_number)] = 20,
    period: Literal["daily", "weekly"] | None = None,
    always: Switch = False,
    dry_run: Path | None = None,
    as_json: JsonSwitch = False,
) -> int:
    """Send the digests that are due to all subscribers, or one digest to one address.

    Nobody gets the same digest twice, however often this is run: put it into a daily schedule.

    Parameters
    ----------
    to
        Send one digest to this address, whether it subscribed or not, and nothing to subscribers.
    since
        With --to: what came in within the last days or weeks, such as 1d or 2w.
    query
        With --to: only papers in which every word of this search occurs; the trending ones otherwise.
    tag
        With --to: only papers with this tag.
    most
        How many papers a digest shows at most.
    period
        Only the subscribers of this period.
    always
        Send also where nothing came in.
    dry_run
        With --to: write the mail to this file, such as out.eml, and send nothing.
    """
    if most < 1:
        raise InputError(f"--max {most} leaves no paper; give at least 1")
    if to is None and (query or tag or dry_run or since != "1d"):
        raise InputError("--since, --query, --tag and --dry-run are about one digest; give --to as well")
    if to is not None and period is not None:
        raise InputError("--period is about subscribers, and --to about one address; give one of the two")
    from trued.feed.mail.digest import Delivery
    from trued.feed.paper_store import default_store

    delivery = Delivery()
    with closing(default_store()) as store:
        if to is None:
            delivery = _round(store, period, most, always)
        else:
            _send_or_write(store, to, _days(since), _selection(query, tag), most, always, dry_run, delivery)
    if as_json:
        print_json(vars(delivery))
    elif dry_run is None:
        _print(delivery)
    return 1 if delivery.failed else 0


def subscribe(
    email: str | None = None,
    /,
    *,
    period: Literal["daily", "weekly"] = "daily",
    query: Annotated[str, Parameter(alias="-q")] = "",
    confirm: str | None = None,
) -> None:
    """Ask an address by mail whether it wants digests, or confirm that it does.

    Parameters
    ----------
    email
        The address.
    period
        How often.
    query
        Only papers in which every word of this search occurs; the trending ones otherwise.
    confirm
        What the mail says to give here.
    """
    if (email is None) == (confirm is None):
        raise InputError(
            "give an address, such as `trued papers subscribe ada@example.org`, or --confirm with the token "
            "from its mail"
        )
    from trued.feed.mail import subscribers
    from trued.feed.mail.secret import secret
    from trued.feed.mail.settings import public_url
    from trued.feed.paper_store import default_store

    with closing(default_store()) as store:
        if confirm is not None:
            subscriber = subscribers.confirm(store, confirm, secret=secret())
            what = f"new papers for “{subscriber.q}”" if subscriber.q else "the trending papers"
            console().print(f"{subscriber.email} gets a {subscriber.period} digest of {what}", soft_wrap=True)
            return
        subscribers.request_subscription(
            store, email or "", period, query or None, secret=secret(), base_url=public_url()
        )
    console().print(f"{email} was asked by mail; digests begin when it confirms", soft_wrap=True)


def unsubscribe(email: str, /) -> None:
    """End the digests to an address.

    Parameters
    ----------
    email
        The address.
    """
    from trued.feed.mail.settings import email_address
    from trued.feed.mail.subscribers import leave
    from trued.feed.paper_store import default_store

    address = email_address(email)
    with closing(default_store()) as store:
        left = leave(store, address)
    console().print(f"{address} gets no more digests" if left else f"{address} got none", soft_wrap=True)


def subscribers(*, as_json: JsonSwitch = False) -> None:
    """List who gets digests, who was asked, who left, and whose mail was refused."""
    from trued.feed.paper_store import default_store

    with closing(default_store()) as store:
        known = store.subscribers(state=None)
    if as_json:
        print_json([
            {"email": subscriber.email, "period": subscriber.period, "q": subscriber.q, "state": subscriber.state,
             "reason": subscriber.reason, "since": subscriber.since.isoformat() if subscriber.since else None}
            for subscriber in known
        ])  # fmt: skip
        return
    if not known:
        console().print("No subscribers yet. `trued papers subscribe ADDRESS` asks one.")
        return
    table = plain_table("address", "period", "papers", "state", "since", fixed=("period", "state", "since"))
    for subscriber in known:
        since = f"{subscriber.since:%Y-%m-%d}" if subscriber.since else ""
        state = Text(subscriber.state, STATES[subscriber.state])
        table.add_row(Text(subscriber.email), subscriber.period, Text(subscriber.q or "trending"), state, since)
    console().print(table)


def _round(
    store: PaperStore, period: Literal["daily", "weekly"] | None, most: int, always: bool
) -> Delivery:  # fmt: skip
    """Send everyone the digest that is due."""
    from trued.feed.mail.digest import send_digests
    from trued.feed.mail.secret import secret
    from trued.feed.mail.settings import MailServer, public_url
    from trued.feed.mail.smtp import SmtpClient

    base_url = public_url()
    if base_url is None:
        raise InputError("TRUED_PUBLIC_URL is not set; it is the page's address, and each mail has a link that ends it")
    with SmtpClient(MailServer.from_environment()) as smtp, progress() as display:
        task = display.add_task("digests", total=None)
        return send_digests(
            store, smtp, secret=secret(), base_url=base_url, period=period, most=most, always=always,
            progress=lambda done, total: display.update(task, completed=done, total=total),
        )  # fmt: skip


def _send_or_write(
    store: PaperStore, to: str, days: int, selection: Selection, most: int, always: bool, dry_run: Path | None,
    delivery: Delivery,
) -> None:  # fmt: skip
    """Send one digest to one address, or write it to a file."""
    from trued.feed.mail.digest import SEEN, compose_digest, hand_in, key_of
    from trued.feed.mail.secret import secret
    from trued.feed.mail.settings import MailServer, email_address, public_url
    from trued.feed.mail.smtp import SmtpClient
    from trued.feed.mail.subscribers import unsubscribe_link

    if dry_run is not None:
        claim_output(dry_run, kind=DRAFT)
    email, now, base_url = email_address(to), store.now(), public_url()
    server = MailServer.from_environment() if dry_run is None else None
    filters = replace(selection.filters, arrived_since=now - timedelta(days=days))
    papers = replace(selection, filters=filters, limit=SEEN).papers(store)
    key = key_of(days, selection, now.date())
    known = store.subscriber(email)
    link = ""
    if base_url and known is not None and known.state == "active":
        link = unsubscribe_link(email, secret=secret(), base_url=base_url, now=now)
    message = compose_digest(
        papers, selection.q, to=email, sender=server.sender if server else SENDER_OF_DRAFTS,
        when=f"the last {days} days" if days > 1 else "the last day", key=key, now=now, most=most, base_url=base_url,
        unsubscribe=link,
    )  # fmt: skip
    if dry_run is not None:
        write_output(dry_run, message.as_bytes(), kind=DRAFT)
        messages().print(f"{dry_run}: {message['Subject']}; nothing was sent", soft_wrap=True)
    elif not papers and not always:
        delivery.nothing.append(email)
    elif server is not None and store.claim_digest(email, key):
        with SmtpClient(server) as smtp:
            hand_in(store, smtp, message, email, key, delivery)
    else:
        delivery.had.append(email)


def _selection(query: str, tag: str | None) -> Selection:
    from trued.feed.search.selection import Selection
    from trued.feed.store.records import Filters

    return Selection(query, order="relevance" if query.strip() else "trending", filters=Filters(tag=tag))


def _days(text: str) -> int:
    match = re.fullmatch(r"([1-9]\d{0,2})([dw])", text.strip().lower())
    if match is None:
        raise InputError(f"--since {text!r} is no stretch of time; write days or weeks, such as 1d or 2w")
    return int(match[1]) * (7 if match[2] == "w" else 1)


def _print(delivery: Delivery) -> None:
    out = console()
    counts = (
        (len(delivery.sent), "sent"), (len(delivery.nothing), "with nothing new"), (len(delivery.had), "had theirs"),
        (len(delivery.failed), "failed"),
    )  # fmt: skip
    out.print(", ".join(f"{count} {word}" for count, word in counts if count) or "nobody to write to")
    for email, reason in delivery.failed:
        out.print(f"  {email}: {reason}", soft_wrap=True)
