"""`trued papers`: the papers of the feed, what they claim, and which of them run here.

Knows how to print cards. Knows nothing of experiments and imports no torch.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from trued.cli.help import CommandGroup
from trued.cli.options import JsonSwitch
from trued.cli.terminal import console, plain_table, print_json, verdict
from trued.papers import catalogue
from trued.papers.card import Card, Claim, Field, PaperFigures
from trued.papers.catalogue import State

if TYPE_CHECKING:
    from trued.lab.verdict_file import MeasuredVerdicts

app = CommandGroup(name="papers", help="List the papers, and show what one of them claims.")
app.command("trued.cli.papers.ingest:ingest", name="ingest", help="Bring papers into the store.")
app.command("trued.cli.papers.ingest:sync", name="sync", help="Bring the store up to date with the daily feed.")
app.command("trued.cli.papers.search:search", name="search", help="Find papers by words and by meaning.")
app.command("trued.cli.papers.search:similar", name="similar", help="Show the papers nearest in meaning to one.")
app.command("trued.cli.papers.search:recommend", name="recommend", help="Show recent papers like those with a tag.")
app.command("trued.cli.papers.search:trending", name="trending", help="Show what is trending.")
app.command("trued.cli.papers.search:tag", name="tag", help="Tag a paper, or show its tags.")
app.command("trued.cli.papers.search:note", name="note", help="Keep a note on a paper, or show it.")
app.command("trued.cli.papers.search:index", name="index", help="Bring the vectors for search up to date.")
app.command("trued.cli.papers.search:doctor", name="doctor", help="Check that the store is sound.")
app.command(
    "trued.cli.papers.export:export", name="export", help="Write papers as BibTeX, RIS, CSL-JSON, CSV, and more."
)
app.command("trued.cli.papers.export:feed", name="feed", help="Write papers as an Atom, RSS or JSON feed.")
app.command("trued.cli.papers.digest:digest", name="digest", help="Send digests by e-mail.")
app.command("trued.cli.papers.digest:subscribe", name="subscribe", help="Ask an address whether it wants digests.")
app.command("trued.cli.papers.digest:unsubscribe", name="unsubscribe", help="End the digests to an address.")
app.command("trued.cli.papers.digest:subscribers", name="subscribers", help="List who gets digests.")

STATE_STYLE = {"runs": "green", "planned": "dim"}
BETTER_WORDS = {
    "higher": "higher by at least {}",
    "lower": "lower by at least {}",
    "equal": "equal within {}",
}


@app.command(name="list")
def list_papers(*, field: Field | None = None, state: State | None = None, as_json: JsonSwitch = False) -> None:
    """List the papers with date, field and state.

    Parameters
    ----------
    field
        Only papers of this field.
    state
        Only papers that run here already, or only those that are planned.
    """
    cards = [
        card
        for slug, card in catalogue.cards().items()
        if (field is None or card.field == field) and (state is None or catalogue.state(slug) == state)
    ]
    if as_json:
        print_json([_card_as_dict(card) for card in cards])
        return
    out = console()
    if cards:
        out.print(_table(cards))
        out.print()
    running = sum(catalogue.state(card.slug) == "runs" for card in cards)
    papers = "paper" if len(cards) == 1 else "papers"
    out.print(f"{len(cards)} {papers}, {running} with an experiment that runs · trued papers show SLUG")


@app.command(name="show")
def show_paper(slug: str, /, *, as_json: JsonSwitch = False) -> None:
    """Show one paper whole: facts, summary, claims, and the verdicts that were measured here.

    Parameters
    ----------
    slug
        The paper's name in trued, such as c-advul.
    """
    from trued.lab.verdict_file import read_verdicts

    card = catalogue.card(slug)
    measured = read_verdicts(slug)
    if as_json:
        print_json(_card_as_dict(card) | {"measured": _measured_as_dict(measured)})
    else:
        console().print(_page(card, measured))


def _table(cards: list[Card]) -> Table:
    table = plain_table("paper", "title", "date", "field", "state", fixed=("paper", "date", "field", "state"))
    for card in cards:
        # The title alone gives way: the cell is cut, while its column stays free to shrink.
        title = Text(card.title, no_wrap=True, overflow="ellipsis")
        state = catalogue.state(card.slug)
        table.add_row(card.slug, title, card.date.isoformat(), card.field, Text(state, STATE_STYLE[state]))
    return table


def _page(card: Card, measured: MeasuredVerdicts | None) -> Group:
    state = catalogue.state(card.slug)
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in _facts(card):
        facts.add_row(name, Text(value))
    facts.add_row("state", Text(state, STATE_STYLE[state]))
    if measured is not None:
        facts.add_row("measured", Text(_protocol(measured)))
    verdicts = measured.verdicts if measured is not None else {}
    parts: list[Any] = [Text(card.title, "bold"), "", facts, "", Text(card.summary)]
    for claim in card.claims:
        parts += [
            "",
            Text.assemble((claim.id, "bold"), "  ", claim.says),
            Padding(_terms(claim, verdicts.get(claim.id)), (0, 0, 0, 2)),
        ]
    hint = f"trued run {card.slug}" if state == "runs" else "planned: the method is not in this version"
    return Group(*parts, "", Text(hint, "dim"))


def _facts(card: Card) -> list[tuple[str, str]]:
    by = card.organisation or (f"{card.authors} authors" if card.authors else None)
    counted = None if card.page_count is None else f"{card.page_count} (comments or upvotes, unlabelled there)"
    facts = [
        ("paper", card.slug),
        ("date", card.date.isoformat()),
        ("by", by),
        ("arXiv", card.url),
        ("code", card.code or "none found"),
        ("field", f"{card.field} ({', '.join(card.modalities)})"),
        ("on the page", counted),
    ]
    return [(name, value) for name, value in facts if value]


def _protocol(measured: MeasuredVerdicts) -> str:
    return f"{measured.day} on {measured.model}, {measured.scale} scale, {measured.seeds} seeds"


def _terms(claim: Claim, measured: tuple[str, str] | None = None) -> Table:
    terms = Table.grid(padding=(0, 2))
    terms.add_column(style="dim", no_wrap=True)
    terms.add_column()
    terms.add_row("metric", Text(claim.metric))
    terms.add_row("passes if", Text(BETTER_WORDS[claim.better].format(_margin_in_words(claim))))
    if claim.control:
        terms.add_row("must not pass", Text(claim.control))
    if claim.paper:
        terms.add_row("paper", Text(_figures_in_words(claim.paper)))
    if measured is not None:
        terms.add_row("verdict", verdict(measured[0]))
        terms.add_row("", Text(measured[1]))
    return terms


def _margin_in_words(claim: Claim) -> str:
    if claim.margin.ratio:
        return f"a factor of {claim.margin.value:g}"
    if claim.unit == "points":
        return f"{100 * claim.margin.value:g} points"
    return f"{claim.margin.value:g} {claim.unit}"


def _figures_in_words(figures: PaperFigures) -> str:
    known = [f"{value:g}" for value in (figures.baseline, figures.method) if value is not None]
    return f"{' → '.join(known)} {figures.unit} ({figures.where})"


def _card_as_dict(card: Card) -> dict[str, Any]:
    return asdict(card) | {"date": card.date.isoformat(), "url": card.url, "state": catalogue.state(card.slug)}


def _measured_as_dict(measured: MeasuredVerdicts | None) -> dict[str, Any] | None:
    if measured is None:
        return None
    claims = {claim: {"verdict": word, "why": why} for claim, (word, why) in measured.verdicts.items()}
    return {
        "date": measured.day.isoformat(), "model": measured.model, "scale": measured.scale, "claims": claims,
    }  # fmt: skip
