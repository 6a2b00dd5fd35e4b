"""`python -m runyard` is the `runyard` command."""

import sys

from runyard.cli import main

if __name__ == "__main__":
    sys.exit(main())
