"""The kinds of work that a task can be: a tagged union, told apart by `kind` in JSON.

Strings may hold references such as `{{ parameters.day }}` (see `references.py`); they are resolved when
the task is claimed. Which executor runs a kind is said by `EXECUTOR`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

SqlDialect = Literal["duckdb", "clickhouse", "databricks", "dremio", "trino", "postgres"]  # languages, not faces
"""The language that SQL text is written in; the warehouse turns it into its own, which is DuckDB's."""


class _Action(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What all kinds share: strictness about unknown fields."""


class Sql(_Action, frozen=True, kw_only=True, tag_field="kind", tag="sql"):
    """One SQL statement, or several divided by semicolons, in the warehouse; the last one's rows are the output.

    Exactly one of `statement` and `file`.
    """

    statement: str = ""
    file: str | None = None
    """A path on the server below a folder that the settings allow; it is read when the task starts."""
    parameters: dict[str, Any] = {}
    """Values bound to `$name` in the statement, never pasted into its text."""
    schema: str = "main"
    """Where unqualified table names are looked up."""
    dialect: SqlDialect = "duckdb"
    """The language of the statement."""
    reads: list[str] | None = None
    """The schemas that it may read, also through views; None: all of the workspace."""
    writes: list[str] | None = None
    """The schemas that it may change; None: all of the workspace. What it may change it may read."""
    max_rows: int | None = None
    """It fails, and changes nothing, when its result has more rows."""
    max_bytes: int | None = None
    """It fails, and changes nothing, when its result is larger."""


class Load(_Action, frozen=True, kw_only=True, tag_field="kind", tag="load"):
    """Rows of a file or URL into a warehouse table, in one transaction."""

    source: str
    """http(s) URL, a path on the server below a folder that the settings allow, or `upload:ID`."""
    table: str
    format: Literal["auto", "csv", "ndjson", "parquet"] = "auto"
    mode: Literal["create", "append", "replace", "replace_where"] = "append"
    """create: the table must not exist; append: created from the data when absent; replace: all rows at once;
    replace_where: the rows that match `where` are deleted, and of the new rows those that match are inserted."""
    where: str = ""
    """A condition on the table's columns, for replace_where."""
    schema: str = "main"
    columns: dict[str, str] = {}
    """Column name to SQL type; empty means detected, or the existing table's."""
    options: dict[str, Any] = {}
    """Texts: encoding (detected when it is not given). CSV reading: delimiter, header (bool), quote, escape,
    null_string, date_format, timestamp_format. NDJSON: paths, which says where in a line each column is
    (`{"city": "$.user.city"}`); other fields are then left out."""
    max_bad_rows: int | None = None
    """Fail when more rows than this do not fit; None: bad rows are counted and kept aside."""
    partition_by: str = ""
    """The partition key of a table that is made: expressions over its columns, which commas divide. A table that is
    there must have just this one."""
    dialect: SqlDialect = "duckdb"
    """The language of the condition and of the partition key."""


class Checkout(_Action, frozen=True, kw_only=True):
    """A git repository at one of `branch`, `tag` and `commit`; none of them means its default branch."""

    url: str
    """http(s), or a path (also file://) on the server below a folder that the settings allow."""
    branch: str | None = None
    tag: str | None = None
    commit: str | None = None
    """At least 7 hexadecimal digits."""


class Copy(_Action, frozen=True, kw_only=True, tag_field="kind", tag="copy"):
    """The rows of a query into a table, in one transaction; the table is created from the query when absent."""

    statement: str
    """One statement that reads."""
    table: str
    mode: Literal["append", "replace"] = "append"
    """Columns go by name; replace: all rows at once, the table's columns stay."""
    parameters: dict[str, Any] = {}
    """Values bound to `$name` in the statement."""
    schema: str = "main"
    """Where the table lies, and where unqualified table names are looked up."""
    partition_by: str = ""
    """The partition key of a table that is made: expressions over its columns, which commas divide. A table that is
    there must have just this one."""
    dialect: SqlDialect = "duckdb"
    """The language of the statement and of the partition key."""
    reads: list[str] | None = None
    """The schemas that the statement may read, also through views; None: all of the workspace."""


class Truncate(_Action, frozen=True, kw_only=True, tag_field="kind", tag="truncate"):
    """Removes all rows of a table."""

    table: str
    schema: str = "main"


class Delete(_Action, frozen=True, kw_only=True, tag_field="kind", tag="delete"):
    """Removes the rows of a table that match a condition."""

    table: str
    where: str
    parameters: dict[str, Any] = {}
    """Values bound to `$name` in the condition."""
    schema: str = "main"
    dry_run: bool = False
    """Only count the rows that match."""
    dialect: SqlDialect = "duckdb"
    """The language of the condition."""


class Materialize(_Action, frozen=True, kw_only=True, tag_field="kind", tag="materialize"):
    """What a materialized view's source holds, through the view's query, into its target: in chunks, whole or not."""

    view: str
    where: str = ""
    """Only the rows of the source that match this condition."""
    sample: float = 1.0
    """Only this part of them, more than 0 and up to 1, the same ones each time."""
    truncate: bool = False
    """Whether the target is emptied first."""
    partition_by: str = ""
    """An expression over the source: each of its values is a chunk. Empty: the partitions of the source, and without
    a key (or with very many partitions) chunks of `chunk_rows` rows."""
    chunk_rows: int = 1_228_800
    dialect: SqlDialect = "duckdb"
    """The language of the condition and the partition's expression."""


class Export(_Action, frozen=True, kw_only=True, tag_field="kind", tag="export"):
    """The rows of a query into one file, which stands in its place whole or not at all."""

    statement: str
    """One statement that reads."""
    target: str
    """A path below a folder that the settings allow, `s3://BUCKET/KEY`, or an http(s) URL that takes a PUT, as a
    presigned one does; what is there is replaced."""
    format: Literal["auto", "csv", "ndjson", "parquet", "arrow"] = "auto"
    """auto: by the ending of the target's name."""
    compression: Literal["auto", "none", "gzip", "zstd"] = "auto"
    """auto: by a second ending such as .gz; Parquet always is compressed."""
    parameters: dict[str, Any] = {}
    """Values bound to `$name` in the statement."""
    schema: str = "main"
    """Where unqualified table names are looked up."""
    dialect: SqlDialect = "duckdb"
    """The language of the statement."""
    reads: list[str] | None = None
    """The schemas that the statement may read, also through views; None: all of the workspace."""


class Python(_Action, frozen=True, kw_only=True, tag_field="kind", tag="python"):
    """A Python program in a process of its own: exactly one of `source`, `file`, `module`."""

    source: str | None = None
    file: str | None = None
    module: str | None = None
    arguments: list[str] = []
    environment: dict[str, str] = {}
    interpreter: str | None = None
    """Path of another Python; None: the server's own, started by fork in milliseconds."""
    requirements: list[str] = []
    """Packages in pip's notation, installed into an environment that later attempts with the same list share."""
    checkout: Checkout | None = None
    """A repository that the work begins in; relative paths are paths in it."""
    working_directory: str | None = None
    """None: a directory of the attempt's own, or the checkout."""


class Notebook(_Action, frozen=True, kw_only=True, tag_field="kind", tag="notebook"):
    """A notebook's cells, one after the other, in a Python process of its own: exactly one of `path` and `source`."""

    path: str | None = None
    """A file on the server, absolute or below `root`; the endings .ipynb and .sql decide format and language."""
    source: str | None = None
    language: Literal["python", "sql", "shell"] = "python"
    """What a cell without a magic word is written in."""
    format: Literal["source", "jupyter"] = "source"
    """source: text with `# COMMAND ----------` between cells; jupyter: the JSON of an .ipynb file."""
    parameters: dict[str, str] = {}
    """Values of the notebook's widgets."""
    root: str | None = None
    """The folder that `%run` and `dbutils.notebook.run` look in; None: where the notebook's file lies."""
    environment: dict[str, str] = {}
    interpreter: str | None = None
    """Path of another Python, of the server's version; None: the server's own, started by fork in milliseconds."""
    requirements: list[str] = []
    """Packages in pip's notation, installed into an environment that later attempts with the same list share."""
    checkout: Checkout | None = None
    """A repository that the work begins in; relative paths are paths in it."""
    working_directory: str | None = None
    """None: a directory of the attempt's own, or the checkout."""


class Wheel(_Action, frozen=True, kw_only=True, tag_field="kind", tag="wheel"):
    """A package's entry point, in an environment made of wheels and requirements."""

    package: str
    entry_point: str
    """The name of an entry point of the package, console scripts first; else a function, as `package.function`."""
    arguments: list[str] = []
    wheels: list[str] = []
    """Wheels or source archives: paths on the server, or http(s) URLs."""
    requirements: list[str] = []
    """Packages in pip's notation, installed into an environment that later attempts with the same list share."""
    index: bool = True
    """False: nothing but `wheels` is installed, and no package index is asked."""
    environment: dict[str, str] = {}
    working_directory: str | None = None
    """None: a directory of the attempt's own."""


class Dbt(_Action, frozen=True, kw_only=True, tag_field="kind", tag="dbt"):
    """dbt commands over the warehouse's tables, one after the other."""

    commands: list[str]
    """Such as `dbt run --select daily`."""
    project: str = "."
    """The folder of dbt_project.yml: a path on the server, or in the checkout."""
    schema: str = "main"
    """Where models are built unless they say otherwise."""
    requirements: list[str] = msgspec.field(default_factory=lambda: ["dbt-core>=1.10,<1.12", "dbt-duckdb>=1.9,<2"])
    """Packages in pip's notation; dbt and its adapter are installed into an environment of their own."""
    environment: dict[str, str] = {}
    checkout: Checkout | None = None
    """A repository that holds the project."""


class Shell(_Action, frozen=True, kw_only=True, tag_field="kind", tag="shell"):
    """A command line for `/bin/sh -c`, or an argument list that is executed as it stands."""

    command: str | list[str]
    environment: dict[str, str] = {}
    checkout: Checkout | None = None
    """A repository that the work begins in; relative paths are paths in it."""
    working_directory: str | None = None


class Condition(_Action, frozen=True, kw_only=True, tag_field="kind", tag="condition"):
    """Compares two values; its `outcome` ("true" or "false") chooses which dependants run."""

    op: Literal["==", "!=", ">", ">=", "<", "<="]
    """`==` and `!=` compare text; the others compare numbers."""
    left: Any
    right: Any


class RunJob(_Action, frozen=True, kw_only=True, tag_field="kind", tag="run_job"):
    """Starts a run of another job and ends as that run ends."""

    job: int
    """The id of the job."""
    parameters: dict[str, Any] = {}


OnTables = Sql | Load | Copy | Truncate | Delete | Materialize | Export
"""What the warehouse carries out."""
InProcess = Python | Notebook | Wheel | Dbt | Shell
"""What a process of its own carries out."""
Leaf = OnTables | InProcess | RunJob
"""What a for-each task may do for each input."""


class ForEach(_Action, frozen=True, kw_only=True, tag_field="kind", tag="for_each"):
    """Runs one action once for each input; `{{ input }}` and `{{ input.field }}` name the element."""

    inputs: list[Any] | str
    """A list, or one reference (or JSON text) that gives a list when the task starts."""
    action: Leaf
    concurrency: int = 1


Action = Leaf | Condition | ForEach

PROCESS, WAREHOUSE, ENGINE = "process", "warehouse", "engine"

EXECUTOR: dict[type, str] = {
    Sql: WAREHOUSE,
    Load: WAREHOUSE,
    Copy: WAREHOUSE,
    Truncate: WAREHOUSE,
    Delete: WAREHOUSE,
    Materialize: WAREHOUSE,
    Export: WAREHOUSE,
    Python: PROCESS,
    Notebook: PROCESS,
    Wheel: PROCESS,
    Dbt: PROCESS,
    Shell: PROCESS,
    Condition: ENGINE,
    RunJob: ENGINE,
    ForEach: ENGINE,
}


def executor_of(action: Action) -> str:
    """`process`, `warehouse`, or `engine` for control flow, which needs no worker."""
    return EXECUTOR[type(action)]


def kind_of(action: Action) -> str:
    """The action's `kind` as it stands in JSON."""
    return str(type(action).__struct_config__.tag)
