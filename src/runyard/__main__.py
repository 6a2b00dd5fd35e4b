"""`python -m runyard` is the `runyard` command; the command line is imported only when it is asked for."""

import sys
from importlib import import_module

if __name__ == "__main__":
    sys.exit(import_module("runyard.cli").main())
