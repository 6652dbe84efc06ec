"""``python -m trued``: the command line, where the installed `trued` is not on the path."""

import sys

from trued.cli.start import main

if __name__ == "__main__":
    sys.exit(main())
