"""The template language: what it prints, what it refuses, and that no parameter gets out of its quotes."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.dialects.tinybird.template import TemplateError, parse, render
from runyard.dialects.tinybird.template.values import text_literal

STORY = [
    ("SELECT 1", {}, "SELECT 1"),
    ("% SELECT {{String(x, 'd')}}", {}, "SELECT 'd'"),
    ("% SELECT {{String(x, 'd')}}", {"x": "it's"}, "SELECT 'it''s'"),
    ("% SELECT {{Int32(x, 3)}}", {"x": "-7"}, "SELECT (-7)"),
    ("% SELECT {{UInt8(x, 3)}}", {"x": "255"}, "SELECT 255"),
    ("% SELECT {{Float64(x, 0.5)}}", {}, "SELECT 0.5"),
    ("% SELECT {{Boolean(x, True)}}", {"x": "false"}, "SELECT 0"),
    ("% SELECT {{Date(x)}}", {"x": "2026-01-31"}, "SELECT '2026-01-31'"),
    ("% SELECT {{DateTime(x)}}", {"x": "2026-01-31T10:00:00Z"}, "SELECT '2026-01-31 10:00:00'"),
    ("% SELECT {{Array(x, 'Int32', '1,2')}}", {}, "SELECT [1, 2]"),
    ("% SELECT {{Array(x, 'String')}}", {"x": "a,b'"}, "SELECT ['a', 'b''']"),
    ("% SELECT {{columns(x, 'a,b')}} FROM t", {}, "SELECT `a`, `b` FROM t"),
    ("% SELECT {{columns(x, 'a', fn='sum')}} FROM t", {}, "SELECT sum(`a`) AS `a` FROM t"),
    ("% SELECT {{column(x, 'a')}} FROM {{table('t')}}", {}, "SELECT `a` FROM `t`"),
    ("% SELECT {{symbol(x, 'a')}}", {"x": "b"}, "SELECT `b`"),
    ("% {% if defined(x) %}yes{% else %}no{% end %}", {}, "no"),
    ("% {% if defined(x) %}yes{% else %}no{% end %}", {"x": ""}, "yes"),
    ("% {% if Int8(x, 1) > 1 and not defined(y) %}a{% elif x == '1' %}b{% else %}c{% end %}", {"x": "1"}, "b"),
    ("% {% if x in ['a', 'b'] or 1 < 2 < 1 %}in{% end %}", {"x": "b"}, "in"),
    ("% {% for i in range(3) %}{{i}},{% end %}", {}, "0,1,2,"),
    ("% {% for last, n in enumerate_with_last(Array(x,'Int8','1,2')) %}{{n}}{% if not last %}+{% end %}{% end %}", {},
     "1+2"),
    ("% {% set n = Int32(x, 2) * 3 + 1 %}LIMIT {{n}}", {}, "LIMIT 7"),
    ("% {{ 'a' if defined(x) else 'b' }}", {}, "'b'"),
    ("% WHERE {{sql_and(city=String(c), age__gte=Int8(a), id__in=Array(i,'Int8'))}}", {"a": "3", "i": "1,2"},
     "WHERE `age` >= 3 AND `id` IN (1, 2)"),
    ("% SELECT 1 {# a remark #}+ 1 {% comment nothing %}", {}, "SELECT 1 + 1 "),
    ("% {{ split_to_array(x, '1,2')[1].upper() }}", {"x": "a,b"}, "'B'"),
    ("% {{ day_diff('2026-01-01', '2026-01-31') }}", {}, "30"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "values", "wanted"), STORY, ids=[text for text, _, _ in STORY])
def test_a_template_prints(text: str, values: dict[str, str], wanted: str) -> None:
    assert render(text, values) == wanted


@pytest.mark.parametrize(
    ("text", "values", "said"),
    [
        ("% SELECT {{Int32(x)}}", {"x": "1; DROP TABLE t"}, "no Int32"),
        ("% SELECT {{UInt8(x)}}", {"x": "256"}, "0 to 255"),
        ("% SELECT {{Date(x)}}", {"x": "yesterday"}, "no Date"),
        ("% SELECT {{String(x)}}", {}, "no value"),
        ("% SELECT {{String(x, required=True)}}", {}, "is required"),
        ("% SELECT {{columns(x, 'a')}}", {"x": "a, (SELECT 1)"}, "not a name"),
        ("% SELECT {{table(x)}}", {"x": "t; DROP"}, "not a name"),
        ("% {{error('give x')}}", {}, "give x"),
        ("% {% if x %}", {}, "no {% end %}"),
        ("% {% end %}", {}, "without a block"),
        ("% {{ open('/etc/passwd') }}", {}, "no template function"),
        ("% {{ ''.__class__ }}", {}, "expected"),
        ("% {{ x.format(1) }}", {"x": "a"}, "no method"),
        ("% {{ [1,2][5] }}", {}, "no element"),
        ("% {{ 1 / 0 }}", {}, "cannot be computed"),
        ("% {% for i in range(400) %}{% for j in range(1000) %}x{% end %}{% end %}", {}, "limit of work"),
        ("% {% set a = 'aaaaaaaaaa' %}" + "{% set a = a + a %}" * 20, {}, "too large"),
        ("% {% set a = 99999 %}" + "{% set a = a * a %}" * 20, {}, "too large"),
        ("% {{ x", {}, "not closed"),
        ("% {% while x %}{% end %}", {}, "not known"),
    ],
)
def test_a_template_is_refused(text: str, values: dict[str, str], said: str) -> None:
    with pytest.raises(TemplateError, match=re.escape(said)):
        render(text, values)


def test_custom_error_has_its_status_and_body() -> None:
    with pytest.raises(TemplateError) as caught:
        render("% {{ custom_error({'error_id': '10', 'error': 'too far'}, 403) }}", {})
    assert caught.value.status == 403
    assert caught.value.body == {"error_id": "10", "error": "too far"}


def test_the_parameters_of_a_template_are_known() -> None:
    found = parse("% {{Int32(n, 10, description='how many')}} {{String(c, required=True)}} {{Array(xs,'Int8','1')}}")
    assert [(one.name, one.type, one.default) for one in found.parameters] == [
        ("n", "Int32", 10), ("c", "String", None), ("xs", "Array", "1"),
    ]  # fmt: skip
    assert found.parameters[0].description == "how many"
    assert found.parameters[1].required


def _unquoted(text: str) -> str:
    """What a SQL reader with backslash escapes and doubled quotes sees in the literals of a text, and nothing else."""
    found, at = [], 0
    assert text
    while at < len(text):
        if text[at] != "'":
            assert text[at] in "(| )", text
            at += 1
            continue
        at += 1
        while text[at : at + 1] != "'" or text[at : at + 2] == "''":
            if text[at] in "\\'":
                at += 1
            found.append(text[at])
            at += 1
        at += 1
    return "".join(found)


@given(st.text().filter(lambda text: "\0" not in text))
def test_a_text_is_one_literal_whatever_it_holds(value: str) -> None:
    literal = text_literal(value)
    assert _unquoted(literal) == value
    assert "{{" not in literal


@given(st.text(max_size=30).filter(lambda text: "\0" not in text), st.integers(-(2**31), 2**31 - 1))
def test_a_value_goes_through_a_template_unchanged(text: str, number: int) -> None:
    sql = render("% {{String(x)}}|{{Int32(n)}}", {"x": text, "n": str(number)})
    literal, _, shown = sql.rpartition("|")
    assert _unquoted(literal) == text
    assert int(shown.strip("()")) == number


NUMBERS = st.recursive(
    st.integers(0, 50).map(str),
    lambda inner: st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(lambda three: f"({' '.join(three)})"),
    max_leaves=8,
)


@given(NUMBERS, NUMBERS, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]))
def test_expressions_count_and_compare_as_python_does(left: str, right: str, operator: str) -> None:
    shown = render(f"% {{{{ {left} }}}}", {})
    assert int(shown.strip("()")) == _python(left)
    truth = render(f"% {{% if {left} {operator} {right} %}}1{{% else %}}0{{% end %}}", {})
    holds = {
        "==": _python(left) == _python(right), "!=": _python(left) != _python(right),
        "<": _python(left) < _python(right), "<=": _python(left) <= _python(right),
        ">": _python(left) > _python(right), ">=": _python(left) >= _python(right),
    }  # fmt: skip
    assert truth == str(int(holds[operator]))


def _python(text: str) -> Any:
    """The value of a sum in brackets, by Python's own syntax tree."""
    import ast
    import operator

    calls = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}

    def value(node: ast.expr) -> int:
        if isinstance(node, ast.BinOp):
            return int(calls[type(node.op)](value(node.left), value(node.right)))
        assert isinstance(node, ast.Constant)
        assert isinstance(node.value, int)
        return node.value

    return value(ast.parse(text, mode="eval").body)


@given(st.text(max_size=60))
def test_no_text_ends_a_template_otherwise_than_by_an_answer_or_a_template_error(text: str) -> None:
    with contextlib.suppress(TemplateError):
        render(f"%{text}", {"x": "1"})
