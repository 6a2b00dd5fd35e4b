"""Tinybird: jobs, Data Sources, pipes, tokens and queries, for both `tb` command lines and plain HTTP.

How it differs from the core: a job is a run with one kind (import, populateview, copy, query, delete_data, sink),
told by the run's tags; its id is made from the run's. A Data Source is a warehouse table and a document; jobs that
write one wait for each other in a queue of its own. A pipe is a document; its SQL is written in ClickHouse's
language, which the warehouse turns into its own. docs/dialects/tinybird.md says what is answered and what is not.
"""
