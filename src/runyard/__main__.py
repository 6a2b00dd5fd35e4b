"""`python -m runyard` is the `runyard` command; the command line is imported only when it is asked for."""

from importlib import import_module

if __name__ == "__main__":
    import_module("runyard.cli").main()
