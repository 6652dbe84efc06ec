"""`python -m trued`: the same as `trued`."""

import sys

from trued.cli.start import main

sys.exit(main())
