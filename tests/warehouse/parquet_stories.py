"""Parquet files of any kind, made from a seed, and what a load must make of them."""

from __future__ import annotations

import io
import random
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from tests.warehouse.reference import Expected, Misfit, value
from tests.warehouse.stories import BAD, GOOD, NAMES

NUMBERS = [0, 1, -1, 127, 128, -129, 2**31 - 1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63 - 1, -(2**63)]
WHOLE = ["TINYINT", "INTEGER", "BIGINT", "UBIGINT", "HUGEINT", "DECIMAL(9,2)", "DECIMAL(38,10)", "VARCHAR"]


class Story(NamedTuple):
    """One file and its load."""

    data: bytes
    columns: dict[str, str]
    expected: Expected


def story(seed: int) -> Story:
    """The same for the same seed."""
    chance = random.Random(f"parquet{seed}")
    names, count = chance.sample(NAMES, chance.randint(1, 6)), chance.choice([1, 5, 50, 500])
    columns, raws = {}, {}
    bad = chance.choice([0.0, 0.02, 0.3])
    for name in names:
        if chance.random() < 0.3:
            columns[name], raws[name] = chance.choice(WHOLE), _numbers(chance, count)
        else:
            columns[name] = chance.choice(list(GOOD))
            raws[name] = _texts(chance, columns[name], count, bad)
    file = io.BytesIO()
    order = chance.sample(names, len(names))
    packing = chance.choice(["none", "snappy", "zstd", "gzip"])
    table = pa.table({name: raws[name] for name in order})
    pq.write_table(table, file, compression=packing, row_group_size=chance.choice([3, 100, 10_000]))
    return Story(file.getvalue(), columns, _expected(columns, raws, count))


def _numbers(chance: random.Random, count: int) -> pa.Array:
    return pa.array([None if chance.random() < 0.1 else chance.choice(NUMBERS) for _ in range(count)], pa.int64())


def _texts(chance: random.Random, kind: str, count: int, bad: float) -> pa.Array:
    known = [chance.choice(BAD[kind] if kind in BAD and chance.random() < bad else GOOD[kind]) for _ in range(count)]
    array = pa.array([None if chance.random() < 0.1 else one for one in known], pa.string())
    return array.dictionary_encode() if chance.random() < 0.3 else array


def _expected(columns: dict[str, str], raws: dict[str, Any], count: int) -> Expected:
    found, lists = Expected([], [], 0), {name: raw.to_pylist() for name, raw in raws.items()}
    for number in range(count):
        texts = [None if (one := lists[name][number]) is None else str(one) for name in columns]
        row, wrong = [], []
        for (name, kind), text in zip(columns.items(), texts, strict=True):
            try:
                row.append(None if text is None else value(kind, text))
            except Misfit:
                wrong.append(name)
        if wrong:
            found.aside.append((tuple(texts), tuple(wrong)))
        else:
            found.rows.append(tuple(row))
    return found
