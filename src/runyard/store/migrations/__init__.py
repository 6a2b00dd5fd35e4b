"""Numbered SQL files, one folder a database, applied in order and never changed after a release."""
