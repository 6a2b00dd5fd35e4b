"""Connections to addresses that a user names: checked first, then connected to exactly as checked."""
