"""NDJSON files of any kind, made from a seed."""

from __future__ import annotations

import json
import random
import re
from typing import Any, NamedTuple

from tests.warehouse.stories import BAD, ENCODINGS, GOOD, NAMES, packed

NONE = ["not json", "[1]", "3", '"x"', "null", '{"a":1', "{'a':1}", '{"a":1} {"a":2}', '{"a" 1}', "{a:1}", "true", "}{"]
WHOLE = re.compile(r"-?(0|[1-9]\d*)", re.ASCII)


class Story(NamedTuple):
    """One file and its load."""

    data: bytes
    plain: bytes
    name: str
    columns: dict[str, str]
    options: dict[str, Any]


def story(seed: int) -> Story:
    """The same for the same seed."""
    chance = random.Random(f"json{seed}")
    names = chance.sample(NAMES, chance.randint(1, 6))
    columns = {name: chance.choice([*GOOD, "JSON"]) for name in names}
    written, given = chance.choice(ENCODINGS) if chance.random() < 0.2 else ("utf-8", "")
    ends = chance.choice([["\n"], ["\r\n"], ["\n", "\r\n"], ["\n", "\n\n", "\n \n"]])
    bad, none = chance.choice([0.0, 0.05, 0.4]), chance.choice([0.0, 0.05, 0.3])
    ascii_ = chance.random() < 0.5
    lines = [_line(chance, columns, bad, none, ascii_) for _ in range(chance.choice([1, 3, 10, 40, 200]))]
    text = "".join(line + chance.choice(ends) for line in lines)
    if chance.random() < 0.3:
        text = text.rstrip()
    if (written, given) == ("cp1252", ""):
        text = text.replace("\0", "")
    body = text.encode(written, "replace")
    plain = body.decode(written).encode()
    data, ending = packed(chance, body)
    return Story(data, plain, f"f.ndjson{ending}", columns, {"encoding": given} if given else {})


def _line(chance: random.Random, columns: dict[str, str], bad: float, none: float, ascii_: bool) -> str:
    if chance.random() < none:
        return chance.choice(NONE)
    names = chance.sample(list(columns), len(columns))
    fields = [f"{json.dumps(name, ensure_ascii=ascii_)}:{_value(chance, columns[name], bad, ascii_)}" for name in names]
    kept = [field for field in fields if chance.random() > 0.1] or fields[:1]
    space = chance.choice(["", " "])
    return "{" + f",{space}".join(kept) + space + "}"


def _value(chance: random.Random, kind: str, bad: float, ascii_: bool) -> str:
    if chance.random() < 0.1:
        return "null"
    if kind == "JSON":
        return chance.choice(['{"k":[1,null,"ü"]}', "[]", '"text"', "1", "true", "[[1],{}]"])
    text = chance.choice(BAD[kind] if kind in BAD and chance.random() < bad else GOOD[kind])
    if kind == "VARCHAR" and chance.random() < 0.3:
        return chance.choice(["true", "17", "[1,2]", '{"k":"v"}', '"\\u00fc\\ud83d\\ude00\\n\\"\\\\/"'])
    plain = WHOLE.fullmatch(text) and text != "-0" and kind not in ("BOOLEAN", "VARCHAR")
    return text if plain and chance.random() < 0.6 else json.dumps(text, ensure_ascii=ascii_)
