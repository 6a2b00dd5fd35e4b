"""The native API under /api/v1: JSON, problem documents, keyset pages, server-sent events.

Other than the core it says times as RFC 3339 text with milliseconds, leaves empty optional fields out, and
tells in `waiting` why a queued run does not run yet. The API document is generated from `routes.py`.
"""
