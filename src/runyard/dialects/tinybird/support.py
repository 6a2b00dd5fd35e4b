"""What is answered and what is not, as tables: docs/dialects/tinybird.md is drawn from them. Pure data."""

from __future__ import annotations

from runyard.dialects.tinybird.tables import Support

JOBS = [
    Support("GET /v0/jobs", "yes", "filters kind, status, pipe_id, pipe_name, created_after, created_before; the newest"
            " 100 of 48 h, both options; a slash at the end is optional"),
    Support("GET /v0/jobs/{id}", "yes", "all fields of the kind; `?debug=blocks,block_log` adds the import's block"),
    Support("POST /v0/jobs/{id}/cancel", "yes", "200, 400, 403, 404 by the page's rules; option `cancel_any`"),
    Support("POST /v0/jobs/{id}/retry", "yes", "a new job like the old one; 400 while that has not ended"),
]  # fmt: skip

SOURCES = [
    Support("GET /v0/datasources", "yes", "rows are counted when asked"),
    Support("POST /v0/datasources", "yes", "from a schema or `url`; modes create, append, replace; multipart, raw or"
            " gzip bodies; csv, ndjson, parquet; replace_condition; dialect_delimiter, dialect_quotechar,"
            " dialect_escapechar"),
    Support("GET /v0/datasources/{name}", "yes", "by name or id; `{name}.datasource` gives the file"),
    Support("PUT /v0/datasources/{name}", "yes", "name, description, ttl (kept)"),
    Support("DELETE /v0/datasources/{name}", "yes", "dry_run lists dependent pipes; 409 without force; force also ends"
            " the materializations that it feeds or is fed by; 409 while a job writes it"),
    Support("POST /v0/datasources/{name}/alter", "yes", "new columns, description, ttl; dry; other changes are 400"),
    Support("POST /v0/datasources/{name}/truncate", "yes", "205 without a body"),
    Support("POST /v0/datasources/{name}/delete", "yes", "201 with a job; dry_run counts"),
    Support("POST /v0/datasources/exchange", "yes"),
    Support("GET /v1/datasources", "yes"),
    Support("GET /v1/datasources/{name}", "yes"),
    Support("POST /v1/datasources/{name}/append", "yes", "raw body or `url`; answers with the job"),
    Support("POST /v1/datasources/{name}/replace", "yes", "as append; replace_condition"),
    Support("POST /v1/datasources/{name}/truncate", "yes"),
    Support("POST /v1/datasources/{name}/delete", "yes", "waits and tells rows_affected, or wait=false; `partition` (an"
            " id such as 202401) with or without delete_condition"),
    Support("POST /v0/events", "yes", "NDJSON or format=json, gzip; 202 once it is on disk; a new Data Source from the"
            " first event for who may create one"),
]  # fmt: skip

PIPES = [
    Support("GET /v0/pipes", "yes"),
    Support("POST /v0/pipes", "yes", "JSON with nodes, or name and sql; force; populate"),
    Support("GET /v0/pipes/{name}", "yes", "`.json`, `.csv`, `.ndjson`, `.parquet` answer its rows, `.pipe` its file"),
    Support("POST /v0/pipes/{name}", "yes", "an endpoint with its parameters in the body; `q` asks over it as `_`"),
    Support("PUT /v0/pipes/{name}", "yes", "name, description"),
    Support("DELETE /v0/pipes/{name}", "yes"),
    Support("GET /v1/pipes/{name}", "yes"),
    Support("POST /v0/pipes/{name}/nodes", "yes"),
    Support("PUT /v0/pipes/{name}/nodes/{node}", "yes"),
    Support("DELETE /v0/pipes/{name}/nodes/{node}", "yes"),
    Support("POST /v0/pipes/{name}/nodes/{node}/endpoint", "yes"),
    Support("PUT /v0/pipes/{name}/endpoint", "yes"),
    Support("DELETE /v0/pipes/{name}/nodes/{node}/endpoint", "yes"),
    Support("GET /v0/pipes/{name}/nodes/{node}/analysis", "yes"),
    Support("POST /v0/pipes/{name}/nodes/{node}/materialization", "yes"),
    Support("DELETE /v0/pipes/{name}/nodes/{node}/materialization", "yes"),
    Support("POST /v0/pipes/{name}/nodes/{node}/population", "partly", "truncate, populate_subset, populate_condition,"
            " unlink_on_populate_error (not over a restart of the server); on_demand_compute is ignored"),
    Support("POST /v0/pipes/{name}/nodes/{node}/copy", "yes"),
    Support("PUT /v0/pipes/{name}/nodes/{node}/copy", "yes", "target_datasource, schedule_cron, mode"),
    Support("DELETE /v0/pipes/{name}/nodes/{node}/copy", "yes"),
    Support("POST /v0/pipes/{name}/copy", "yes", "keys that are not the clients' own are parameters; _mode"),
    Support("POST /v0/pipes/{name}/copy/pause", "yes"),
    Support("POST /v0/pipes/{name}/copy/resume", "yes"),
    Support("POST /v0/pipes/{name}/nodes/{node}/sink", "partly", "into a folder that the settings allow or s3://;"
            " on demand or with schedule_cron; EXPORT_WRITE_STRATEGY is ignored: a file of the same name is replaced"),
    Support("DELETE /v0/pipes/{name}/nodes/{node}/sink", "yes"),
    Support("POST /v0/pipes/{name}/sink", "yes"),
    Support("GET /v0/dependencies", "yes"),
]  # fmt: skip

QUERIES = [
    Support("GET /v0/sql", "yes", "FORMAT JSON, JSONCompact, JSONEachRow, JSONCompactEachRow, CSV, TSV, each WithNames;"
            " at most 100,000 rows or 32 MB"),
    Support("POST /v0/sql", "yes", "`background=true` makes it a job of kind query"),
    Support("POST /v0/sql_copy", "yes", "appends a query's rows to `copy_to`, as a job"),
    Support("GET /v0/sql_tables", "yes"),
    Support("POST /v0/sql_tables", "yes"),
    Support("POST /v0/sql_replace", "yes"),
    Support("GET /v0/sql_format", "partly", "puts white space in order and nothing else"),
]  # fmt: skip

TOKENS = [
    Support("GET /v0/tokens", "yes"),
    Support("POST /v0/tokens", "yes", "static tokens; with expiration_time a signed one (JWT), which is not kept"),
    Support("GET /v0/tokens/{name}", "yes"),
    Support("PUT /v0/tokens/{name}", "yes"),
    Support("DELETE /v0/tokens/{name}", "yes"),
    Support("POST /v0/tokens/{name}/refresh", "yes"),
]

WORKSPACES = [
    Support("GET /v0/workspace", "yes", "also /v1; a slash at the end is optional"),
    Support("GET /v0/user/workspaces", "yes", "also /v1"),
    Support("POST /v0/workspaces", "yes", "also /v1; a warehouse and an administrator's token of its own"),
    Support("GET /v0/workspaces/{id}", "yes", "also /v1"),
    Support("DELETE /v0/workspaces/{id}", "yes", "also /v1; an empty one, or any with hard_delete_confirmation=yes"),
    Support("GET /v0/workspaces/{id}/releases", "partly", "an empty list: there are no releases"),
    Support("GET /v0/regions", "yes", "an empty list"),
    Support("GET /v0/auth", "yes"),
    Support("GET /v0/health", "yes"),
    Support("GET /tokens", "yes", "with --dev only"),
    Support("GET /v0/connectors", "partly", "an empty list"),
    Support("GET /v0/variables", "partly", "an empty list"),
    Support("GET /v0/tags", "partly", "an empty list"),
    Support("GET /v0/environments", "partly", "an empty list"),
    Support("GET /v0/templates", "partly", "an empty list"),
]

PROJECTS = [
    Support("POST /v1/build", "yes", "the workspace becomes what the files say, Data Sources that are gone included"),
    Support("POST /v1/deploy", "yes", "check, auto_promote, allow_destructive_operations"),
    Support("GET /v1/deployments", "yes", "include_deleted; number 0 stands for what was there before the first"),
    Support("GET /v1/deployments/{id}", "yes"),
    Support("POST /v1/deployments/{id}/set-live", "yes", "a deployment that waits is carried out now"),
    Support("DELETE /v1/deployments/{id}", "yes", "one that waits; 400 for the live one"),
    Support("POST /v0/analyze", "yes", "`url`, a part of a multipart body, or the body; over all rows, not a sample"),
]

FAMILIES = {
    "Jobs": JOBS,
    "Data Sources and events": SOURCES,
    "Pipes": PIPES,
    "Queries": QUERIES,
    "Tokens": TOKENS,
    "Workspaces, and what clients ask first": WORKSPACES,
    "Data projects": PROJECTS,
}

MISSING = [
    Support("queries over a deployment that waits (`__tb__deployment=staging`)", "never", "it is proved and kept, and"
            " carried out when it is promoted: there is no second copy of the data; use a workspace of its own"),
    Support("secrets (`tb secret`, `tb_secret(...)`, POST /v0/variables)", "never", "credentials of sinks and imports"
            " are settings of the server, where no query can read them"),
    Support("connections in a project", "partly", "an S3 connection is accepted and not used, with a warning: the"
            " server's own settings sign in; others are refused"),
    Support("SHARED_WITH, INCLUDE, vendor/ in a project", "never", "each workspace is a database of its own"),
    Support("branches (POST /v0/environments) and releases", "never", "a second server, or a workspace, is a branch"),
    Support("connectors (Kafka, GCS, DynamoDB, scheduled S3 imports)", "never", "they need the platform's own accounts;"
            " a schedule or a file watch of this server starts a load"),
    Support("members, organizations, infra, playgrounds, LLM", "never", "they manage the hosted platform"),
    Support("sharing a Data Source with another workspace", "never", "each workspace is a database of its own"),
    Support("stream nodes", "never", "they write to Kafka"),
    Support("a rollback promised by a cancel", "yes", "better than the page: a job that is cancelled changes nothing"),
]  # fmt: skip

DIFFERENCES = [
    "A deployment that is promoted is carried out in one transaction of the warehouse while writers of what it touches"
    " wait; a deployment that fails changes nothing, and one that a killed server began is ended with the next request."
    " Data Sources and pipes that no build or deployment made stay, unless a file has their name.",
    "In a deployment columns come and go in place, and so do sorting keys, engines and types that are stored alike;"
    " other types need FORWARD_QUERY. A new or changed materialization is filled from what its source holds, in the"
    " same transaction, unless BACKFILL skip or DEPLOYMENT_METHOD alter says otherwise. The quarantine of a Data Source"
    " whose columns change is emptied.",
    "A signed token (JWT, HS256) is checked against the administrators' tokens of its workspace; in the workspace"
    " `default` those of this server count too. With fixed parameters it may call endpoints only.",
    "Events in one batch are one run of ours, of the origin `tinybird.inner`, which no list of jobs shows and"
    " `tinybird.datasources_ops_log` does: about 2.4 KB a batch until the setting `keep_days` removes it.",
    "A name of a Data Source or pipe is found as it is written; two that differ in capitals only cannot be.",
    "Jobs do not vanish after 48 hours: a job can be shown, and `tinybird.jobs_log` asked, for as long as the server"
    " keeps runs. The option `expire_jobs` brings the 404 back.",
    "Job ids have UUID form and are made from our run ids with a key; a run that another face made can be shown by its"
    " job id too. Times have milliseconds; the last three digits are zeros.",
    "Jobs that write one Data Source wait for each other, first in, first out; others run side by side. The option"
    " `serial` makes all wait for all, as the page says.",
    "`statistics` of imports, populates, copies and deletes are the Data Source's rows and bytes when the job is asked"
    " for, null once it is dropped; of queries, what the query returned.",
    "A populate is one transaction. Its `queries` are the parts in which the source is read; they are all known once"
    " it works, and `progress_percentage` is the share that has begun.",
    "A file that goes into a Data Source synchronously is a job of kind import too.",
    "A Data Source that is made from a URL stays, empty, when its import fails; one that is made from a body does not.",
    "Columns that are not Nullable take NULL; defaults, codecs, TTL and indexes are kept and shown and do nothing."
    " Sorting keys, `ver` and `is_deleted` count for FINAL.",
    "A partition key becomes the table's, so that populates go by its values and `delete` takes `partition`. Ids are"
    " numbers as they are, days as YYYYMMDD, a tuple's parts joined by a dash; a text is its own id, where the platform"
    " has a hash. A key that the warehouse has no words for (such as cityHash64(x) % 8) is kept and shown only.",
    "FINAL answers for ReplacingMergeTree, SummingMergeTree and AggregatingMergeTree with plain columns in the sorting"
    " key; Collapsing engines are refused. Nothing merges in the background, so rows stay until FINAL or a copy.",
    "AggregateFunction columns keep plain values (a count, a sum, a list), so a Data Source shows them as such.",
    "`c__import_id` of a quarantine table is the run's number, not the job's id.",
    "`rows_read` and `bytes_read` of query statistics are 0: DuckDB does not tell them.",
    "Sums of integers are Int128 in `meta`, counts Int64.",
    "CSV and Parquet files must not hold columns that the Data Source does not have; NDJSON may.",
    "A filter of a DATASOURCES:READ scope also holds inside the pipes that its token may read. A token that is no"
    " administrator's names tables by plain names only, and may be refused a query in which a column has the name of"
    " a table that it may not read.",
    "Of other aliases of the API's parameters, unknown query keys are ignored, as the platform does.",
    "Rate limits are off; the options `creates_per_minute` and `imports_per_minute` set the platform's.",
    "With --dev any token is an administrator of the workspace `default`; a token that was issued here keeps its"
    " scopes and its workspace even then.",
    "Calls of endpoints reach `tinybird.pipe_stats_rt` within five seconds or when it is asked; what was not written"
    " when a server is killed is lost. All other service Data Sources follow from what is kept.",
]
