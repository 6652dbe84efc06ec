"""How the result of a check looks: the table in the terminal, the sentences, the sections of a report.

Knows results and how numbers are put. Knows nothing of how they were measured. `trued check` and `trued loop` share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table as Grid
from rich.text import Text

from trued.cli.settings import read_template
from trued.cli.terminal import plain_table, progress
from trued.data.spacing import evenly_spaced
from trued.lab.report import (
    Block,
    Example,
    Examples,
    Figure,
    KeyValues,
    Prose,
    Section,
    Summary,
    SummaryItem,
    Table,
    Tone,
)
from trued.lab.wording import percent, share_interval

if TYPE_CHECKING:
    from trued.language.engine.model import LanguageModel
    from trued.language.measure.check.metric import Metric
    from trued.language.measure.check.result import CheckResult
    from trued.language.measure.check.result import Example as CheckExample

ARROWS = {"higher": "↑", "lower": "↓"}
STYLES = {"good": "green", "bad": "red", "neutral": ""}
HEADLINES = ("refusal.direct", "refusal.templates", "alo-asr", "over-refusal.lookalikes", "perplexity", "agreement")
LABELS = {"yes": "complied", "no": "refused", "unknown": "unknown"}
SHOWN_EXAMPLES = 6  # of each kind
NOT_MEASURED = "not measured"


# -- before the check --------------------------------------------------------------------------------------------------


def open_model(
    source: str | None, *, device: str | None = None, template: str | None = None, adapter: str | Path | None = None
) -> LanguageModel:
    """Load a model; None or "default" is the embedded one, whose first conversion shows its progress.

    `template` may also name a file with a Jinja template.
    """
    from trued.language.engine.model import LanguageModel

    template = read_template(template)
    if source in (None, "default"):
        from trued.language.engine.embedded import default_model

        source = None
        with progress() as display:
            stages: dict[str, Any] = {}

            def report(stage: str, done: int, total: int) -> None:
                if stage not in stages:
                    stages[stage] = display.add_task(stage, total=total or None)
                display.update(stages[stage], completed=done, total=total or None)

            default_model(report=report)
    return LanguageModel.load(source, device=device, template=template, adapter=adapter)


@contextmanager
def check_bar(visible: bool = True) -> Iterator[Callable[[int, int, str], None]]:
    """Yield what `check` calls with its progress: one bar a stage."""
    with progress(visible) as display:
        stages: dict[str, Any] = {}

        def bar(done: int, total: int, what: str) -> None:
            if what not in stages:
                stages[what] = display.add_task(what.rpartition("/")[2], total=total)
            display.update(stages[what], completed=done)

        yield bar


# -- in the terminal ---------------------------------------------------------------------------------------------------


def result_table(result: CheckResult) -> Grid:
    """Return the metrics with their intervals, or, where the result has a baseline, base, this and change; 80 columns.

    Refusals under prefills are left to the report: with the unknown ones they are what is not answered.
    """
    compared = result.baseline is not None
    numbers = ("base", "this", "change [95 %]", "unknown") if compared else ("value [95 %]", "unknown", "n")
    grid = plain_table("", *numbers, right=numbers, fixed=numbers)
    without_prefill = [metric for metric in result.metrics if not metric.id.startswith("refusal.prefill")]
    for group, metrics in groupby(without_prefill, key=lambda metric: metric.group):
        rows = list(metrics)
        mixed = len({metric.better for metric in rows}) > 1
        grid.add_row(Text(group if mixed else f"{group} {ARROWS[rows[0].better]}", "bold"))
        for metric in rows:
            name = f" {metric.name} {ARROWS[metric.better]}" if mixed else f" {metric.name}"
            unknown = "" if metric.unknown is None else percent(metric.unknown)
            if compared:
                changed = Text(change(metric) or interval(metric), STYLES[tone(metric)])
                grid.add_row(name, baseline(metric), value(metric), changed, unknown)
            else:
                grid.add_row(name, f"{value(metric)} {interval(metric)}", unknown, str(metric.n))
        for name in _not_measured(result, group):
            grid.add_row(f" {name}", *([""] if compared else []), NOT_MEASURED)
    return grid


def _not_measured(result: CheckResult, group: str) -> list[str]:
    """Return the attacks of this group of numbers that could not be tried, as text."""
    from trued.language.measure.check.derive import ANSWERED, way_name

    return [way_name(attack) for attack in result.left_out] if group == ANSWERED else []


def protocol_line(result: CheckResult) -> str:
    """Return what the rates must be read with, on one line."""
    how = result.protocol
    return (
        f"{how['judge']} · template {how['template']} · system prompt {how['system']} · {how['decoding']} · "
        f"{how['settings']['split']} split · {how['dtype']}"
    )


def summary(result: CheckResult) -> str:
    """Return the answer in a few sentences, without the intervals, which the table has."""
    known = {metric.id: metric for metric in result.metrics}
    ways = [known[name] for name in ("refusal.direct", "refusal.templates") if name in known]
    sentences = []
    if ways:
        sentences.append("Harmful requests refused: " + ", ".join(f"{_levels(way)} {way.name}" for way in ways))
    if "alo-asr" in known:
        sentences.append(f"At least one attack succeeds on {_levels(known['alo-asr'])}")
    if "over-refusal.lookalikes" in known:
        sentences.append(f"Harmless requests that look harmful refused: {_levels(known['over-refusal.lookalikes'])}")
    sentences.append(f"Perplexity of held-out chat: {_levels(known['perplexity'])}")
    return ". ".join(sentences) + "."


def _levels(metric: Metric) -> str:
    return value(metric) if metric.change is None else f"{baseline(metric)} → {value(metric)}"


# -- numbers -----------------------------------------------------------------------------------------------------------


def value(metric: Metric) -> str:
    """Return the metric's value; one that is a lower bound says so."""
    return _plain(metric, metric.value, lower_bound=metric.lower_bound)


def baseline(metric: Metric) -> str:
    """Return the value of the model that this one is compared with, or nothing."""
    metric_change = metric.change
    return (
        ""
        if metric_change is None
        else _plain(metric, metric_change.baseline, lower_bound=metric_change.baseline_bound)
    )


def interval(metric: Metric) -> str:
    """Return the 95 % interval of the value."""
    if metric.unit == "share":
        return share_interval(metric.low, metric.high)
    return f"[{metric.low:.2f}, {metric.high:.2f}]"


def change(metric: Metric) -> str:
    """Return the change with its interval: in points for shares, as a ratio for perplexities."""
    moved = metric.change
    if moved is None:
        return ""
    three = (moved.estimate, moved.low, moved.high)
    if metric.unit == "perplexity":
        first, low, high = (f"{number:.3f}" for number in three)
        return f"×{first} [{low}, {high}]"
    first, low, high = (_signed(number, metric.unit) for number in three)
    return f"{first} [{low}, {high}]"


def tone(metric: Metric) -> Tone:
    """Return whether the change is welcome; neutral where its interval contains none, or its p-value is above 0.05.

    Both are valid whatever the unknown replies are, and the p-value is the one that is shown, adjusted for all rates.
    """
    moved = metric.change
    if moved is None:
        return "neutral"
    none = 1.0 if metric.unit == "perplexity" else 0.0
    p_value = moved.p_value if moved.p_holm is None else moved.p_holm
    if moved.low <= none <= moved.high or (p_value is not None and p_value > 0.05):
        return "neutral"
    return "good" if (moved.low > none) == (metric.better == "higher") else "bad"


def _plain(metric: Metric, number: float, *, lower_bound: bool = False) -> str:
    return percent(number, lower_bound=lower_bound) if metric.unit == "share" else f"{number:.2f}"


def _signed(number: float, unit: str) -> str:
    """A difference with its sign; none before a zero."""
    text = f"{100 * number:+.0f}" if unit == "share" else f"{number:+.2f}"
    return text.replace("-", "−") if float(text) else text[1:]


# -- in a report -------------------------------------------------------------------------------------------------------


def report_sections(result: CheckResult) -> list[Section]:
    """Return the sections of a report: the few numbers, all numbers, the robustness curve, answers, protocol."""
    sections: list[tuple[str, list[Block]]] = [
        ("What came out", [Summary(_summary_items(result))]),
        ("What to know first", [Prose(result.notes)] if result.notes else []),
        ("All numbers", [Prose(_reading(result)), *_tables(result)]),
        ("Robustness to embedding attacks", [_curve(result)]),
        ("Answers to harmful requests", _examples(result, ("direct", "templates"))),
        ("Answers to harmless requests that look harmful", _examples(result, ("lookalikes",))),
        ("How it was measured", [KeyValues({"model": result.model, **result.protocol})]),
    ]
    return [Section(title, blocks) for title, blocks in sections if blocks]


def _summary_items(result: CheckResult) -> list[SummaryItem]:
    items = []
    for metric in result.metrics:
        if metric.id not in HEADLINES:
            continue
        unit = " points" if metric.change and metric.unit == "share" else ""
        change_text = f"{change(metric)}{unit}" if metric.change else interval(metric)
        note = f"{percent(metric.unknown)} unknown" if metric.unknown else ""
        items.append(
            SummaryItem(
                f"{metric.group}, {metric.name}", baseline(metric), value(metric), change_text, tone(metric), note
            )
        )
    return items


def _reading(result: CheckResult) -> list[str]:
    """Say what the columns and the words of the tables mean."""
    paragraphs = [
        "The arrow beside a name says whether higher or lower is better. 95 % is the interval of the value. n counts "
        "what is behind it. Unknown is the share of replies on which the judge could not tell; it is never counted as "
        "safe.",
        "ASR, the attack success rate, is the share of harmful requests that the model complied with. At least one "
        "(ALO) counts a request as soon as any of the attacks succeeded on it. ε is the radius of an embedding attack, "
        "as a share of the mean embedding norm.",
        "Nats a token: the mean negative logarithm of the likelihood of a token. 0.69 nats more means that each token "
        "is half as likely. Perplexity is its exponential: among how many tokens the model hesitates.",
    ]
    if result.baseline is not None:
        tested = sum(metric.change is not None and metric.change.p_holm is not None for metric in result.metrics)
        paragraphs.append(
            f"Base is {result.baseline.model}, this is {result.model}; both were asked the same. Change is this minus "
            "base, in percentage points for shares, and this divided by base for perplexity. p (Holm) is the "
            "probability of a change at least as large if nothing had changed: McNemar's exact test, or a permutation "
            f"test where a request was put several times, adjusted for the {tested} rates of this check."
        )
    return paragraphs


def _counted(metric: Metric) -> str:
    """Say how many of what are behind a number."""
    kinds = {"perplexity": "conversations", "agreement": "tokens", "alo-asr": "requests"}
    what = "prompts" if metric.id.startswith("target-ce.") else kinds.get(metric.id, "replies")
    return f"{metric.n:,} {what}"


def _tables(result: CheckResult) -> Iterator[Table]:
    compared = result.baseline is not None
    for group, metrics in groupby(result.metrics, key=lambda metric: metric.group):
        rows = []
        for metric in metrics:
            row = [f"{metric.name.strip()}\u00a0{ARROWS[metric.better]}"]
            if compared:
                row += [baseline(metric) or "–"]
            row += [value(metric), interval(metric)]
            if compared:
                p = metric.change.p_holm if metric.change else None
                row += [change(metric) or "–", "–" if p is None else f"{p:.2g}"]
            rows.append([*row, "–" if metric.unknown is None else percent(metric.unknown), _counted(metric)])
        before, after = (["–"], ["–"] * 4) if compared else ([], ["–"] * 2)
        rows += [[name, *before, NOT_MEASURED, *after, 0] for name in _not_measured(result, group)]
        columns = ["", *(["base"] if compared else []), "this", "95 %"]
        columns += ["change [95 %]", "p (Holm)"] if compared else []
        yield Table([*columns, "unknown", "n"], rows, caption=group[:1].upper() + group[1:])


def _curve(result: CheckResult) -> Figure:
    from trued.lab.figure import draw_svg

    points = [metric for metric in result.metrics if metric.id.startswith("target-ce.")]
    radii = result.curve.radii

    def draw(axes: Any) -> None:
        low, high = ([getattr(point, end) for point in points] for end in ("low", "high"))
        line = axes.plot(radii, [point.value for point in points], marker="o", label="this model")[0]
        axes.fill_between(radii, low, high, alpha=0.15, color=line.get_color(), linewidth=0)
        if all(point.change for point in points):
            before = [point.change.baseline for point in points if point.change]
            axes.plot(radii, before, marker="o", linestyle="--", label="base")
            axes.legend()
        axes.set_xlabel("radius of the attack, share of the mean embedding norm")
        axes.set_ylabel("cross-entropy, nats a token")
        axes.set_ylim(bottom=0)

    values = "; ".join(f"{radius:g}: {point.value:.2f}" for radius, point in zip(radii, points, strict=True))
    return Figure(
        "Cross-entropy of a complying opening by attack radius",
        draw_svg(draw),
        alt=f"Mean cross-entropy of this model by radius, in nats a token: {values}.",
        caption="The higher the curve stays, the less an attack on the embeddings makes the model likely to comply. "
        "The band is the 95 % interval over prompts.",
    )


def _examples(result: CheckResult, ways: tuple[str, ...]) -> list[Block]:
    from trued.language.measure.check.derive import way_name

    examples: list[CheckExample] = []
    for way in ways:
        # A request that is there already, asked in another way, is not listed again.
        listed = {example.id for example in examples}
        others = [example for example in result.examples(way, len(result.texts)) if example.id not in listed]
        examples += evenly_spaced(others, SHOWN_EXAMPLES // len(ways))
    if not examples:
        return []
    compared = result.baseline is not None
    items = [
        Example(
            example.prompt,
            (example.before or "") if compared else "",
            example.reply,
            note=" · ".join(filter(None, [
                way_name(example.way) if example.way != "lookalikes" else "",
                example.variant,
                _labels(example),
            ])),
        )
        for example in examples
    ]  # fmt: skip
    labels = ("base", "this model") if compared else ("", "reply")
    return [
        Prose(["Evenly spaced through the prompts, not chosen by what was said; the verdict stands below each."]),
        Examples(items, labels),
    ]


def _labels(example: CheckExample) -> str:
    """Return the verdict on a reply, after the one on the base's, where there is one."""
    label = _label(example.label)
    return f"{_label(example.before_label)} → {label}" if example.before_label else label


def _label(label: str) -> str:
    return LABELS.get(label, label.replace("_", " "))
