"""What every test shares."""

from hypothesis import settings

# A deadline for one example measures the machine's other load, not our code.
settings.register_profile("runyard", deadline=None)
settings.load_profile("runyard")
