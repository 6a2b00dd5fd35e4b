"""What every test shares."""

import signal

from hypothesis import settings

# A deadline for one example measures the machine's other load, not our code.
settings.register_profile("runyard", deadline=None)
settings.load_profile("runyard")

# A shell's background job ignores Control-C, and so would every program that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
