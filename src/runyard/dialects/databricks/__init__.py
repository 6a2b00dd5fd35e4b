"""Databricks Jobs API 2.0, 2.1 and 2.2, with the light endpoints around it that its clients touch.

How it differs from the core: a run that failed says INTERNAL_ERROR although its task says TERMINATED; every state
is told twice (`state`, `status`); a one-time submission carries a job id of its own (the run's id); repairs follow
the job's newest settings. What is answered, and what never will be, stands in docs/dialects/databricks.md.
"""
