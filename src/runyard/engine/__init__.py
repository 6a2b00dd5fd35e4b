"""The engine: validate, decide (core), write (store, one transaction), announce, dispatch, record.

Plain synchronous code. The server drives it from its event loop, tests drive it by hand under a virtual clock.
"""
