"""The output in the README, printed by the command itself: `python docs/readme_output.py` (minutes).

Runs the README's first command on the embedded model, 80 columns wide, and puts what it prints between the markers.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from trued.files import write_text

README = Path(__file__).parents[1] / "README.md"
COMMAND = ("check", "--quick")
BEGIN, END = "<!-- output:begin -->", "<!-- output:end -->"


def main() -> int:
    """Write the output into the README."""
    settings = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}
    done = subprocess.run([sys.executable, "-m", "trued", *COMMAND], stdout=subprocess.PIPE, text=True, env=settings)
    if done.returncode:
        return done.returncode
    lines = "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines())
    text = README.read_text(encoding="utf-8")
    block = f"{BEGIN}\n```\n{lines}\n```\n{END}"
    write_text(README, re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: block, text, flags=re.DOTALL))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
