"""Packs the committed evidence beside the code, so that an installed copy shows the verdicts too."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

EVIDENCE = Path("docs", "evidence")


class WithEvidence(build_py):
    """Copies docs/evidence into the package that is built; a checkout reads it where it lies."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            shutil.copytree(EVIDENCE, Path(self.build_lib, "trued", "evidence"), dirs_exist_ok=True)


setup(cmdclass={"build_py": WithEvidence})
