"""`Lab`: what an experiment works with: its seeds, its scale, and the places where it puts what it found.

Knows the card's claims and the run's store. Knows nothing of any method, of statistics or of the report's look.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from trued.errors import InputError, nearest
from trued.lab.arms import Arms, Column, Value, read
from trued.lab.arms import rows as arm_rows
from trued.lab.cache import Cache
from trued.lab.measurement import TIMED, SeedData, json_copy, same_items, values_of
from trued.lab.platform import peak_bytes
from trued.lab.progress import Bars
from trued.papers.card import Claim

if TYPE_CHECKING:
    from trued.papers.card import Card

T = TypeVar("T")

MODEL = "model"
"""The kind of the exhibit that says where the model comes from."""


class SeedStore(Protocol):
    """Where finished seeds are kept; `trued.lab.runs.Run` is one."""

    def finished(self) -> dict[int, SeedData]: ...

    def commit(self, seed: int, data: SeedData) -> None: ...

    def abandon(self, seed: int, seconds: float) -> None: ...


@dataclass
class Lab:
    """The bench of one run of one experiment.

    Attributes:
        card: the paper's card, whose claims are measured.
        scale: the sizes at this scale, as the experiment defined them.
        scale_name: "tiny", "desktop" or "full".
        wanted: all seeds of this run; iterate `seeds` for those that are not finished yet.
        store: where finished seeds go.
        folder: for artifacts such as adapters. It lies on this machine: keep what a later session needs by `record`.
        cache: where `cached` keeps its results.
        model, data, device: what the user chose, or None for the experiment's own choice.
        model_name: the model's name for the evidence; an experiment sets it once it has loaded one.
        model_facts: where the model lies and comes from, with a hash of its weights, set with the name. Paths are of
            this machine, so the report shows them and the evidence does not.
        bars: progress display.
    """

    card: Card
    scale: Any
    scale_name: str
    wanted: tuple[int, ...]
    store: SeedStore
    folder: Path
    cache: Cache
    model: str | None = None
    data: str | None = None
    device: str | None = None
    model_name: str = ""
    model_facts: dict[str, Any] = field(default_factory=dict)
    bars: Bars = field(default_factory=lambda: Bars(shown=False))
    notes: list[str] = field(default_factory=list, init=False)
    settings: dict[str, Any] = field(default_factory=dict, init=False)
    finished: dict[int, SeedData] = field(init=False)
    _shared: dict[str, Any] = field(default_factory=dict, init=False)
    _tail: list[dict[str, Any]] = field(default_factory=list, init=False)
    _current: tuple[int, SeedData, float] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.finished = self.store.finished()

    # Seeds

    @property
    def seeds(self) -> Seeds:
        """The seeds of this run; iterating yields those that are not finished."""
        return Seeds(self)

    def begin(self, seed: int) -> None:
        """Open `seed`: what is measured from now on belongs to it. The loop over `seeds` calls this."""
        self._current = (seed, SeedData(records=dict(self._shared)), time.perf_counter())

    def commit(self) -> None:
        """Mark the seed in progress as finished and store what it measured. The loop over `seeds` calls this."""
        if self._current is None:
            return
        seed, data, start = self._current
        for claim_id, arms in data.measurements.items():
            for other, earlier in self.finished.items():
                if claim_id in earlier.measurements and earlier.measurements[claim_id].keys() != arms.keys():
                    raise InputError(
                        f"claim '{claim_id}': seed {seed} has {', '.join(arms)}, but seed {other} has "
                        f"{', '.join(earlier.measurements[claim_id])}; measure the control in every seed or in none"
                    )
        data.seconds = time.perf_counter() - start
        data.peak_bytes = peak_bytes()
        self.store.commit(seed, data)
        self.finished[seed] = data
        self._current = None

    def abandon(self) -> None:
        """Forget the seed in progress, if there is one."""
        if self._current is not None:
            seed, _, start = self._current
            self._current = None
            self.store.abandon(seed, time.perf_counter() - start)

    # What is measured

    def measure(
        self, claim_id: str, seed: int, *, baseline: Any, method: Any, control: Any = None, timed: bool = False
    ) -> None:
        """Keep what the baseline and the method gave for a claim, side by side.

        Args:
            claim_id: the claim's id on the card.
            seed: the seed in progress.
            baseline: a number or one number per item, in the claim's unit; shares from 0 to 1.
            method: the same for the method, on the same items in the same order.
            control: the same for the negative control, where the claim has one; see `control`.
            timed: the values, a control's too, come from a clock or a memory meter: no run gives them again.

        Raises:
            InputError: no such claim, not the seed in progress, measured twice, not finite, or not as many values.
        """
        claim, data = self._claim(claim_id), self._data(seed, f"measure '{claim_id}'")
        if claim_id in data.measurements:
            raise InputError(f"claim '{claim_id}' is measured twice in seed {seed}; measure it once")
        before = values_of(baseline, claim=claim, seed=seed, role="baseline")
        after = values_of(method, claim=claim, seed=seed, role="method")
        same_items(claim, seed, after, len(before), "the baseline")
        for other, earlier in self.finished.items():
            if claim_id in earlier.measurements:
                same_items(claim, seed, before, len(earlier.measurements[claim_id]["baseline"]), f"seed {other}")
        data.measurements[claim_id] = {"baseline": before, "method": after}
        if timed:
            data.records[TIMED] = [*data.records.get(TIMED, ()), claim_id]
        if control is not None:
            self.control(claim_id, seed, control)

    def control(self, claim_id: str, seed: int, values: Any) -> None:
        """Keep what the negative control gave in the method's place. It is compared with the same baseline.

        Raises:
            InputError: as `measure`, or the claim was not measured in this seed before.
        """
        claim, data = self._claim(claim_id), self._data(seed, f"control '{claim_id}'")
        measured = data.measurements.get(claim_id)
        if measured is None:
            raise InputError(f"claim '{claim_id}', seed {seed}: a control without a measurement; call measure first")
        if "control" in measured:
            raise InputError(f"claim '{claim_id}' has two controls in seed {seed}; give one")
        control = values_of(values, claim=claim, seed=seed, role="control")
        same_items(claim, seed, control, len(measured["baseline"]), "the baseline")
        measured["control"] = control

    def compare(
        self, claim_id: str, seed: int, value: Value, *, baseline: str, method: str, control: str | None = None,
        timed: bool = False,
    ) -> None:  # fmt: skip
        """Measure a claim on what arms recorded in this seed.

        Args:
            value: what is read from each arm's record: a key, keys joined by dots, or a function.
            baseline, method, control: the arms, as `record` named them.

        Raises:
            InputError: as `measure`, or an arm recorded nothing in this seed.
        """
        arms = {}
        for role, arm in (("baseline", baseline), ("method", method), ("control", control)):
            if arm is not None:
                if seed not in self.records(arm):
                    raise InputError(f"claim '{claim_id}', seed {seed}: arm '{arm}' recorded nothing; record it first")
                arms[role] = read(self.records(arm)[seed], value)
        self.measure(claim_id, seed, **arms, timed=timed)

    def shared(self, key: str, compute: Callable[[], Any]) -> Any:
        """Return what is the same in every seed, computed once a run and kept with each seed's records.

        A run that was cut off finds it among the records of its finished seeds.
        """
        if key not in self._shared:
            earlier = self.records(key)
            value = next(iter(earlier.values())) if earlier else compute()
            self._shared[key] = json_copy(value, what=f"shared '{key}'")
        if self._current is not None:
            self._current[1].records[key] = self._shared[key]
        return self._shared[key]

    def is_first(self, seed: int) -> bool:
        """Tell whether this is the run's first seed, in which what is shown once is measured."""
        return seed == self.wanted[0]

    def record(self, key: str, seed: int, value: Any) -> None:
        """Keep any JSON value of a seed, for figures and tables that are drawn after the loop."""
        self._data(seed, f"record '{key}'").records[key] = json_copy(value, what=f"record '{key}', seed {seed}")

    def records(self, key: str) -> dict[int, Any]:
        """Return seed → what was recorded under `key`, of seeds finished in earlier sessions too."""
        by_seed = {seed: self.finished[seed] for seed in self.wanted if seed in self.finished}
        if self._current is not None:
            by_seed[self._current[0]] = self._current[1]
        return {seed: data.records[key] for seed, data in by_seed.items() if key in data.records}

    def arms(self, *names: str) -> dict[str, list[Any]]:
        """Return arm → its records in the order of the seeds; arms without any are left out."""
        return {name: list(runs.values()) for name in names if (runs := self.records(name))}

    # What is shown

    def figure(
        self, name: str, draw: Callable[..., None], *, alt: str, caption: str = "", panels: int = 1, **options: Any
    ) -> str:
        """Draw a figure for the report and return it as SVG text.

        Args:
            name: a short title; also the name of the SVG file.
            draw: called with a matplotlib `Axes`, or with a list of them when there are several panels.
            alt: what the figure shows, in a sentence, for readers who do not see it.
            caption: printed below.
            panels: axes side by side.
            options: handed to `draw`, such as what `trued.lab.plots` wants.
        """
        from trued.lab.figure import draw_svg

        if not alt.strip():
            raise InputError(f"figure '{name}' has no alt text; say in a sentence what it shows")
        svg = draw_svg(partial(draw, **options), panels=panels)
        self._show({"kind": "figure", "name": name, "svg": svg, "alt": alt, "caption": caption})
        return svg

    def table(self, name: str, rows: Sequence[Mapping[str, Any]], caption: str = "") -> None:
        """Show rows that share their keys as a table; the keys are its columns."""
        rows = [dict(row) for row in rows]
        if any(row.keys() != rows[0].keys() for row in rows):
            raise InputError(f"table '{name}': the rows differ in their columns; give each row the same keys")
        self._show({"kind": "table", "name": name, "rows": rows, "caption": caption})

    def arm_table(
        self, name: str, arms: Arms, columns: Mapping[str, Column], caption: str = "", first: str = "arm"
    ) -> None:
        """Show one row an arm; columns are those of `trued.lab.arms`, means over seeds and items.

        Args:
            first: the name of the column of the arms' names.
        """
        self.table(name, arm_rows(arms, columns, first), caption)

    def example(self, title: str, before: str, after: str, note: str = "") -> None:
        """Show one answer before and after. The texts may contain anything: the report escapes them."""
        self._show({"kind": "example", "title": title, "before": before, "after": after, "note": note})

    def note(self, text: str) -> None:
        """State a limit: what this scale cannot show."""
        if text not in self.notes:
            self.notes.append(text)

    def protocol(self, **settings: Any) -> None:
        """Put settings into the evidence: whatever a reader needs to repeat the measurement."""
        self.settings.update(json_copy(settings, what="protocol"))

    def exhibits(self) -> list[dict[str, Any]]:
        """Return all figures, tables and examples, those made within seeds first, seed by seed; then the model."""
        model = [{"kind": MODEL, "facts": json_copy(self.model_facts, what="model")}] if self.model_facts else []
        in_seeds = [
            exhibit for seed in self.wanted if seed in self.finished for exhibit in self.finished[seed].exhibits
        ]
        return [*in_seeds, *self._tail, *model]

    # Help with long work

    def log(self, text: str) -> None:
        """Say what is being done now, on the error stream, after the paper's name."""
        self.bars.log(f"{self.card.slug} · {text}")

    def progress(self, iterable: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        """Iterate with a progress bar that shows the time left."""
        return self.bars.track(iterable, description, total)

    def cached(self, name: str, fn: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Return `fn(*args, **kwargs)`, computed once for these arguments and this source; see `trued.lab.cache`."""
        return self.cache.cached(name, fn, *args, **kwargs)

    def _claim(self, claim_id: str) -> Claim:
        claims = {claim.id: claim for claim in self.card.claims}
        if claim_id not in claims:
            known = ", ".join(claims) or "none"
            raise InputError(
                f"{self.card.slug} has no claim '{claim_id}'{nearest(claim_id, claims)} (claims on the card: {known})"
            )
        return claims[claim_id]

    def _data(self, seed: int, what: str) -> SeedData:
        if self._current is None or self._current[0] != seed:
            now = "no seed is in progress" if self._current is None else f"seed {self._current[0]} is in progress"
            raise InputError(f"{what}: seed {seed}, but {now}; call it inside `for seed in lab.seeds`")
        return self._current[1]

    def _show(self, exhibit: dict[str, Any]) -> None:
        exhibit = json_copy(exhibit, what=f"{exhibit['kind']} '{exhibit.get('name') or exhibit.get('title')}'")
        (self._tail if self._current is None else self._current[1].exhibits).append(exhibit)


@dataclass(frozen=True)
class Seeds:
    """The seeds of a run. A seed is finished, and stored, when the loop asks for the next one.

    Leaving the loop early, by an exception, `break` or `return`, leaves nothing of the seed that was in progress.
    """

    lab: Lab

    def __len__(self) -> int:
        return len(self.lab.wanted)

    def __iter__(self) -> Iterator[int]:
        lab = self.lab
        for seed in lab.wanted:
            if seed in lab.finished:
                continue
            lab.bars.log(f"{lab.card.slug} · seed {seed} · {self._outlook()}")
            lab.begin(seed)
            done = False
            try:
                yield seed
                done = True
            finally:
                if not done:
                    lab.abandon()
            lab.commit()

    def _outlook(self) -> str:
        seconds = [self.lab.finished[seed].seconds for seed in self.lab.wanted if seed in self.lab.finished]
        text = f"{len(seconds)} of {len(self)} finished"
        if seconds:
            left = (len(self) - len(seconds)) * sum(seconds) / len(seconds)
            text += f", about {max(1, round(left / 60))} min left"
        return text
