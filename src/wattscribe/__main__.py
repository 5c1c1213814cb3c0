"""`python -m wattscribe` is the command `wattscribe`."""

import sys

from wattscribe.cli import main

sys.exit(main())
