"""Options that several commands share, so that they are spelled and explained the same everywhere.

Knows names and help texts. Knows nothing of what a command does with them.
"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

Switch = Annotated[bool, Parameter(negative="", show_default=False)]
JsonSwitch = Annotated[
    bool, Parameter(name="--json", negative="", show_default=False, help="Print JSON for machines.")
]  # fmt: skip
