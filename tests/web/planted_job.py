"""The run page's job with a planted experiment in the place of c-advul's: quick, and led by files from outside.

Run as `python planted_job.py FOLDER`: each seed first waits for the file `go-SEED` in that folder.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trued.lab import executor
from trued.lab.experiment import experiment
from trued.web import job

FOLDER = Path(sys.argv[1])


@dataclass(frozen=True)
class Scale:
    items: int = 20


@experiment("c-advul", scales={"tiny": Scale()})
def planted(lab):
    print("an experiment may print")
    for seed in lab.seeds:
        for _ in lab.progress(iter((FOLDER / f"go-{seed}").exists, True), "waiting"):
            time.sleep(0.02)
        for _ in lab.progress(range(4), f"steps of seed {seed}"):
            time.sleep(0.05)
        if (FOLDER / "fail").exists():
            raise ZeroDivisionError("planted")
        baseline = np.random.default_rng(seed).uniform(0.8, 1.0, lab.scale.items)
        lab.measure("robust-continuous", seed, baseline=baseline, method=baseline + 1)
        lab.control("robust-continuous", seed, baseline)
    lab.table("Rows", [{"text": "<script>alert(1)</script>"}])


if __name__ == "__main__":
    executor.load_experiment = job.load_experiment = lambda slug: planted
    sys.exit(job.main())
