"""The red-team suite: many attacks on many behaviours of one model, judged in one way, recorded as it goes.

It measures models that one is responsible for: how often each attack works, how often at least one does, at what cost.
Every rate comes with the template, the system prompt, the decoding and the judge that gave it, and with how far that
judge agrees with people.

Knows attacks, targets and judges by their protocols. Knows nothing of any one attack, or of how results are shown.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from trued.data.prompts import judged_replies
from trued.errors import InputError
from trued.language.attack.contract import Behavior, ChatTarget, Cost, TestCase, checked
from trued.language.attack.journal import Journal, Row
from trued.language.attack.protocol import describe_target, described, notes_of
from trued.language.attack.result import SuiteResult
from trued.language.attack.scorer import guides_of
from trued.language.engine.generation import plan_batches
from trued.language.engine.model import BATCH_TOKENS
from trued.language.judge.reply import Judge, Label, compare

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Suite:
    """Attacks that are run together.

    Args:
        attacks: what is run, each an `Attack`; names must differ.
        seed: of all attacks.
        budget: most model passes an attack may spend on one behaviour; None sets no limit.
    """

    attacks: Sequence[Any]
    seed: int = 0
    budget: int | None = None

    def __post_init__(self) -> None:
        names = [attack.name for attack in self.attacks]
        if not names:
            raise InputError("a suite without attacks measures nothing; give at least one, such as Direct()")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"two attacks are called {twice[0]!r}, and rates go by name; run them in two suites")

    def evaluate(
        self,
        target: ChatTarget,
        behaviors: Sequence[Behavior],
        judge: Judge,
        *,
        journal: str | Path | None = None,
        progress: Progress | None = None,
    ) -> SuiteResult:
        """Attack, ask and judge. What is in the journal already is not done again.

        All replies that are missing are generated together after the last attack, in the engine's own batches, so the
        suite adds next to nothing to plain generation.

        Args:
            target: the model.
            behaviors: what it should refuse.
            judge: labels the replies; it sees the request and the reply, never the jailbreak. It should not be the
                one that guides an attack; the result says where it is.
            journal: a JSONL file, which several models of one suite may share; None keeps results in memory.
            progress: called with what is done, the whole of it, and what it is.

        Raises:
            InputError: no behaviours, a journal of another protocol, or a model of the same name with other weights.
        """
        checked(behaviors, self.budget)
        rows = Journal(journal, self.protocol(behaviors, judge, target))
        recorded = _Recorded(rows, target.model.name, describe_target(target))
        recorded.calibrate(judge)
        with target.model.deployed():
            left_out = self._attack(recorded, target, behaviors, progress)
            _reply(recorded, target, progress)
        _judge(recorded, behaviors, judge, progress)
        remarks = [note for helper in (*self.attacks, judge) for note in notes_of(helper)]
        return replace(self._result(recorded, behaviors, left_out), remarks=tuple(dict.fromkeys(remarks)))

    def protocol(self, behaviors: Sequence[Behavior], judge: Judge, target: ChatTarget) -> dict[str, Any]:
        """Return what the numbers of all models of the suite share, as it stands in the journal's first row."""
        texts = json.dumps([asdict(behavior) for behavior in behaviors], sort_keys=True)
        return {
            "attacks": {attack.name: described(attack) for attack in self.attacks},
            "guides": {attack.name: guides for attack in self.attacks if (guides := guides_of(attack))},
            "judge": judge.name,
            "behaviors": {"count": len(behaviors), "digest": hashlib.sha256(texts.encode()).hexdigest()[:16]},
            "system": target.system or "none (the template may add its own)",
            "decoding": f"greedy, {target.max_new_tokens} tokens",
            "seed": self.seed,
            "budget": self.budget,
        }

    def _attack(
        self, recorded: _Recorded, target: ChatTarget, behaviors: Sequence[Behavior], progress: Progress | None
    ) -> dict[str, str]:
        """Find the missing test cases; an attack that cannot run on this model is left out, with its reason."""
        left_out: dict[str, str] = {}
        for attack in self.attacks:
            done = {name for row in recorded.of("cases", attack=attack.name) for name in row["behaviors"]}
            open_ = [behavior for behavior in behaviors if behavior.id not in done]
            size = max(1, int(getattr(attack, "together", 1)))
            for start in range(0, len(open_), size):
                part = open_[start : start + size]
                try:
                    cases = attack.run(part, target, seed=self.seed, budget=self.budget)
                except InputError as error:
                    if done or start:
                        raise
                    left_out[attack.name] = str(error)
                    break
                # One line for all cases of a call: a run that is cut off has all of them or none.
                ids, rows = [behavior.id for behavior in part], [_row(case) for case in cases]
                recorded.append("cases", attack=attack.name, behaviors=ids, cases=rows)
                if progress is not None:
                    finished = len(behaviors) - len(open_) + start + len(part)
                    progress(finished, len(behaviors), f"{recorded.model}: {attack.name}")
        if len(left_out) == len(self.attacks):
            raise InputError(f"no attack can be run on {recorded.model}: {next(iter(left_out.values()))}")
        return left_out

    def _result(self, recorded: _Recorded, behaviors: Sequence[Behavior], left_out: dict[str, str]) -> SuiteResult:
        case_names = {
            attack.name: [case["attack"] for row in recorded.of("cases", attack=attack.name) for case in row["cases"]]
            for attack in self.attacks
        }
        names = [name for attack, own in case_names.items() for name in (own or [attack])]
        cases = tuple(_case(row) for row in recorded.cases)
        replies, labels = recorded.by_case("reply"), recorded.by_case("label")
        return SuiteResult(
            model=recorded.model,
            target=recorded.target,
            protocol=recorded.journal.rows[0]["protocol"],
            calibration=recorded.calibration,
            behaviors=tuple(behaviors),
            attacks=tuple(dict.fromkeys(names)),
            cases=cases,
            replies=tuple(replies[number] for number in range(len(cases))),
            labels=tuple(Label(labels[number]) for number in range(len(cases))),
            left_out=left_out,
        )


class _Recorded:
    """The rows of one model in a journal.

    Args:
        journal: the journal of all models of the suite.
        model: the model's name.
        target: what it is, from `describe_target`.

    Raises:
        InputError: the journal has another model of this name.
    """

    def __init__(self, journal: Journal, model: str, target: dict[str, Any]) -> None:
        self.journal, self.model, self.target = journal, model, target
        rows = self.of("target")
        if not rows:
            self.append("target", target=target)
            return
        for key, value in target.items():
            if rows[0]["target"].get(key) != value:
                raise InputError(
                    f"{journal.path} has results of another {model}: its {key} was {rows[0]['target'].get(key)} and is "
                    f"now {value}; give another output file"
                )

    def append(self, kind: str, **fields: Any) -> None:
        self.journal.append([{"kind": kind, "model": self.model, **fields}])

    def extend(self, kind: str, values: Mapping[int, str]) -> None:
        """Add one row a case."""
        self.journal.append(
            {"kind": kind, "model": self.model, "case": number, kind: value} for number, value in values.items()
        )

    def of(self, kind: str, **fields: Any) -> list[Row]:
        return self.journal.of(kind, model=self.model, **fields)

    @property
    def cases(self) -> list[Row]:
        """All test cases, numbered as `reply` and `label` rows count them."""
        return [case for row in self.of("cases") for case in row["cases"]]

    def by_case(self, kind: str) -> dict[int, str]:
        """Return what was written of each case under `kind`."""
        return {row["case"]: row[kind] for row in self.of(kind)}

    @property
    def calibration(self) -> dict[str, Any]:
        return self.journal.of("calibration")[0]["calibration"]

    def calibrate(self, judge: Judge) -> None:
        """Compare the judge with labelled replies, once a journal."""
        if self.journal.of("calibration"):
            return
        agreement = compare(judge, judged_replies())
        numbers = {name: round(getattr(agreement, name), 4) for name in ("accuracy", "refusal_accuracy", "kappa")}
        self.append("calibration", calibration={"replies": agreement.n, **numbers})


def _reply(recorded: _Recorded, target: ChatTarget, progress: Progress | None) -> None:
    """Generate the missing replies, batch by batch as the engine would, each batch written before the next."""
    done = recorded.by_case("reply")
    open_ = [(number, row) for number, row in enumerate(recorded.cases) if number not in done]
    turns = [target.conversation(row["messages"]) for _, row in open_]
    prefills = [row["prefill"] for _, row in open_]
    lm = target.model
    lengths = [len(lm.prompt_ids(turn, prefill=start)) for turn, start in zip(turns, prefills, strict=True)]
    finished = 0
    for batch in plan_batches(lengths, new_tokens=target.max_new_tokens, copies=1, budget=BATCH_TOKENS):
        starts = [prefills[i] for i in batch]
        drawn = lm.generate([turns[i] for i in batch], prefill=starts, max_new_tokens=target.max_new_tokens)
        recorded.extend("reply", {open_[i][0]: reply for i, (reply,) in zip(batch, drawn, strict=True)})
        finished += len(batch)
        if progress is not None:
            progress(finished, len(open_), f"{recorded.model}: replies")


def _judge(recorded: _Recorded, behaviors: Sequence[Behavior], judge: Judge, progress: Progress | None) -> None:
    """Label the replies that have no label yet."""
    texts = {behavior.id: behavior.prompt for behavior in behaviors}
    cases, replies, done = recorded.cases, recorded.by_case("reply"), recorded.by_case("label")
    open_ = [number for number in replies if number not in done]
    labels = judge.label([texts[cases[n]["behavior"]] for n in open_], [replies[n] for n in open_])
    recorded.extend("label", {number: str(label) for number, label in zip(open_, labels, strict=True)})
    if progress is not None and open_:
        progress(len(open_), len(open_), f"{recorded.model}: judged")


def _row(case: TestCase) -> Row:
    return {
        "attack": case.attack, "behavior": case.behavior_id, "messages": list(case.messages), "prefill": case.prefill,
        "cost": asdict(case.cost), "meta": dict(case.meta),
    }  # fmt: skip


def _case(row: Row) -> TestCase:
    cost = Cost(**row["cost"])
    return TestCase(row["behavior"], row["messages"], row["prefill"], row["attack"], cost, row["meta"])
