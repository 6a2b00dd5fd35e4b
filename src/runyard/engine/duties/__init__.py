"""Duties: what must happen without anybody asking. One small file each, driven by the engine's tick."""
