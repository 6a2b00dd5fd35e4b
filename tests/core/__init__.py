"""The core's behaviour, told event by event."""
