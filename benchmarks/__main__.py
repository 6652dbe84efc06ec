"""Run every benchmark, one after the other, then put the results into the README: `python -m benchmarks`.

Options are handed on: --tiny, --repeats, --threads. What needs a peer's own environment is left out unless its
interpreter is given, with a word on how to make it; its last committed result stays in the table.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ALONE = (
    "shared_prompt_logprobs",
    "embedding_attack",
    "generation",
    "suite_evaluation",
    "kth_threshold",
    "mutual_knn",
    "first_hitting",
    "categorical",
    "gallery_search",
    "paper_search",
)
WITH_PEER = {"dpo_training": "peer_python", "gcg_step": "nanogcg_python"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Run every benchmark, then the table.")
    parser.add_argument("--tiny", action="store_true", help="a random two-layer model: checks the scripts only")
    parser.add_argument("--repeats", default="3", help="rounds A B A B (default 3)")
    parser.add_argument("--threads", default="2", help="CPU threads of each side (default 2)")
    parser.add_argument("--peer-python", metavar="PYTHON", help="an environment with TRL; see benchmarks/README.md")
    parser.add_argument("--nanogcg-python", metavar="PYTHON", help="an environment with nanoGCG; see the same")
    given = parser.parse_args()
    options = ["--repeats", given.repeats, "--threads", given.threads, *(["--tiny"] if given.tiny else [])]
    failed = []
    for name in (*WITH_PEER, *ALONE):
        command = [sys.executable, str(HERE / f"{name}.py"), *options]
        if name in WITH_PEER:
            python = getattr(given, WITH_PEER[name])
            if python is None:
                option = WITH_PEER[name].replace("_", "-")
                print(f"{name}: left out; give --{option}, see benchmarks/README.md\n")
                continue
            command += ["--peer-python", python]
        if subprocess.run(command).returncode:
            failed.append(name)
        print()
    if failed:
        print(f"failed: {', '.join(failed)}; the table was not made anew")
        return 1
    return 0 if given.tiny else subprocess.run([sys.executable, str(HERE / "table.py")]).returncode


if __name__ == "__main__":
    sys.exit(main())
