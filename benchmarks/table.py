"""The tables of benchmarks, from benchmarks/results/*.json: `python benchmarks/table.py`.

Five rows go into the README, all of them, with targets, floors and machines, into benchmarks/README.md.

Nothing in it is typed in. A benchmark without a result has no row; a tiny run's result is refused.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trued.errors import InputError
from trued.files import write_text

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
ALL = HERE / "README.md"
SHOWN = ("dpo_training", "shared_prompt_logprobs", "generation", "gcg_step", "first_hitting")
ORDER = (
    "dpo_training", "shared_prompt_logprobs", "embedding_attack", "gcg_step", "generation", "suite_evaluation",
    "kth_threshold", "first_hitting", "categorical", "gallery_search", "mutual_knn", "paper_search",
)  # fmt: skip
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


def main() -> int:
    try:
        results = read_results(HERE / "results")
        write_text(README, with_table(README.read_text(encoding="utf-8"), short_table(results), README))
        write_text(ALL, with_table(ALL.read_text(encoding="utf-8"), table(results), ALL))
    except InputError as error:
        print(f"table: {error}", file=sys.stderr)
        return 2
    print(f"{len(results)} results are in benchmarks/{ALL.name}, {len(SHOWN)} of them in {README.name}")
    return 0


def read_results(folder: Path) -> list[dict[str, Any]]:
    """Return the results there are, in the table's order, unknown names last.

    Raises:
        InputError: a file that is no result, or one of a tiny run.
    """
    results = []
    for path in sorted(folder.glob("*.json")):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            tiny = result["tiny"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path.name} is not a result of a benchmark: run its benchmark again") from error
        if tiny:
            raise InputError(f"{path.name} is of a tiny run, whose figures mean nothing: run it without --tiny")
        results.append(result)
    known = {name: place for place, name in enumerate(ORDER)}
    return sorted(results, key=lambda result: known.get(result["name"], len(known)))


def with_table(page: str, lines: list[str], path: Path) -> str:
    """Return a page with the table between its markers made anew.

    Raises:
        InputError: the markers are missing.
    """
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if not pattern.search(page):
        raise InputError(f"{path.name} has no {BEGIN} … {END}: put both where the table belongs")
    return pattern.sub(lambda _: "\n".join([BEGIN, *lines, END]), page)


def short_table(results: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the lines of the README's table: the first comparison of each benchmark in `SHOWN`."""
    lines = ["| what | peer | speed | peak memory |", "|---|---|---|---|"]
    named = {result["name"]: result for result in results}
    for name in SHOWN:
        if name in named:
            result, ratio = named[name], named[name]["ratios"][0]
            peer = ratio["peer"] if len(result["ratios"]) > 1 else result["peer"]
            speed = f"**{spread(ratio['speed'], '{:.1f}')}×**"
            lines.append(f"| {result['what']} | {peer} | {speed} | {memory(result, ratio)} |")
    return lines


def table(results: list[Mapping[str, Any]]) -> list[str]:
    """Return the lines of the table, one a comparison, with the machine below; none without results."""
    if not results:
        return []
    lines = ["| what | peer | target | speed | peak memory | floor | command |", "|---|---|---|---|---|---|---|"]
    for result in results:
        for number, ratio in enumerate(result["ratios"]):
            label = result["what"] if number == 0 else "the same"
            if ratio["ours"] != "trued":
                label += f" ({ratio['ours']})"
            first = number == 0
            cells = [
                label,
                ratio["peer"] if len(result["ratios"]) > 1 else result["peer"],
                result["target"] if first else "",
                f"**{spread(ratio['speed'], '{:.2f}')}×**",
                memory(result, ratio),
                floor(result) if first else "",
                f"`{result['command']}`" if first else "",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return [*lines, "", *machines(results)]


def spread(values: Mapping[str, float], form: str) -> str:
    """Median and range, as "3.10 (3.05–3.17)"."""
    low, middle, high = (form.format(values[key]) for key in ("min", "median", "max"))
    return f"{middle} ({low}–{high})"


def memory(result: Mapping[str, Any], ratio: Mapping[str, Any]) -> str:
    """Ours as a share of the peer's; a peer that needs none beside its data has no share."""
    ours, peer = (statistics.median(result["sides"][ratio[side]]["memory_bytes"]) for side in ("ours", "peer"))
    if peer < 1e6:
        return f"{ours / 1e6:.0f} MB, the peer's none"
    return spread({key: 100 * ratio["memory"][key] for key in ("median", "min", "max")}, "{:.0f}") + " %"


def floor(result: Mapping[str, Any]) -> str:
    """The least work of the task, and how many times its least time ours took; empty where none was worked out."""
    least = result["floor"]
    if least is None:
        return ""
    seconds = statistics.median(result["sides"]["trued"]["seconds"])
    work = f"{least['flops'] / 1e9:,.0f} GFLOP, {least['bytes'] / 1e9:.1f} GB"
    return f"{work}; ours takes {seconds / least['seconds']:.1f}× its time"


def machines(results: Iterable[Mapping[str, Any]]) -> list[str]:
    """One line for each setting that the results were measured in."""
    settings = []
    for result in results:
        versions = {key: value for side in result["sides"].values() for key, value in side["versions"].items()}
        listed = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
        line = f"{result['processor']}, {result['threads']} threads, {result['rounds']} rounds; {listed}."
        settings.append(line)
    lead = "Median (range) of rounds; speed is ours over the peer's, memory the growth of ours over the peer's. "
    return [lead + " ".join(dict.fromkeys(settings))]


if __name__ == "__main__":
    sys.exit(main())
