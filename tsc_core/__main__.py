"""`python -m tsc_core` is `tsc`."""

import sys

from tsc_core.cli import main

sys.exit(main())
