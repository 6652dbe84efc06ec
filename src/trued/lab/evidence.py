"""Evidence: what an experiment measured, in a small JSON file that a reader, a test and a later release can check.

Knows claims, measurements and verdicts, and which source files these depend on. Knows nothing of how a number was
measured. Figures are named and described here, not embedded; no host, user or path is recorded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trued.errors import InputError
from trued.files import write_text
from trued.lab.dependence import closure
from trued.lab.experiment import module_of
from trued.papers.card import Claim, Margin, PaperFigures

if TYPE_CHECKING:
    from trued.lab.measurement import SeedData
    from trued.lab.verdict import Assessment

SCHEMA = 2
_READABLE = (1, SCHEMA)  # 1 has no numbers of a tiny run, so it cannot be confirmed
_LARGEST_TABLE = 200  # rows; a longer table stays in the report


@dataclass(frozen=True)
class Measurement:
    """The arms of one claim: [seeds][items], the same items in the same order for all.

    Attributes:
        seeds: the seeds, one per row.
        control: the negative control in the method's place, or None.
        timed: whether the values come from a clock or a memory meter, so that no run gives them again.
    """

    seeds: tuple[int, ...]
    baseline: tuple[tuple[float, ...], ...]
    method: tuple[tuple[float, ...], ...]
    control: tuple[tuple[float, ...], ...] | None = None
    timed: bool = False


@dataclass(frozen=True)
class FigureNote:
    """A figure's name and what it shows; the drawing lies beside the report."""

    name: str
    alt: str


@dataclass(frozen=True)
class Confirmation:
    """Another digest under which the evidence holds: on that day the tiny run gave the numbers that it gave before."""

    digest: str
    date: str


@dataclass(frozen=True)
class Evidence:
    """Everything behind the verdicts of one run, as plain data.

    Attributes:
        slug, title, arxiv: the paper.
        date: when the run finished, UTC, ISO 8601.
        scale, settings: the scale's name and its sizes.
        model: the model's name.
        seeds: those that are finished and counted.
        protocol: what the experiment says one needs to repeat it.
        claims: the card's claims as they stood when they were measured.
        measurements: claim id → its arms; a claim that was not measured is absent.
        assessments: claim id → effect, control and verdict, computed from the two above.
        figures, tables, notes: what the report shows and what this scale cannot show.
        versions, platform: software, and kind of machine.
        seconds, peak_memory: cost of all seeds; bytes.
        modules, method_digest: the modules that the result rests on, and the hash of what these compute.
        tiny: claim id → what the experiment's tiny run gave with the same code, claims that are timed left out.
        confirmed: digests of later code whose tiny run gave the same.
    """

    slug: str
    title: str
    arxiv: str | None
    date: str
    scale: str
    settings: Mapping[str, Any]
    model: str
    seeds: tuple[int, ...]
    protocol: Mapping[str, Any]
    claims: tuple[Claim, ...]
    measurements: Mapping[str, Measurement]
    assessments: Mapping[str, Assessment]
    figures: tuple[FigureNote, ...]
    tables: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...]
    versions: Mapping[str, str]
    platform: Mapping[str, Any]
    seconds: float
    peak_memory: int
    modules: tuple[str, ...]
    method_digest: str
    tiny: Mapping[str, Measurement] = field(default_factory=dict)
    confirmed: tuple[Confirmation, ...] = ()

    def claim(self, id: str) -> Claim:
        """Return the claim named `id`, as it stood when it was measured."""
        return next(claim for claim in self.claims if claim.id == id)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data; only measurements that are timed say whether they are."""
        data = {"schema": SCHEMA, **asdict(self)}
        for row in (*data["measurements"].values(), *data["tiny"].values()):
            if not row["timed"]:
                del row["timed"]
        return data

    def write(self, path: str | Path) -> Path:
        """Write the evidence as JSON, atomically, one line per list of numbers."""
        return write_text(path, _indented(self.to_json()) + "\n")


def load(path: str | Path) -> Evidence:
    """Read evidence and check that it is whole.

    Raises:
        InputError: no such file, not JSON, another schema, or a field is missing or unfit; the message names it.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; give the evidence.json of a finished run") from None
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); run the experiment again") from None
    return from_json(data, str(path))


def from_json(data: Any, source: str = "evidence") -> Evidence:
    """Return evidence from its JSON data; `source` names it in messages.

    Raises:
        InputError: another schema, or a field is missing or unfit.
    """
    if not isinstance(data, dict) or data.get("schema") not in _READABLE:
        schema = data.get("schema") if isinstance(data, dict) else type(data).__name__
        raise InputError(f"{source}: schema {schema!r}; this version reads schema {SCHEMA}: run the experiment again")
    field = "claims"
    try:
        claims = tuple(_claim(item) for item in data["claims"])
        field = "measurements"
        measurements = {key: _measurement(item) for key, item in data[field].items()}
        field = "tiny"
        tiny = {key: _measurement(item) for key, item in data.get(field, {}).items()}
        field = "confirmed"
        confirmed = tuple(Confirmation(_text(item["digest"]), _text(item["date"])) for item in data.get(field, ()))
        field = "assessments"
        assessments = {key: _assessment(item) for key, item in data[field].items()}
        field = "seeds"
        plain = {name: tuple(data[field := name]) for name in ("seeds", "tables", "notes", "modules")}
        field = "figures"
        figures = tuple(FigureNote(**item) for item in data[field])
        mappings = {name: dict(data[field := name]) for name in ("settings", "protocol", "versions", "platform")}
        texts = {
            name: _text(data[field := name]) for name in ("slug", "title", "date", "scale", "model", "method_digest")
        }
        field = "seconds"
        cost: dict[str, Any] = {"seconds": float(data[field]), "peak_memory": int(data["peak_memory"])}
    except KeyError as error:
        raise InputError(f"{source}: '{error.args[0]}' is missing in {field}; run the experiment again") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{source}: '{field}' does not fit ({error}); run the experiment again") from None
    ids = {claim.id for claim in claims}
    if set(assessments) != ids or not set(measurements) <= ids:
        raise InputError(f"{source}: claims, measurements and verdicts name different claims; run the experiment again")
    return Evidence(
        claims=claims, measurements=measurements, assessments=assessments, figures=figures, arxiv=data.get("arxiv"),
        tiny=tiny, confirmed=confirmed,
        **plain, **mappings, **texts, **cost,
    )  # fmt: skip


def collect(claims: Iterable[Claim], finished: Mapping[int, SeedData], seeds: Sequence[int]) -> dict[str, Measurement]:
    """Return the measurements of all claims over the finished seeds, in the seeds' order."""
    measurements = {}
    for claim in claims:
        data = {seed: finished[seed] for seed in seeds if seed in finished}
        rows = {
            seed: seed_data.measurements[claim.id]
            for seed, seed_data in data.items()
            if claim.id in seed_data.measurements
        }
        if not rows:
            continue
        arms = {
            role: tuple(tuple(row[role]) for row in rows.values() if role in row) for role in ("baseline", "method")
        }
        control = tuple(tuple(row["control"]) for row in rows.values() if "control" in row)
        timed = any(claim.id in data[seed].timed for seed in rows)
        measurements[claim.id] = Measurement(tuple(rows), arms["baseline"], arms["method"], control or None, timed)
    return measurements


def assess_all(claims: Iterable[Claim], measurements: Mapping[str, Measurement]) -> dict[str, Assessment]:
    """Return the verdict on every claim, from the measurements alone; those not measured are inconclusive."""
    from trued.lab.verdict import assess

    nothing = Measurement((), (), ())
    rows = {claim: measurements.get(claim.id, nothing) for claim in claims}
    return {claim.id: assess(claim, row.baseline, row.method, row.control) for claim, row in rows.items()}


def small_tables(tables: Iterable[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """Return the tables that are short enough to live in the evidence."""
    return tuple(table for table in tables if len(table["rows"]) <= _LARGEST_TABLE)


def is_stale(evidence: Evidence, module: str | None = None) -> bool:
    """Tell whether the code that the evidence rests on is neither what it was measured with nor confirmed since.

    Args:
        evidence: as it was measured.
        module: the experiment's module; the one in which its slug's experiment is written if None.
    """
    try:
        today = closure(module or module_of(evidence.slug)).digest
    except InputError:
        return True
    return today not in {evidence.method_digest, *(check.digest for check in evidence.confirmed)}


# JSON in and out


def _claim(item: Mapping[str, Any]) -> Claim:
    rest = {key: value for key, value in item.items() if key not in ("margin", "paper")}
    return Claim(**rest, margin=Margin(**item["margin"]), paper=PaperFigures(**(item.get("paper") or {})))


def _measurement(item: Mapping[str, Any]) -> Measurement:
    def rows(name: str) -> tuple[tuple[float, ...], ...]:
        return tuple(tuple(float(value) for value in row) for row in item[name])

    measurement = Measurement(
        tuple(item["seeds"]), rows("baseline"), rows("method"), rows("control") if item["control"] else None,
        bool(item.get("timed", False)),
    )  # fmt: skip
    shapes = {
        tuple(map(len, arm))
        for arm in (measurement.baseline, measurement.method, measurement.control)
        if arm is not None
    }
    if len(shapes) != 1 or {len(shape) for shape in shapes} != {len(measurement.seeds)}:
        raise ValueError("seeds and arms differ in length")
    return measurement


def _assessment(item: Mapping[str, Any]) -> Assessment:
    from trued.lab.verdict import Assessment, Kind, Verdict
    from trued.learn.statistics import Interval

    effect, control = (Interval(**item[name]) if item[name] else None for name in ("effect", "control"))
    return Assessment(effect, control, Verdict(Kind(item["verdict"]["kind"]), _text(item["verdict"]["why"])))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _indented(value: Any, depth: int = 0) -> str:
    """Return JSON indented for review, but with each list of plain values on a line of its own."""
    pad, inner = "  " * depth, "  " * (depth + 1)
    if isinstance(value, Mapping) and value:
        items = [f"{inner}{json.dumps(key)}: {_indented(item, depth + 1)}" for key, item in value.items()]
        return "{\n" + ",\n".join(items) + f"\n{pad}}}"
    if isinstance(value, list | tuple) and any(isinstance(item, list | tuple | Mapping) for item in value):
        return "[\n" + ",\n".join(inner + _indented(item, depth + 1) for item in value) + f"\n{pad}]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
