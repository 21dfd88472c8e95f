"""`python -m suasion`: the `suasion` command."""

import sys

from suasion.cli import main

sys.exit(main())
