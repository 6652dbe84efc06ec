"""Measure trued and its peers side by side: fresh processes in the order A B A B, each measuring itself.

Every measurement is a process of its own, so a side may live in another environment, none inherits another's caches or
threads, and memory means the same for all: how far the resident set grew, at its peak, over the loaded model and data.
Ratios are taken within a round, between neighbours in time.

Knows processes, clocks, memory, floors and JSON. Knows nothing of what is measured. Imports the standard library only,
because the peers' environments run it, too.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
REHEARSALS = HERE.parent / "build" / "benchmarks"  # `--tiny` results mean nothing and are not kept in git
PACKAGES = ("torch", "transformers", "peft", "trl", "nanogcg")
WORDS = (  # noqa: SIM905 - a list would be fifty lines
    "the a river stone light morning table garden of in on under over with and but then slowly always "
    "never seven green open quiet walk carry build answer question reason number letter market winter "
    "bridge small large old new people water paper window story music doctor teacher because while "
    "after before each every other between"
).split()


@dataclass(frozen=True)
class Work:
    """A side made ready: model loaded, data laid out.

    Args:
        run: what is timed; returns JSON values. "seconds", if it is among them, replaces the time of the whole call,
            and "amount" is how many units of work were done in it.
        warm_up: called before, not timed; what it allocates counts as memory.
        after: called after, neither timed nor counted as memory; returns further values.
    """

    run: Callable[[], dict[str, Any]]
    warm_up: Callable[[], object] = lambda: None
    after: Callable[[], dict[str, Any]] = dict


@dataclass(frozen=True)
class Side:
    """One way to do the work; `elsewhere` runs it with the interpreter of `--peer-python`."""

    name: str
    prepare: Callable[[dict[str, Any]], Work]
    elsewhere: bool = False


@dataclass(frozen=True)
class Benchmark:
    """What is compared.

    Args:
        name: of the file, and of its result.
        what, peer, target: for the table.
        unit: what `amount` counts.
        sides: trued first, then its peers.
        compare: takes each side's values of every round, returns named findings: do both compute the same?
        settings: of the real and of the tiny run; handed to every side.
        shared: makes data that all sides need, once, in trued's environment; takes settings and a folder.
        elsewhere: how to make the peers' environment; without it all sides share this one.
        ratios: which sides to compare, (ours, peer); by default the first one with each other.
    """

    name: str
    what: str
    peer: str
    target: str
    unit: str
    sides: Sequence[Side]
    compare: Callable[[dict[str, list[dict[str, Any]]]], dict[str, Any]]
    settings: Mapping[str, Any]
    tiny: Mapping[str, Any]
    shared: Callable[[dict[str, Any], Path], dict[str, Any]] | None = None
    elsewhere: str = ""
    ratios: Sequence[tuple[str, str]] = ()

    def main(self) -> int:
        """Run from the command line; returns the exit code."""
        parser = argparse.ArgumentParser(description=self.what)
        parser.add_argument("--tiny", action="store_true", help="a random two-layer model: checks the script only")
        parser.add_argument("--repeats", type=int, default=3, help="rounds A B A B (default 3)")
        parser.add_argument("--threads", type=int, default=2, help="CPU threads of each side (default 2)")
        parser.add_argument("--output", type=Path, help="where the result goes (default benchmarks/results/NAME.json)")
        parser.add_argument("--worker", help=argparse.SUPPRESS)
        parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
        if self.elsewhere:
            parser.add_argument("--peer-python", metavar="PYTHON", help=self.elsewhere)
        given = parser.parse_args()
        if given.worker is not None:
            given.result.write_text(json.dumps(_worker(self, given.worker, json.load(sys.stdin))))
            return 0
        if given.repeats < 1 or given.threads < 1:
            parser.error(f"--repeats {given.repeats} and --threads {given.threads}: both are at least 1")
        python = getattr(given, "peer_python", None)
        if self.elsewhere and python is None:
            parser.error(f"--peer-python is missing: {self.elsewhere}")
        result = _measure(self, tiny=given.tiny, rounds=given.repeats, threads=given.threads, python=python)
        print(describe(result))
        from trued.files import write_text

        path = given.output or (REHEARSALS if given.tiny else RESULTS) / f"{self.name}.json"
        write_text(path, json.dumps(result, indent=1) + "\n")
        print(f"written to {os.path.relpath(path)}")
        return 0


# -- the runner --------------------------------------------------------------------------------------------------------


def _measure(benchmark: Benchmark, *, tiny: bool, rounds: int, threads: int, python: str | None) -> dict[str, Any]:
    settings = {**(benchmark.tiny if tiny else benchmark.settings), "tiny": tiny, "threads": threads}
    measured: dict[str, list[dict[str, Any]]] = {side.name: [] for side in benchmark.sides}
    with tempfile.TemporaryDirectory() as folder:
        settings["folder"] = folder
        if benchmark.shared is not None:
            settings |= _call(sys.executable, "shared", settings)["values"]
        for number in range(1, rounds + 1):
            for side in benchmark.sides:
                print(f"{benchmark.name}: round {number} of {rounds}, {side.name}", file=sys.stderr, flush=True)
                interpreter = python if side.elsewhere and python else sys.executable
                measured[side.name].append(_call(interpreter, side.name, settings))
    values = {name: [run["values"] for run in ones] for name, ones in measured.items()}
    first, *others = (side.name for side in benchmark.sides)
    pairs = benchmark.ratios or [(first, other) for other in others]
    return {
        "name": benchmark.name,
        "what": benchmark.what,
        "peer": benchmark.peer,
        "target": benchmark.target,
        "unit": benchmark.unit,
        "command": f"python benchmarks/{benchmark.name}.py" + (" --peer-python PYTHON" if benchmark.elsewhere else ""),
        "tiny": tiny,
        "rounds": rounds,
        "threads": threads,
        "when": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": _processor(),
        "settings": dict(benchmark.tiny if tiny else benchmark.settings),
        "sides": {
            name: {
                "seconds": [run["seconds"] for run in ones],
                "amount": ones[0]["values"].get("amount", 1),
                "memory_bytes": [run["memory_bytes"] for run in ones],
                "versions": ones[0]["versions"],
            }
            for name, ones in measured.items()
        },
        "ratios": [_ratio(ours, peer, measured[ours], measured[peer]) for ours, peer in pairs],
        "floor": values[first][0].get("floor"),
        "findings": benchmark.compare(values),
    }


def _call(python: str, worker: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Run one measurement in a fresh process; its result comes back in a file, as peers write to standard output."""
    result = Path(settings["folder"]) / "result.json"
    result.unlink(missing_ok=True)
    command = [python, os.path.abspath(sys.argv[0]), "--worker", worker, "--result", str(result)]
    quiet = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "HF_HUB_DISABLE_XET": "1"}
    environment = {**os.environ, **quiet, "OMP_NUM_THREADS": str(settings["threads"])}
    done = subprocess.run(command, input=json.dumps(settings), capture_output=True, text=True, env=environment)
    if done.returncode or not result.exists():
        sys.exit(f"{done.stderr[-4000:]}\nthe side '{worker}' failed with code {done.returncode}")
    return json.loads(result.read_text())


def _worker(benchmark: Benchmark, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    import torch

    torch.set_num_threads(settings["threads"])
    if name == "shared":
        assert benchmark.shared is not None
        return {"values": benchmark.shared(settings, Path(settings["folder"]))}
    side = next(side for side in benchmark.sides if side.name == name)
    work = side.prepare(settings)
    gc.collect()
    memory = Memory()
    work.warm_up()
    start = time.perf_counter()
    values = work.run()
    seconds = values.pop("seconds", time.perf_counter() - start)
    grown = memory.grown()
    versions = {package: version for package in PACKAGES if (version := _version(package))}
    return {"seconds": seconds, "memory_bytes": grown, "versions": versions, "values": values | work.after()}


class Memory:
    """How far this process has grown, at its peak, since the object was made.

    Linux can forget the peak of loading the model, so that growth is counted from what is resident now; elsewhere it
    is counted from the highest mark so far.
    """

    def __init__(self) -> None:
        try:
            Path("/proc/self/clear_refs").write_text("5")
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self.before = pages * resource.getpagesize()
        except OSError:
            self.before = _highest()

    def grown(self) -> int:
        return max(_highest() - self.before, 1)


def _highest() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _ratio(ours: str, peer: str, mine: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Speed and memory of ours as a multiple of the peer's, round by round; both did the same amount of work."""
    rounds = list(zip(mine, theirs, strict=True))
    return {
        "ours": ours,
        "peer": peer,
        "speed": _spread([p["seconds"] / o["seconds"] for o, p in rounds]),
        "memory": _spread([o["memory_bytes"] / p["memory_bytes"] for o, p in rounds]),
    }


def _spread(values: Sequence[float]) -> dict[str, Any]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "rounds": list(values)}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        name = ""
    return f"{name or platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def describe(result: Mapping[str, Any]) -> str:
    """Return a result as text for the terminal."""
    head = f"{result['name']}: {result['what']}"
    setting = f"{result['processor']}; {result['threads']} threads, {result['rounds']} rounds"
    lines = [head, setting + ("; TINY: the figures mean nothing" if result["tiny"] else "")]
    for name, side in result["sides"].items():
        seconds, memory = statistics.median(side["seconds"]), statistics.median(side["memory_bytes"])
        rate = f"{side['amount'] / seconds:,.2f} {result['unit']}/s"
        lines.append(f"  {name:<40} {seconds:>9.3f} s  {rate:>20}  {memory / 1e6:>8,.0f} MB")
    for ratio in result["ratios"]:
        speed, share = ratio["speed"], ratio["memory"]
        beside = f"  {ratio['ours']} beside {ratio['peer']}: "
        beside += f"{speed['median']:.2f}x ({speed['min']:.2f}-{speed['max']:.2f}) the speed"
        if statistics.median(result["sides"][ratio["peer"]]["memory_bytes"]) >= 1e6:  # else a share means nothing
            beside += f", {share['median']:.0%} ({share['min']:.0%}-{share['max']:.0%}) of the memory"
        lines.append(beside)
    if floor := result["floor"]:
        lines.append(
            f"  floor: {floor['flops']:.3g} FLOP, {floor['bytes']:.3g} bytes; on this machine {floor['seconds']:.3g} s "
            f"({floor['flop_rate'] / 1e9:.0f} GFLOP/s, {floor['byte_rate'] / 1e9:.0f} GB/s)"
        )
    lines += [f"  {name}: {value}" for name, value in result["findings"].items()]
    return "\n".join([*lines, f"  target: {result['target']}"])


# -- data and floors ---------------------------------------------------------------------------------------------------


def text_of(tokens: int, count: Callable[[str], int], generator: random.Random) -> str:
    """Return random words that make up `tokens` tokens, as `count` counts them, or the least number above."""
    words: list[str] = []
    while count(" ".join(words)) < tokens:
        words.append(generator.choice(WORDS))
    return " ".join(words)


def seen_pairs(prompt: int, replies: Sequence[int]) -> float:
    """Return how many (query, key) pairs attention needs for a prompt and replies that all continue it."""
    return prompt**2 / 2 + sum(reply * prompt + reply**2 / 2 for reply in replies)


@dataclass(frozen=True)
class Size:
    """The numbers of a decoder that decide what work on it costs."""

    linear: int  # weights of the linear layers, the head's not included
    head: int
    attention: int  # layers x heads x width of a head
    cache: int  # numbers kept per token: keys and values of all layers
    weight_bytes: int

    @classmethod
    def of(cls, lm: Any) -> Size:
        from torch import nn

        config, head = lm.config, lm.head.weight
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        linear = sum(m.weight.numel() for m in lm.backbone.modules() if isinstance(m, nn.Linear))
        return cls(
            linear,
            head.numel(),
            config.num_hidden_layers * config.num_attention_heads * width,
            2 * config.num_hidden_layers * config.num_key_value_heads * width,
            (linear + head.numel()) * head.element_size(),
        )

    def forward(self, tokens: float, scored: float, seen: float) -> float:
        """FLOPs of a forward pass: `tokens` through the layers, `scored` of them through the head."""
        return 2 * self.linear * tokens + 2 * self.head * scored + 4 * self.attention * seen

    def backward(self, tokens: float, scored: float, seen: float) -> float:
        """FLOPs of a backward pass to activations only, as with frozen weights; attention has two inputs a product."""
        return 2 * self.linear * tokens + 2 * self.head * scored + 8 * self.attention * seen


def floor_of(flops: float, traffic: float) -> dict[str, float]:
    """Return the least time for this work on this machine: its best bfloat16 GEMM and memory rates, measured here."""
    import torch

    left, right = torch.randn(1024, 576).bfloat16(), torch.randn(576, 1536).bfloat16()
    flop_rate = 2 * 1024 * 576 * 1536 / _fastest(lambda: left @ right, 20)
    source = torch.zeros(1 << 25)
    target = torch.empty_like(source)
    byte_rate = 2 * source.numel() * 4 / _fastest(lambda: target.copy_(source), 5)
    return {
        "flops": flops,
        "bytes": traffic,
        "flop_rate": flop_rate,
        "byte_rate": byte_rate,
        "seconds": max(flops / flop_rate, traffic / byte_rate),
    }


def _fastest(call: Callable[[], object], times: int) -> float:
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best
