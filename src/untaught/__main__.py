"""``python -m untaught`` is the command line."""

import sys

from untaught.cli import main

sys.exit(main())
