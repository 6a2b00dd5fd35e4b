"""The warehouse: one DuckDB file and one process a workspace, and the client that speaks to it.

`protocol` and `client` are for the server: they import neither duckdb nor pyarrow nor sqlglot. Everything
else lives in the warehouse process and in the children that it starts.
"""
