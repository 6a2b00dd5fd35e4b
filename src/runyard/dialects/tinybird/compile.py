"""Pipes and queries as one SQL text: templates rendered, pipes and nodes as named queries, FINAL, row filters. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from runyard.core.errors import Code, RunyardError, invalid
from runyard.dialects.tinybird.access import Caller, denied
from runyard.dialects.tinybird.references import Reference, references, with_tables, words
from runyard.dialects.tinybird.schema import split
from runyard.dialects.tinybird.template import TemplateError, render

JSON_COLUMN, JSON_END = "__tb_json", "__json"
"""A service table has a twin whose last column is each row as JSON: what formatRow('JSONEachRow', *) asks for."""
_WHOLE_ROW = re.compile(r"\bformatRow(?:NoNewline)?\s*\(\s*'JSONEachRow'\s*,\s*\*\s*\)", re.IGNORECASE)
Look = Callable[[str], dict[str, Any] | None]
SERVICE = {"tinybird", "organization"}
_DEPTH = 30
_MERGING = {"ReplacingMergeTree", "AggregatingMergeTree", "SummingMergeTree", "CollapsingMergeTree",
            "VersionedCollapsingMergeTree"}  # fmt: skip


class Compiled:
    """A query ready to be asked, with what it reads."""

    def __init__(self) -> None:
        self.text = ""
        self.sources: set[str] = set()
        self.service: set[str] = set()
        self.pipes: set[str] = set()


class Compiler:
    """Compiles one request. `source` and `pipe` look a name up; `tables` are the tables of the warehouse, by their
    names in lower case, for a caller who may not read all of them."""

    def __init__(self, caller: Caller, source: Look, pipe: Look, tables: dict[str, str], given: dict[str, Any]) -> None:
        self._caller, self._source, self._pipe = caller, source, pipe
        self._tables, self._given = tables, given
        self._ctes: dict[str, str] = {}
        self._open: list[str] = []
        self._as_json = 0
        self._filters = {} if caller.admin else caller.filters()
        self.result = Compiled()

    def query(self, sql: str, nodes: dict[str, dict[str, Any]] | None = None, pipe: str = "") -> Compiled:
        """A caller's own SQL; each Data Source and pipe that it names must be one that the caller may read."""
        text = self._rendered(sql)
        own = nodes or {}
        if not self._caller.admin:
            self._check_words(text, own)
        body = self._substituted(text, own, pipe, inside=False)
        self.result.text = with_tables(self._ctes, body)
        return self.result

    def node(self, pipe: dict[str, Any], node: dict[str, Any]) -> Compiled:
        """One node of a pipe that the caller may read; what it is made from need not be readable by itself."""
        nodes = _nodes(pipe)
        self._open.append(f"{pipe['name']}.{node['name']}")
        body = self._substituted(self._rendered(node["sql"]), nodes, pipe["name"], inside=True)
        self._open.pop()
        self.result.text = with_tables(self._ctes, body)
        return self.result

    # --- parts ---

    def _rendered(self, sql: str) -> str:
        try:
            return render(sql, self._given).strip().rstrip(";")
        except TemplateError as error:
            raise template_refusal(error) from None

    def _substituted(self, text: str, nodes: dict[str, dict[str, Any]], pipe: str, *, inside: bool) -> str:
        pieces, at = [], 0
        text, self._as_json = _WHOLE_ROW.subn(JSON_COLUMN, text)
        for reference in references(text):
            put = self._put(reference, nodes, pipe, inside=inside)
            if put is not None:
                pieces += [text[at : reference.start], put]
                at = reference.end
        return "".join([*pieces, text[at:]])

    def _put(self, reference: Reference, nodes: dict[str, dict[str, Any]], pipe: str, *, inside: bool) -> str | None:
        """What stands for a reference; None leaves it as it is."""
        name = reference.name
        if reference.schema in SERVICE:
            self._caller.need_admin()
            self.result.service.add(name)
            return _as(f"tinybird.{name}{JSON_END if self._as_json else ''}", reference, name)
        if reference.schema:
            return None
        if name in nodes:
            return _as(self._node(pipe, nodes, nodes[name]), reference, name)
        # The warehouse finds a table whatever the case of its name; so must a filter.
        exact = self._tables.get(name, reference.exact)
        if (source := self._source(exact)) is not None:
            return self._table(reference, source, inside=inside)
        if (other := self._pipe(reference.exact)) is not None:
            return self._piped(reference, other, inside=inside)
        if name.endswith("_quarantine") and (source := self._source(exact[: -len("_quarantine")])) is not None:
            self._check(source, inside)
        return None

    def _node(self, pipe: str, nodes: dict[str, dict[str, Any]], node: dict[str, Any]) -> str:
        label = f"{pipe}.{node['name']}"
        cte = f"__tb_{pipe}__{node['name']}"
        if label in self._open:
            raise invalid(f"The node {node['name']!r} reads itself: {' -> '.join([*self._open, label])}.")
        if cte not in self._ctes:
            if len(self._open) >= _DEPTH:
                raise invalid(f"Pipes may use each other {_DEPTH} deep; {label} goes deeper.")
            self._open.append(label)
            sql = self._substituted(self._rendered(node["sql"]), nodes, pipe, inside=True)
            self._open.pop()
            self._ctes[cte] = sql
        return cte

    def _piped(self, reference: Reference, pipe: dict[str, Any], *, inside: bool) -> str:
        if not inside:
            self._caller.need("PIPES:READ", pipe["name"], pipe["id"])
        self.result.pipes.add(pipe["name"])
        return _as(self._node(pipe["name"], _nodes(pipe), output_node(pipe)), reference, reference.name)

    def _check(self, source: dict[str, Any], inside: bool) -> None:
        if not inside:
            self._caller.need("DATASOURCES:READ", source["name"], source["id"])

    def _table(self, reference: Reference, source: dict[str, Any], *, inside: bool) -> str | None:
        self._check(source, inside)
        self.result.sources.add(source["name"])
        condition = self._filters.get(source["name"]) or self._filters.get(source["id"])
        final = reference.final and source["engine"]["engine"] in _MERGING
        if not condition and not final:
            return None
        cte = f"__tb_{'final' if final else 'rows'}_{source['name']}"
        if cte not in self._ctes:
            where = f" WHERE {condition}" if condition else ""
            self._ctes[cte] = merged(source, where) if final else f"SELECT * FROM {source['name']}{where}"
        return _as(cte, reference, reference.name)

    def _check_words(self, text: str, nodes: dict[str, dict[str, Any]]) -> None:
        """For tokens that may not read everything: no word may name a table that they may not read.

        This looks at every name of the text, wherever it stands, so that no way of writing a query gets around it.
        """
        found = words(text)
        filtered = {name.lower() for name in self._filters}
        hidden = {name for name in self._tables if not self._readable(name)} - set(nodes)
        if found and found[0].name not in ("select", "with") and found[0].text != "(":
            raise denied("This token may ask SELECT queries only.")
        named = {reference.start for reference in references(text) if not reference.schema}
        for place, word in enumerate(found):
            before = found[place - 1] if place else None
            after = found[place + 1] if place + 1 < len(found) else None
            if word.kind == "string" and before is not None and before.name in ("from", "join"):
                raise denied("This token may name tables by plain names only.")
            if word.kind not in ("name", "quoted") or (word.name not in hidden and word.name not in filtered):
                continue
            qualifies = after is not None and after.text == "." and (before is None or before.text != ".")
            if word.name in hidden or (word.start not in named and not qualifies):
                raise denied(f"The token {self._caller.name!r} has no scope to read {word.name!r} this way.")

    def _readable(self, table: str) -> bool:
        exact = self._tables[table]
        for one in (exact, exact.removesuffix("_quarantine")):
            source = self._source(one)
            if source is not None:
                return self._caller.has("DATASOURCES:READ", source["name"], source["id"]) and (
                    one == exact or source["name"] not in self._filters
                )
        return False


def _as(name: str, reference: Reference, alias: str) -> str:
    return name if reference.aliased or not reference.certain else f"{name} AS {alias}"


def _nodes(pipe: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {node["name"].lower(): node for node in pipe["nodes"]}


def output_node(pipe: dict[str, Any]) -> dict[str, Any]:
    """The node that a pipe's name stands for: its endpoint, else its last one."""
    if not pipe["nodes"]:
        raise invalid(f"The pipe {pipe['name']!r} has no node.")
    found = next((node for node in pipe["nodes"] if node["id"] == pipe.get("endpoint")), pipe["nodes"][-1])
    return dict(found)


def template_refusal(error: TemplateError) -> RunyardError:
    """A template's own error in this platform's words; `custom_error` brings its status and body."""
    if error.body is not None or error.status != 400:
        return RunyardError(Code.INVALID, str(error), status=error.status, body=error.body or {})
    return RunyardError(Code.INVALID, f"Template Syntax Error: {error}")


# --- FINAL ------------------------------------------------------------------------------------------------


def merged(source: dict[str, Any], where: str) -> str:
    """The rows of a merging table as if all its parts were merged. Source: ClickHouse reference, 'FROM ... FINAL'."""
    engine, keys = source["engine"], sorting_columns(source)
    kind = engine["engine"]
    if not keys:
        raise invalid(f"FINAL needs a sorting key, and {source['name']} has none.")
    columns = [column["name"] for column in source["columns"]]
    if unknown := [key for key in keys if key not in columns]:
        raise invalid(f"FINAL of {source['name']} needs plain columns in the sorting key; {unknown[0]!r} is none.")
    if kind in ("CollapsingMergeTree", "VersionedCollapsingMergeTree"):
        raise invalid(f"FINAL of the engine {kind} is not answered here; sum with the sign column instead.")
    listed = ", ".join(f"`{key}`" for key in keys)
    if kind == "ReplacingMergeTree":
        newest = f"`{engine['ver']}` DESC, " if engine.get("ver") else ""
        gone = f" AND `{engine['is_deleted']}` = 0" if engine.get("is_deleted") else ""
        ranked = (
            f"SELECT *, row_number() OVER (PARTITION BY {listed} ORDER BY {newest}rowid DESC) AS __tb_place"
            f" FROM {source['name']}{where}"
        )
        kept = ", ".join(f"`{column}`" for column in columns)
        return f"SELECT {kept} FROM ({ranked}) AS __tb_ranked WHERE __tb_place = 1{gone}"
    return f"SELECT {', '.join(_merged(source, keys))} FROM {source['name']}{where} GROUP BY {listed}"


def sorting_columns(source: dict[str, Any]) -> list[str]:
    """The columns of the sorting key."""
    text = str(source["engine"].get("sorting_key") or "").strip()
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
    text = text.removeprefix("tuple()")
    return [part.strip().strip('`"') for part in split(text) if part.strip()]


def _merged(source: dict[str, Any], keys: list[str]) -> list[str]:
    """Each column of an aggregating or summing table, merged over the rows of one key."""
    summing = source["engine"]["engine"] == "SummingMergeTree"
    found = []
    for column in source["columns"]:
        name = f"`{column['name']}`"
        if column["name"] in keys:
            found.append(name)
        else:
            found.append(f"{_merge_call(column['type'], name, summing)} AS {name}")
    return found


def _merge_call(kind: str, name: str, summing: bool) -> str:
    inner = split(kind[kind.index("(") + 1 : -1]) if "(" in kind else []
    if kind.startswith("AggregateFunction("):
        return _state_call(inner[0].partition("(")[0].strip().removesuffix("If"), name)
    if kind.startswith("SimpleAggregateFunction("):
        return f"{inner[0].strip()}({name})"
    numeric = kind.removeprefix("Nullable(").startswith(("Int", "UInt", "Float", "Decimal"))
    return f"sum({name})" if summing and numeric else f"any({name})"


def _state_call(function: str, name: str) -> str:
    """The merge of partial states, as a state again: states are plain values here."""
    if function in ("count", "sum"):
        return f"sum({name})"
    if function in ("min", "max", "any", "anyLast"):
        return f"{function}({name})"
    if function.startswith(("uniq", "groupUniqArray")):
        return f"arrayDistinct(arrayFlatten(groupArray({name})))"
    if function.startswith(("groupArray", "quantile", "median")):
        return f"arrayFlatten(groupArray({name}))"
    raise invalid(f"FINAL cannot merge states of {function!r} here; use {function}Merge({name}) and GROUP BY instead.")
