"""How a plan is carried out in the warehouse: one script, which happens whole or not at all, and the views. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from runyard.dialects.tinybird import schema
from runyard.dialects.tinybird.catalog import DATASOURCE
from runyard.dialects.tinybird.datasources import declared, quoted
from runyard.dialects.tinybird.pipes import followed
from runyard.dialects.tinybird.project import CHANGED, DELETED, NEW, Plan, Reshape

ASIDE = "__tb_new"


class Filled(msgspec.Struct, kw_only=True):
    """A materialized node, as SQL: `columns` are what its query gives, by the target's names."""

    node: str
    pipe: str
    source: str
    target: str
    text: str
    columns: list[str] = []
    anew: bool = False
    """Whether it is new, or gives other rows than before."""
    known: bool = False
    """Whether it filled this target before."""
    alter: bool = False
    """Whether a change leaves the rows that are there as they are (DEPLOYMENT_METHOD alter)."""

    def view(self) -> list[str]:
        """What makes the view: its name, source, statement and target."""
        return [self.node, self.source, self.text, self.target]


class Script(msgspec.Struct, kw_only=True):
    """Everything that a deployment does, in the order in which it is done. It is kept before it begins."""

    scratch: str
    hold: list[str] = []
    """Data Sources whose writers wait meanwhile."""
    drop_views: list[str] = []
    before: list[str] = []
    """DuckDB statements that only add columns."""
    undo: list[str] = []
    """What takes them back when `main` fails."""
    main: list[str] = []
    """ClickHouse statements, one transaction."""
    views: list[list[str]] = []
    old_views: list[list[str]] = []
    """What stands in the place of `views` when `main` fails."""
    movements: list[dict[str, Any]] = []


def script(
    plan: Plan,
    scratch: str,
    reshapes: dict[str, Reshape],
    filled: list[Filled],
    old: list[Filled],
    tables: set[str],
) -> Script:
    """The script of a plan; `filled` are the materialized nodes as they are to be, `old` as they are."""
    found = Script(scratch=scratch)
    touched: set[str] = set()
    for one in plan.of(DATASOURCE, NEW):
        found.main.append(f"CREATE TABLE {quoted(one.name)} AS SELECT * FROM {quoted(scratch)}.{quoted(one.name)}")
        touched.add(one.name)
    for one in plan.of(DATASOURCE, CHANGED):
        if one.name in reshapes and one.name in tables:
            _reshaped(found, one.name, one.body, reshapes[one.name], tables)
            touched.add(one.name)
        elif one.name not in tables:  # it was made for rows that never came
            found.main.append(f"CREATE TABLE {quoted(one.name)} AS SELECT * FROM {quoted(scratch)}.{quoted(one.name)}")
    touched |= _fill(found, plan, reshapes, filled)
    gone = [one.name for one in plan.of(DATASOURCE, DELETED)]
    for name in gone:
        found.main += [f"DROP TABLE IF EXISTS {quoted(name + end)}" for end in ("", "_quarantine")]
    _views(found, filled, old, touched | set(gone))
    return found


def _reshaped(found: Script, name: str, body: dict[str, Any], how: Reshape, tables: set[str]) -> None:
    table = quoted(name)
    if how.rewrite:
        aside = quoted(name + ASIDE)
        found.main.append(f"CREATE TABLE {aside} AS SELECT * FROM {quoted(found.scratch)}.{table}")
        if body["forward_query"]:
            listed = ", ".join(quoted(column["name"]) for column in body["columns"])
            rows = forward(body)
            found.main.append(f"INSERT INTO {aside} ({listed}) SELECT {listed} FROM (\n{rows}\n) AS forwarded")
            found.movements.append(_moved(name, "backfill_with_forward_query", None))
        found.main += [f"DROP TABLE {table}", f"ALTER TABLE {aside} RENAME TO {table}"]
    for column in how.added:
        kept = msgspec.convert(column, schema.Column)
        found.before.append(f"ALTER TABLE {table} ADD COLUMN {declared(kept)}")
        found.undo.append(f"ALTER TABLE {table} DROP COLUMN IF EXISTS {quoted(kept.name)}")
    found.main += [f"ALTER TABLE {table} DROP COLUMN {quoted(gone)}" for gone in how.dropped]
    if f"{name}_quarantine" in tables:  # its columns are those of the Data Source; its rows stay for whoever has them
        found.main.append(f"DROP TABLE {quoted(name + '_quarantine')}")


def forward(body: dict[str, Any]) -> str:
    """The forward query of a Data Source over the table that is there; the platform's has no FROM."""
    return f"{body['forward_query'].strip().rstrip(';')} FROM {quoted(body['name'])}"


def _moved(name: str, kind: str, pipe: str | None) -> dict[str, Any]:
    return {"datasource_name": name, "kind": kind, "source_mv_name": pipe}


def _fill(found: Script, plan: Plan, reshapes: dict[str, Reshape], filled: list[Filled]) -> set[str]:
    """Fills the targets of new and changed materialized nodes from what their sources hold; their names."""
    empty = {one.name for one in plan.of(DATASOURCE, NEW)}
    empty |= {name for name, how in reshapes.items() if how.rewrite and not plan.sources[name]["forward_query"]}
    names: set[str] = set()
    for target in _in_order(filled):
        feeders = [one for one in filled if one.target == target]
        if (plan.find(DATASOURCE, target) or {}).get("backfill") == "skip":
            continue
        again = any(one.anew and one.known for one in feeders)
        if again and target not in empty:
            found.main.append(f"DELETE FROM {quoted(target)} WHERE true")
        chosen = feeders if again or target in empty else [one for one in feeders if one.anew]
        for one in chosen:
            listed = ", ".join(map(quoted, one.columns))
            found.main.append(
                f"INSERT INTO {quoted(target)} ({listed}) SELECT {listed} FROM (\n{one.text}\n) AS filled"
            )
            found.movements.append(_moved(target, "backfill_with_mv_queries", one.pipe))
            names.add(target)
    return names


def _in_order(filled: list[Filled]) -> list[str]:
    """Targets, each after the targets that it is made from."""
    depth: dict[str, int] = {}

    def deep(table: str, seen: frozenset[str]) -> int:
        if table not in depth:
            sources = [one.source for one in filled if one.target == table and one.source not in seen]
            depth[table] = max((deep(source, seen | {table}) + 1 for source in sources), default=0)
        return depth[table]

    return sorted({one.target for one in filled}, key=lambda name: (deep(name, frozenset()), name))


def _views(found: Script, filled: list[Filled], old: list[Filled], touched: set[str]) -> None:
    """Views of nodes that go, change, or read or fill a table that is touched are made anew."""
    kept = {one.node: one for one in old}
    wanted = {one.node: one for one in filled}
    stay = {
        node
        for node, one in wanted.items()
        if node in kept and one.view() == kept[node].view() and not {one.source, one.target} & touched
    }
    found.drop_views = [node for node in kept if node not in stay]
    found.old_views = [kept[node].view() for node in found.drop_views]
    found.views = [one.view() for node, one in wanted.items() if node not in stay]
    concerned = [*(one for node, one in kept.items() if node not in stay), *filled]
    found.hold = sorted(touched | {name for one in concerned for name in (one.source, one.target)})


def materialized(plan: Plan, pipes: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any], str, str]]:
    """The materialized nodes of pipes: pipe, node, the Data Source that it follows, the one that it fills."""
    return [
        (pipe, node, followed(pipe, node, plan.find)["name"], node["target"])
        for pipe in pipes
        for node in pipe["nodes"]
        if node["materialized"] is not None
    ]
