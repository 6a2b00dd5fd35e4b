"""What a process attempt does: the fork server, the launcher that owns one attempt, and one file a kind of work."""
