"""ClickHouse's aggregate functions: DuckDB's spelling of each, of its partial state and of the merge of states.

`{over}` is where FILTER and OVER go. A state is a plain value (a number, a list, a struct), so that it can be kept in a
table and merged later. Source of the meanings: ClickHouse documentation, 'Aggregate functions' and 'Combinators'.
"""

from __future__ import annotations

import msgspec


class Aggregate(msgspec.Struct, frozen=True):
    """`parameters` are those of the first pair of parentheses, as in quantile(0.5)(x)."""

    call: str
    says: str
    example: str = ""
    state: str = ""
    merge: str = ""
    """Of states `s`; empty: this function's states are refused."""
    differs: str = ""
    parameters: str = ""


_N = "FROM (SELECT arrayJoin([1, 2, 3, 4, 10]) AS x)"
_K = "FROM (SELECT arrayJoin([('a', 1), ('b', 5), ('c', 3)]) AS p, tupleElement(p, 1) AS v, tupleElement(p, 2) AS k)"
_ALL = "flatten(list({s}){over})"
_KEPT = "list_filter(COALESCE(list({x}){over}, []), lambda e: e IS NOT NULL)"


def _plain(name: str, says: str, example: str = "", differs: str = "") -> Aggregate:
    return Aggregate(f"{name}(x)", says, example or f"{name}(x) {_N}", differs=differs)


AGGREGATES = [
    Aggregate("count()", "count(*){over}", f"count() {_N}", "count(*){over}", "COALESCE(sum({s}){over}, 0)"),
    Aggregate("count(x)", "count({x}){over}", f"count(x) {_N}", "count({x}){over}", "COALESCE(sum({s}){over}, 0)"),
    Aggregate("sum(x)", "COALESCE(sum({x}){over}, 0)", f"sum(x), sumIf(x, x > 99) {_N}", "sum({x}){over}",
              "COALESCE(sum({s}){over}, 0)", "of NULLs only: 0"),
    Aggregate("min(x)", "min({x}){over}", f"min(x) {_N}", "min({x}){over}", "min({s}){over}", "of no rows: NULL"),
    Aggregate("max(x)", "max({x}){over}", f"max(x) {_N}", "max({x}){over}", "max({s}){over}", "of no rows: NULL"),
    Aggregate("avg(x)", "avg({x}){over}", f"avg(x) {_N}",
              "struct_pack(s := sum({x}){over}, c := count({x}){over})",
              "(sum(struct_extract({s}, 's')){over} / sum(struct_extract({s}, 'c')){over})", "of no rows: NULL"),
    Aggregate("uniq(x)", "count(DISTINCT {x}){over}", f"uniq(x) {_N}", "list(DISTINCT {x}){over}",
              f"len(list_distinct({_ALL}))", "exact"),
    Aggregate("uniqExact(x)", "count(DISTINCT {x}){over}", f"uniqExact(x) {_N}", "list(DISTINCT {x}){over}",
              f"len(list_distinct({_ALL}))"),
    Aggregate("uniqCombined(x)", "count(DISTINCT {x}){over}", f"uniqCombined(x) {_N}", "list(DISTINCT {x}){over}",
              f"len(list_distinct({_ALL}))", "exact"),
    Aggregate("uniqCombined64(x)", "count(DISTINCT {x}){over}", f"uniqCombined64(x) {_N}", "list(DISTINCT {x}){over}",
              f"len(list_distinct({_ALL}))", "exact"),
    Aggregate("uniqHLL12(x)", "count(DISTINCT {x}){over}", f"uniqHLL12(x) {_N}", "list(DISTINCT {x}){over}",
              f"len(list_distinct({_ALL}))", "exact"),
    Aggregate("uniq(*x)", "count(DISTINCT ({x})){over}", f"uniq(x, x % 2) {_N}", "list(DISTINCT ({x})){over}",
              f"len(list_distinct({_ALL}))", "exact"),
    Aggregate("uniqExact(*x)", "count(DISTINCT ({x})){over}", f"uniqExact(x, x % 2) {_N}",
              "list(DISTINCT ({x})){over}", f"len(list_distinct({_ALL}))"),
    Aggregate("argMin(v, k)", "arg_min({v}, {k}){over}", f"argMin(v, k) {_K}",
              "struct_pack(v := arg_min({v}, {k}){over}, k := min({k}){over})",
              "arg_min(struct_extract({s}, 'v'), struct_extract({s}, 'k')){over}"),
    Aggregate("argMax(v, k)", "arg_max({v}, {k}){over}", f"argMax(v, k) {_K}",
              "struct_pack(v := arg_max({v}, {k}){over}, k := max({k}){over})",
              "arg_max(struct_extract({s}, 'v'), struct_extract({s}, 'k')){over}"),
    Aggregate("any(x)", "any_value({x}){over}", f"any(x) {_N}", "any_value({x}){over}", "any_value({s}){over}"),
    Aggregate("anyLast(x)", "last({x}){over}", f"anyLast(x) {_N}", "last({x}){over}", "last({s}){over}"),
    Aggregate("first_value(x)", "first({x}){over}", "", differs="without an order it is any of them"),
    Aggregate("last_value(x)", "last_value({x}){over}", "", differs="inside OVER"),
    Aggregate("groupArray(x)", _KEPT, f"groupArray(x) {_N}", "list({x}){over}", _ALL),
    Aggregate("groupArray(x)", f"list_slice({_KEPT}, 1, {{n}})", f"groupArray(2)(x) {_N}", parameters="n"),
    Aggregate("groupArraySample(x)", f"list_slice({_KEPT}, 1, {{n}})", "", parameters="n",
              differs="the first ones, no random sample"),
    Aggregate("groupUniqArray(x)", f"list_distinct({_KEPT})", f"arraySort(groupUniqArray(x)) {_N}",
              "list(DISTINCT {x}){over}", f"list_distinct({_ALL})"),
    Aggregate("quantile(x)", "quantile_cont({x}, 0.5){over}", f"quantile(x) {_N}", "list({x}){over}",
              f"list_aggregate({_ALL}, 'quantile_cont', 0.5)", "exact"),
    Aggregate("quantile(x)", "quantile_cont({x}, {p}){over}", f"quantile(0.25)(x) {_N}", "list({x}){over}",
              f"list_aggregate({_ALL}, 'quantile_cont', {{p}})", "exact", "p"),
    Aggregate("quantileTDigest(x)", "approx_quantile({x}, {p}){over}", "", parameters="p", differs="approximate"),
    Aggregate("quantileTiming(x)", "quantile_cont({x}, {p}){over}", "", parameters="p", differs="exact"),
    Aggregate("quantileExact(x)", "@quantile_exact(list({x}){over}, {p})", f"quantileExact(0.5)(x) {_N}",
              parameters="p"),
    Aggregate("quantiles(x)", "quantile_cont({x}, [{p}]){over}", f"quantiles(0.25, 0.5)(x) {_N}", "list({x}){over}",
              f"list_aggregate({_ALL}, 'quantile_cont', [{{p}}])", "exact", "*p"),
    Aggregate("median(x)", "median({x}){over}", f"median(x) {_N}", "list({x}){over}",
              f"list_aggregate({_ALL}, 'median')"),
    Aggregate("topK(x)", "approx_top_k({x}, {n}){over}", "", parameters="n", differs="approximate, as in ClickHouse"),
    _plain("stddevPop", "stddev_pop({x}){over}"),
    _plain("stddevSamp", "stddev_samp({x}){over}"),
    _plain("varPop", "var_pop({x}){over}"),
    _plain("varSamp", "var_samp({x}){over}"),
    Aggregate("corr(x, y)", "corr({x}, {y}){over}", f"corr(x, x * 2) {_N}"),
    Aggregate("covarPop(x, y)", "covar_pop({x}, {y}){over}", f"covarPop(x, x) {_N}"),
    Aggregate("covarSamp(x, y)", "covar_samp({x}, {y}){over}", f"covarSamp(x, x) {_N}"),
    _plain("groupBitAnd", "bit_and({x}){over}"),
    _plain("groupBitOr", "bit_or({x}){over}"),
    _plain("groupBitXor", "bit_xor({x}){over}"),
    _plain("skewSamp", "skewness({x}){over}", "length(toString(skewSamp(x))) > 0 " + _N),
    _plain("entropy", "entropy({x}){over}"),
    Aggregate("groupConcat(x)", "string_agg({x}, ''){over}", "groupConcat(toString(x)) " + _N),
    Aggregate("groupConcat(x)", "string_agg({x}, {sep}){over}", "groupConcat(',')(toString(x)) " + _N,
              parameters="sep"),
]  # fmt: skip

COMBINATORS = {
    "If": "only rows for which the last argument is true",
    "OrNull": "NULL of no rows, which is what DuckDB says anyway",
    "Distinct": "each value once",
    "State": "a partial state, as a plain value",
    "Merge": "the result of partial states",
    "SimpleState": "the value itself",
}
