"""Pure values and decisions: what a job, a run and an attempt are, and how they move.

Nothing in this folder does I/O, reads a clock, draws a random number or knows a vendor. Times are
integer milliseconds since the Unix epoch, passed in by the caller; ids are integers, passed in too.
"""
