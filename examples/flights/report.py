"""Says how punctual an airport is, and publishes what the next task asks for."""

import sys

airport = sys.argv[1]
