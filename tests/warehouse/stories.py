"""Files of any kind, made from a seed: the bytes, and what a load is told about them."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from tests.warehouse.reference import Dialect

GOOD: dict[str, list[str]] = {
    "TINYINT": ["0", "-128", "127", "7"],
    "INTEGER": ["0", "1", "-1", "2147483647", "-2147483648", " 5", "+7", "007", "1e3", "2.5", "-2.5", "1.49", "12."],
    "BIGINT": ["9223372036854775807", "-9223372036854775808", "0", "42", "9007199254740993"],
    "UBIGINT": ["18446744073709551615", "0"],
    "HUGEINT": ["170141183460469231731687303715884105727", "-170141183460469231731687303715884105728", "3"],
    "DECIMAL(9,2)": ["0.01", "-0.005", "9999999.99", "1.005", "12", "1e2", ".5", "-9999999.994"],
    "DECIMAL(38,10)": ["1234567890123456789012345678.0123456789", "-0.00000000005", "7"],
    "DOUBLE": ["0.1", "1e308", "-1e-300", "nan", "inf", "-inf", "3", "2.2250738585072014e-308", "0.30000000000000004"],
    "FLOAT": ["0.5", "-2", "1e30", "16777216"],
    "BOOLEAN": ["true", "false", "TRUE", "f", "1", "0", "t", "yes", "no"],
    "DATE": ["2024-02-29", "1970-01-01", "0001-01-01", "9999-12-30", "2024-1-5"],
    "TIMESTAMP": [
        "2024-02-29 12:00:00", "2024-02-29T23:59:59.999999", "1969-12-31 23:59:59.5", "2024-01-01", "2024-01-01 10:30",
        "2024-01-01T10:00:00Z", "2024-01-01 10:00:00+02",
    ],
    "TIMESTAMP WITH TIME ZONE": ["2024-02-29 12:00:00+02", "2024-02-29T12:00:00Z", "2024-01-01T00:00:00-05:30"],
    "TIME": ["00:00:00", "23:59:59.999999", "12:30", "01:02:03"],
    "UUID": ["7b0cbbd4-0be5-4b18-b0a8-c5eb3a12ae0c", "00000000-0000-0000-0000-000000000000"],
    "VARCHAR": [
        "x", "", "with space", " leading", "trailing ", "ü€😀", "it's", "NULL", "null", "\\N", "a\tb", "-", "0", "true",
        "e\u0301", "\u2028", "\ufeffx", "\u00a0", "#x", "\x7f", "\x0b", "a\x00b", "{}", "[1]", "C:\\dir\\", "\\", "..",
        "=1+1", "%s", "2024-01-01", "1,5",
    ],
}  # fmt: skip
BAD: dict[str, list[str]] = {
    "TINYINT": ["128", "-129", "x"],
    "INTEGER": ["x", "2147483648", "-2147483649", "1 2", "--1", "1,5", "1e10", "0x", "true", " ", "\uff11", "1-", "e5"],
    "BIGINT": ["9223372036854775808", "-9223372036854775809", "1.5x", "nan"],
    "UBIGINT": ["-1", "18446744073709551616"],
    "HUGEINT": ["170141183460469231731687303715884105728", "x"],
    "DECIMAL(9,2)": ["10000000", "x", "9999999.995", "1.2.3", "nan"],
    "DECIMAL(38,10)": ["1e28", "x"],
    "DOUBLE": ["x", "1,5", "1e", "--1", "1.2.3", "infin"],
    "FLOAT": ["x", "1e39"],
    "BOOLEAN": ["maybe", "2", "tru", "-1"],
    "DATE": ["2024-02-30", "2023-02-29", "nope", "2024-13-01", "2024-00-10", "2024-01", "20240101", "01/02/2024"],
    "TIMESTAMP": ["2024-02-30 00:00:00", "2024-01-01 25:00:00", "2024-01-01 10:60:00", "later", "10:00:00"],
    "TIMESTAMP WITH TIME ZONE": ["2024-01-32T10:00:00Z", "2024-01-01T25:00:00Z", "x"],
    "TIME": ["25:00:00", "10:61:00", "noon", "10"],
    "UUID": ["7b0c", "7b0cbbd4-0be5-4b18-b0a8-c5eb3a12ae0g"],
}
NAMES = ["a", "b", "c", "d", "e", "id", "user_id", "Day", "Two Words", "größe", "select", "n1"]
ENCODINGS = [
    ("utf-8", ""), ("utf-8-sig", ""), ("utf-16", ""), ("utf-16-be", "utf-16-be"), ("cp1252", ""),
    ("cp1252", "windows-1252"), ("latin-1", "latin-1"), ("iso8859-2", "iso8859-2"), ("utf-8", "utf-8"),
]  # fmt: skip

COUNTS = (0, 1, 2, 5, 20, 20, 60, 300)


class Story(NamedTuple):
    """One file and its load."""

    data: bytes
    """As the load gets it."""
    plain: bytes
    """Unpacked, in UTF-8."""
    name: str
    columns: dict[str, str]
    dialect: Dialect
    order: list[str]
    """The columns as the file has them."""
    options: dict[str, Any]
    whole: bytes | None
    """The start of a damaged file, up to the damage; None: nothing is damaged."""


def csv_story(seed: int, counts: Sequence[int] = COUNTS) -> Story:
    """A CSV file, of so many lines; the same for the same seed. One of four has marks where none belong."""
    chance = random.Random(seed)
    names = chance.sample(NAMES, chance.randint(1, 6))
    columns = {name: chance.choice(list(GOOD)) for name in names}
    quote = chance.choice(['"'] * 8 + ["'"])
    dialect = Dialect(
        delimiter=chance.choice([",", ",", ";", "\t", "|"]),
        quote=quote,
        escape=chance.choice([quote] * 5 + ["\\"]),
        header=chance.random() < 0.7,
        null=chance.choice([""] * 4 + ["NULL", "\\N"]),
    )
    if dialect.escape == "\\" and dialect.null == "\\N":  # DuckDB refuses it, and says so
        dialect = dialect._replace(null="NULL")
    written, given = chance.choice(ENCODINGS) if chance.random() < 0.25 else ("utf-8", "")
    order = chance.sample(names, len(names)) if dialect.header else names
    text, place = _csv_text(chance, columns, order, dialect, written, chance.choice(counts)), None
    if seed % 4 == 3:
        text, place = _damaged(chance, text, dialect)
    if (written, given) == ("cp1252", ""):  # a zero byte tells that it is no such text
        text = text.replace("\0", "")
    body = text.encode(written, "replace")
    plain = body.decode(written).encode()
    whole = None if place is None else text[:place].encode(written, "replace").decode(written).encode()
    if written == "utf-8" and not given and chance.random() < 0.1:
        body = plain = _broken(chance, plain, ragged=text.count("more") > 0)
    data, ending = packed(chance, body)
    return Story(data, plain, f"f.csv{ending}", columns, dialect, order, _options(chance, dialect, given), whole)


def _options(chance: random.Random, dialect: Dialect, encoding: str) -> dict[str, Any]:
    options: dict[str, Any] = {"quote": dialect.quote, "escape": dialect.escape, "delimiter": dialect.delimiter}
    if not dialect.header or chance.random() < 0.5:
        options["header"] = dialect.header
    if dialect.null:
        options["null_string"] = dialect.null
    return options | ({"encoding": encoding} if encoding else {})


def _csv_text(
    chance: random.Random, columns: dict[str, str], order: list[str], dialect: Dialect, encoding: str, count: int
) -> str:
    ends = chance.choice([["\n"]] * 4 + [["\r\n"]] * 3 + [["\r"], ["\n", "\r\n"], ["\n", "\r\n", "\r"]])
    bad, ragged, empty = (chance.choice([0.0, 0.0, 0.02, 0.3]) for _ in range(3))
    quoting = chance.choice([0.0, 0.2, 1.0])
    write = _writer(chance, dialect, quoting)
    lines = [[_quoted(name, dialect) for name in order]] if dialect.header else []
    for _ in range(count):
        fields = [write(_any(chance, columns[name], bad, dialect, encoding)) for name in order]
        if chance.random() < ragged:
            fields = fields[:-1] if chance.random() < 0.5 else [*fields, write("more")]
        lines.append([""] if chance.random() < empty else fields)
    text = "".join(dialect.delimiter.join(fields) + chance.choice(ends) for fields in lines)
    if chance.random() < 0.3:
        text = text.rstrip("\r\n")
    return text


def _any(chance: random.Random, kind: str, bad: float, dialect: Dialect, encoding: str) -> str:
    if chance.random() < 0.1:
        return dialect.null
    if kind in BAD and chance.random() < bad:
        return chance.choice(BAD[kind])
    if kind == "VARCHAR" and chance.random() < 0.4:
        alphabet = [dialect.delimiter, dialect.quote, "\n", "\r\n", "\r", " ", "a", "b", "ü", "\\", dialect.quote * 2]
        return "".join(chance.choices(alphabet, k=chance.choice([1, 2, 3, 8, 30])))
    return chance.choice(GOOD[kind])


def _writer(chance: random.Random, dialect: Dialect, quoting: float) -> Callable[[str], str]:
    def write(text: str) -> str:
        special = any(mark in text for mark in (dialect.delimiter, "\n", "\r", dialect.quote)) or text.startswith(" ")
        if dialect.escape == "\\" and "\\" in text:
            special = True
        return _quoted(text, dialect) if special or chance.random() < quoting else text

    return write


def _quoted(text: str, dialect: Dialect) -> str:
    if dialect.escape != dialect.quote:
        text = text.replace(dialect.escape, dialect.escape * 2)
    return f"{dialect.quote}{text.replace(dialect.quote, dialect.escape + dialect.quote)}{dialect.quote}"


def _damaged(chance: random.Random, text: str, dialect: Dialect) -> tuple[str, int]:
    """Marks of the dialect thrown in anywhere behind the first line, and where the first one stands."""
    start = first = len(text.splitlines(keepends=True)[0]) if dialect.header and text else 0
    for number in range(chance.choice([1, 1, 3])):
        if start >= len(text):
            break
        place = chance.randrange(start, len(text))
        first = min(first, place) if number else place
        mark = chance.choice([dialect.quote, dialect.delimiter, "\n", "\r", "\r\n", "x", dialect.quote])
        text = text[:place] + mark + text[place + chance.randint(0, 1) :]
    return text, first


def _broken(chance: random.Random, plain: bytes, *, ragged: bool) -> bytes:
    """Some bytes that are no UTF-8, in a text that has proper ones, too, so that it is taken for UTF-8."""
    lines = plain.split(b"\n")
    if len(lines) > 3 and any(byte > 0x7F for byte in plain) and not ragged and b"\r" not in plain:
        place = chance.randrange(1, len(lines))
        lines[place] = lines[place] + chance.choice([b"\xff", b"\xc3", b"\x80"]) if lines[place] else b""
    return b"\n".join(lines)


def packed(chance: random.Random, body: bytes) -> tuple[bytes, str]:
    way = chance.choice(["", "", "", ".gz", ".zst"])
    if not way:
        return body, ""
    cuts = sorted(chance.randrange(len(body) + 1) for _ in range(chance.choice([0, 0, 1, 2])))
    parts = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    pack = gzip.compress if way == ".gz" else lambda part: pa.compress(part, codec="zstd", asbytes=True)
    return b"".join(map(pack, parts)), way
