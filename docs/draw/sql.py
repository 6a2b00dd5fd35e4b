"""What is understood of ClickHouse's SQL and of others, for docs/sql.md."""

from __future__ import annotations

from runyard.warehouse.dialects.clickhouse_aggregates import AGGREGATES, COMBINATORS
from runyard.warehouse.dialects.clickhouse_scalars import SCALARS
from runyard.warehouse.dialects.clickhouse_special import NAMED
from runyard.warehouse.dialects.functions import FUNCTIONS


def page() -> str:
    """What is understood of ClickHouse's SQL and of others, for docs/sql.md."""
    lines = ["### Scalar functions", ""]
    for group, rows in SCALARS.items():
        differs = {one.call: one.differs for one in rows if one.differs}
        lines += [f"**{group}**: " + ", ".join(f"`{one.call}`" for one in rows) + ".", ""]
        if differs:
            lines += ["Not quite: " + "; ".join(f"`{call}` ({why})" for call, why in differs.items()) + ".", ""]
    refused = [name for name, write in NAMED.items() if write.__name__ == "_refused"]
    lines += ["**With arguments that are looked at**: " + ", ".join(f"`{n}`" for n in NAMED if n not in refused) + "."]
    lines += ["", "Refused by name: " + ", ".join(f"`{name}`" for name in refused) + ".", "", "### Aggregates", ""]
    lines += ["| function | state and merge | differs |", "|---|---|---|"]
    for one in AGGREGATES:
        call = one.call.replace("(", f"({one.parameters})(", 1) if one.parameters else one.call
        lines.append(f"| `{call}` | {'yes' if one.merge else 'no'} | {one.differs} |")
    lines += ["", "| combinator | meaning |", "|---|---|"]
    lines += [f"| `-{name}` | {meaning} |" for name, meaning in COMBINATORS.items()]
    lines += [
        "",
        "## Functions added for the others",
        "",
        "| dialect | functions that sqlglot does not bring |",
        "|---|---|",
    ]
    titles = {"databricks": "Databricks", "dremio": "Dremio", "trino": "Trino, Athena", "postgres": "PostgreSQL"}
    lines += [
        f"| {title} | {', '.join(f'`{function}`' for function in sorted(FUNCTIONS[name]))} |"
        for name, title in titles.items()
    ]
    return "\n".join(lines) + "\n"
