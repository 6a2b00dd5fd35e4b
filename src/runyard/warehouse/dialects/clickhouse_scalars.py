"""ClickHouse's scalar functions: how each is called, DuckDB's spelling, and an example that a test asks both.

`@name` is a macro of ours (`macros.py`), `{x}` the argument x as SQL, `*x` the rest of the arguments. A function that
is not here is refused by name. Source of the meanings: ClickHouse documentation, 'Functions'.
"""

from __future__ import annotations

import msgspec


class Scalar(msgspec.Struct, frozen=True):
    """One way to call one function. `differs` says in what the answer is not ClickHouse's, if in anything."""

    call: str
    says: str
    example: str = ""
    differs: str = ""


_T = "toDateTime('2024-05-06 07:08:09')"
_D = "toDate('2024-05-06')"
_J = '\'{"a":{"b":"x","n":5,"f":1.5,"t":true,"l":[1,2]},"s":"y"}\''
_U = "'https://www.example.com/a/b?x=1&y=2#z'"


def _interval(unit: str) -> list[Scalar]:
    plural, name = f"{unit.lower()}s", unit.capitalize()
    return [
        Scalar(f"add{name}s(t, n)", f"@add_{plural}({{t}}, {{n}})", f"add{name}s({_T}, 3)"),
        Scalar(f"subtract{name}s(t, n)", f"@add_{plural}({{t}}, -({{n}}))", f"subtract{name}s({_T}, 3)"),
        Scalar(f"toInterval{name}(n)", f"@interval_{plural}({{n}})", f"{_T} + toInterval{name}(2)"),
    ]


def _numbers() -> list[Scalar]:
    found = []
    for name in [f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64, 128)]:
        macro = f"to_{name.lower()}"
        found += [
            Scalar(f"to{name}(x)", f"@{macro}({{x}})", f"to{name}('12'), to{name}(3.7)", "out of range is an error"),
            Scalar(f"to{name}OrNull(x)", f"@{macro}_or_null({{x}})", f"to{name}OrNull('x'), to{name}OrNull('7')"),
            Scalar(f"to{name}OrZero(x)", f"@{macro}_or_zero({{x}})", f"to{name}OrZero('1.5'), to{name}OrZero('7')"),
        ]
    for name in ("Float32", "Float64"):
        macro = f"to_{name.lower()}"
        found += [
            Scalar(f"to{name}(x)", f"@{macro}({{x}})", f"to{name}('1.5'), to{name}(2)"),
            Scalar(f"to{name}OrNull(x)", f"@{macro}_or_null({{x}})", f"to{name}OrNull('x'), to{name}OrNull('7')"),
            Scalar(f"to{name}OrZero(x)", f"@{macro}_or_zero({{x}})", f"to{name}OrZero('x'), to{name}OrZero('1.5')"),
        ]
    return found


DATES = [
    Scalar("toDate(x)", "@to_date({x})", "toDate('2024-05-06'), toDate('2024-05-06 07:08:09'), toDate(19000)"),
    Scalar("toDate(x, zone)", "CAST(@in_zone({x}, {zone}) AS DATE)", f"toDate({_T}, 'Asia/Tokyo')"),
    Scalar("toDate32(x)", "@to_date({x})", "toDate32('2024-05-06')"),
    Scalar("toDateOrNull(x)", "TRY_CAST({x} AS DATE)", "toDateOrNull('x'), toDateOrNull('2024-05-06')"),
    Scalar("toDateOrZero(x)", "COALESCE(TRY_CAST({x} AS DATE), DATE '1970-01-01')", "toDateOrZero('x')"),
    Scalar("toDateTime(x)", "@to_datetime({x})", f"{_T}, toDateTime(1700000000), toDateTime({_D})"),
    Scalar("toDateTime(x, zone)", "@in_zone(@to_datetime({x}), {zone})", "", "a time of day of the zone, without it"),
    Scalar("toDateTimeOrNull(x)", "@to_datetime(TRY_CAST({x} AS TIMESTAMP))", "toDateTimeOrNull('x')"),
    Scalar("toDateTimeOrZero(x)", "COALESCE(@to_datetime(TRY_CAST({x} AS TIMESTAMP)), TIMESTAMP '1970-01-01')",
           "toDateTimeOrZero('x')"),
    Scalar("toDateTime64(x, p)", "@to_datetime64({x})", "toDateTime64('2024-05-06 07:08:09.123', 3)"),
    Scalar("toDateTime64(x, p, zone)", "@in_zone(@to_datetime64({x}), {zone})"),
    Scalar("parseDateTimeBestEffort(x)", "@to_datetime({x})", "parseDateTimeBestEffort('2024-05-06T07:08:09Z')",
           "ISO 8601 only"),
    Scalar("parseDateTimeBestEffortOrNull(x)", "@to_datetime(TRY_CAST({x} AS TIMESTAMP))",
           "parseDateTimeBestEffortOrNull('x')"),
    Scalar("parseDateTimeBestEffortOrZero(x)",
           "COALESCE(@to_datetime(TRY_CAST({x} AS TIMESTAMP)), TIMESTAMP '1970-01-01')"),
    Scalar("toTimeZone(t, zone)", "@in_zone({t}, {zone})", "", "a time of day of the zone, without it"),
    Scalar("toStartOfSecond(t)", "date_trunc('second', CAST({t} AS TIMESTAMP))"),
    Scalar("toStartOfMinute(t)", "date_trunc('minute', CAST({t} AS TIMESTAMP))", f"toStartOfMinute({_T})"),
    Scalar("toStartOfFiveMinutes(t)", "time_bucket(INTERVAL 5 MINUTE, CAST({t} AS TIMESTAMP))",
           f"toStartOfFiveMinutes({_T})"),
    Scalar("toStartOfFiveMinute(t)", "time_bucket(INTERVAL 5 MINUTE, CAST({t} AS TIMESTAMP))",
           f"toStartOfFiveMinute({_T})"),
    Scalar("toStartOfTenMinutes(t)", "time_bucket(INTERVAL 10 MINUTE, CAST({t} AS TIMESTAMP))",
           f"toStartOfTenMinutes({_T})"),
    Scalar("toStartOfFifteenMinutes(t)", "time_bucket(INTERVAL 15 MINUTE, CAST({t} AS TIMESTAMP))",
           f"toStartOfFifteenMinutes({_T})"),
    Scalar("toStartOfHour(t)", "date_trunc('hour', CAST({t} AS TIMESTAMP))", f"toStartOfHour({_T})"),
    Scalar("toStartOfDay(t)", "date_trunc('day', CAST({t} AS TIMESTAMP))", f"toStartOfDay({_T})"),
    Scalar("toStartOfDay(t, zone)", "date_trunc('day', @in_zone({t}, {zone}))"),
    Scalar("toStartOfHour(t, zone)", "date_trunc('hour', @in_zone({t}, {zone}))"),
    Scalar("toStartOfWeek(t)", "@start_of_week({t}, 0)", f"toStartOfWeek({_T})"),
    Scalar("toStartOfWeek(t, mode)", "@start_of_week({t}, {mode})", f"toStartOfWeek({_D}, 1), toStartOfWeek({_D}, 0)"),
    Scalar("toMonday(t)", "CAST(date_trunc('week', {t}) AS DATE)", f"toMonday({_T})"),
    Scalar("toStartOfMonth(t)", "CAST(date_trunc('month', {t}) AS DATE)", f"toStartOfMonth({_T})"),
    Scalar("toStartOfQuarter(t)", "CAST(date_trunc('quarter', {t}) AS DATE)", f"toStartOfQuarter({_D})"),
    Scalar("toStartOfYear(t)", "CAST(date_trunc('year', {t}) AS DATE)", f"toStartOfYear({_T})"),
    Scalar("toStartOfISOYear(t)", "CAST(date_trunc('isoyear', {t}) AS DATE)", ""),
    Scalar("toLastDayOfMonth(t)", "last_day({t})", f"toLastDayOfMonth({_D})"),
    Scalar("toYear(t)", "year({t})", f"toYear({_T})"),
    Scalar("toQuarter(t)", "quarter({t})", f"toQuarter({_D})"),
    Scalar("toMonth(t)", "month({t})", f"toMonth({_T})"),
    Scalar("toWeek(t)", "CAST(strftime({t}, '%U') AS INTEGER)", f"toWeek({_D})"),
    Scalar("toISOWeek(t)", "week({t})", f"toISOWeek({_D})"),
    Scalar("toDayOfYear(t)", "dayofyear({t})", f"toDayOfYear({_T})"),
    Scalar("toDayOfMonth(t)", "day({t})", f"toDayOfMonth({_T})"),
    Scalar("toDayOfWeek(t)", "isodow({t})", f"toDayOfWeek({_T}), toDayOfWeek(toDate('2024-05-05'))"),
    Scalar("toHour(t)", "hour({t})", f"toHour({_T})"),
    Scalar("toMinute(t)", "minute({t})", f"toMinute({_T})"),
    Scalar("toSecond(t)", "second({t})", f"toSecond({_T})"),
    Scalar("toTime(t)", "CAST({t} AS TIME)", "", "a TIME, without a day"),
    Scalar("toYYYYMM(t)", "(year({t}) * 100 + month({t}))", f"toYYYYMM({_T})"),
    Scalar("toYYYYMMDD(t)", "(year({t}) * 10000 + month({t}) * 100 + day({t}))", f"toYYYYMMDD({_T})"),
    Scalar("toYYYYMMDDhhmmss(t)", "CAST(strftime({t}, '%Y%m%d%H%M%S') AS BIGINT)", f"toYYYYMMDDhhmmss({_T})"),
    Scalar("toUnixTimestamp(t)", "CAST(epoch(CAST({t} AS TIMESTAMP)) AS BIGINT)", f"toUnixTimestamp({_T})"),
    Scalar("toUnixTimestamp64Milli(t)", "epoch_ms(CAST({t} AS TIMESTAMP))",
           "toUnixTimestamp64Milli(toDateTime64('2024-05-06 07:08:09.123', 3))"),
    Scalar("fromUnixTimestamp(n)", "make_timestamp(CAST({n} AS BIGINT) * 1000000)", "fromUnixTimestamp(1700000000)"),
    Scalar("fromUnixTimestamp64Milli(n)", "make_timestamp(CAST({n} AS BIGINT) * 1000)",
           "fromUnixTimestamp64Milli(toInt64(1700000000123))"),
    Scalar("now()", "date_trunc('second', CAST(now() AS TIMESTAMP))", "toYear(now()) > 2000"),
    Scalar("now64()", "CAST(now() AS TIMESTAMP)", "toYear(now64()) > 2000"),
    Scalar("now64(p)", "CAST(now() AS TIMESTAMP)"),
    Scalar("now(zone)", "date_trunc('second', @in_zone(CAST(now() AS TIMESTAMP), {zone}))"),
    Scalar("today()", "CAST(CAST(now() AS TIMESTAMP) AS DATE)", "today() = toDate(now())"),
    Scalar("yesterday()", "(CAST(CAST(now() AS TIMESTAMP) AS DATE) - 1)", "yesterday() = today() - 1"),
    Scalar("timeSlot(t)", "time_bucket(INTERVAL 30 MINUTE, CAST({t} AS TIMESTAMP))", f"timeSlot({_T})"),
    Scalar("age(unit, a, b)", "date_sub({unit}, {a}, {b})", f"age('day', toDate('2024-01-01'), {_D})"),
    *[one for unit in ("second", "minute", "hour", "day", "week", "month", "quarter", "year")
      for one in _interval(unit)],
]  # fmt: skip

TYPES = [
    *_numbers(),
    Scalar("toString(x)", "@to_string({x})", f"toString(12), toString(1.0), toString(1.5), toString({_T})"),
    Scalar("toFixedString(x, n)", "CAST({x} AS VARCHAR)", "", "not padded"),
    Scalar("toUUID(x)", "CAST({x} AS UUID)", "toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0')"),
    Scalar("toBool(x)", "CAST({x} AS BOOLEAN)", "toBool('true'), toBool(0)"),
    Scalar("toDecimal32(x, s)", "CAST({x} AS DECIMAL(9, {s}))", "toDecimal32('1.25', 2)"),
    Scalar("toDecimal64(x, s)", "CAST({x} AS DECIMAL(18, {s}))", "toDecimal64('1.25', 2)"),
    Scalar("toDecimal128(x, s)", "CAST({x} AS DECIMAL(38, {s}))", "toDecimal128('1.25', 2)"),
    Scalar("toLowCardinality(x)", "{x}", "toLowCardinality('a')"),
    Scalar("toNullable(x)", "{x}", "toNullable(1)"),
    Scalar("materialize(x)", "{x}", "materialize('a')"),
    Scalar("identity(x)", "{x}", "identity(1)"),
    Scalar("toTypeName(x)", "@type_name({x})", "toTypeName('a'), toTypeName(toInt32(1)), toTypeName(toDate(1))",
           "the type that DuckDB has for it"),
]  # fmt: skip

CONDITIONS = [
    Scalar("ifNull(x, y)", "COALESCE({x}, {y})", "ifNull(NULL, 2), ifNull(1, 2)"),
    Scalar("nullIf(x, y)", "NULLIF({x}, {y})", "nullIf(1, 1), nullIf(1, 2)"),
    Scalar("coalesce(*x)", "COALESCE({x})", "coalesce(NULL, 3, 4)"),
    Scalar("assumeNotNull(x)", "{x}", "assumeNotNull(toNullable(1))"),
    Scalar("isNull(x)", "(({x}) IS NULL)", "isNull(NULL), isNull(1)"),
    Scalar("isNotNull(x)", "(({x}) IS NOT NULL)", "isNotNull(NULL), isNotNull(1)"),
    Scalar("greatest(*x)", "greatest({x})", "greatest(1, 5, 3)"),
    Scalar("least(*x)", "least({x})", "least(4, 2, 3)"),
    Scalar("equals(x, y)", "(({x}) = ({y}))", "equals(1, 1)"),
    Scalar("notEquals(x, y)", "(({x}) <> ({y}))", "notEquals(1, 1)"),
    Scalar("less(x, y)", "(({x}) < ({y}))", "less(1, 2)"),
    Scalar("greater(x, y)", "(({x}) > ({y}))", "greater(1, 2)"),
    Scalar("lessOrEquals(x, y)", "(({x}) <= ({y}))", "lessOrEquals(1, 2)"),
    Scalar("greaterOrEquals(x, y)", "(({x}) >= ({y}))", "greaterOrEquals(1, 2)"),
    Scalar("not(x)", "(NOT ({x}))", "not(1)"),
    Scalar("in(x, y)", "(({x}) IN ({y}))"),
]

NUMBERS = [
    Scalar("plus(x, y)", "(({x}) + ({y}))", "plus(1, 2)"),
    Scalar("minus(x, y)", "(({x}) - ({y}))", "minus(1, 2)"),
    Scalar("multiply(x, y)", "(({x}) * ({y}))", "multiply(3, 2)"),
    Scalar("divide(x, y)", "(CAST({x} AS DOUBLE) / ({y}))", "divide(3, 2)"),
    Scalar("intDiv(x, y)", "@int_div({x}, {y})", "intDiv(7, 2), intDiv(-7, 2)"),
    Scalar("intDivOrZero(x, y)", "COALESCE(@int_div({x}, NULLIF({y}, 0)), 0)", "intDivOrZero(7, 0)"),
    Scalar("modulo(x, y)", "(({x}) % ({y}))", "modulo(7, 3), modulo(-7, 3)"),
    Scalar("negate(x)", "(-({x}))", "negate(3)"),
    Scalar("abs(x)", "abs({x})", "abs(-3)"),
    Scalar("round(x)", "@round_half({x}, 0)", "round(2.5), round(3.5), round(-1.4)"),
    Scalar("round(x, n)", "@round_half({x}, {n})", "round(3.14159, 2)"),
    Scalar("floor(x)", "floor({x})", "floor(2.7), floor(-2.7)"),
    Scalar("floor(x, n)", "(floor(({x}) * power(10, {n})) / power(10, {n}))", "floor(2.75, 1)"),
    Scalar("ceil(x)", "ceil({x})", "ceil(2.1)"),
    Scalar("ceiling(x)", "ceil({x})", "ceiling(2.1)"),
    Scalar("trunc(x)", "trunc({x})", "trunc(-2.7)"),
    Scalar("sqrt(x)", "sqrt({x})", "sqrt(16)"),
    Scalar("cbrt(x)", "cbrt({x})", "cbrt(27)"),
    Scalar("pow(x, y)", "power({x}, {y})", "pow(2, 10)"),
    Scalar("power(x, y)", "power({x}, {y})", "power(2, 10)"),
    Scalar("exp(x)", "exp({x})", "exp(1)"),
    Scalar("log(x)", "ln({x})", "log(10)"),
    Scalar("ln(x)", "ln({x})", "ln(10)"),
    Scalar("log2(x)", "log2({x})", "log2(8)"),
    Scalar("log10(x)", "log10({x})", "log10(1000)"),
    Scalar("sign(x)", "sign({x})", "sign(-5)"),
    Scalar("pi()", "pi()", "pi()"),
    Scalar("sin(x)", "sin({x})", "sin(1)"),
    Scalar("cos(x)", "cos({x})", "cos(1)"),
    Scalar("isNaN(x)", "isnan({x})", "isNaN(1.0)"),
    Scalar("isFinite(x)", "isfinite({x})", "isFinite(1.0)"),
    Scalar("bitAnd(x, y)", "(({x}) & ({y}))", "bitAnd(6, 3)"),
    Scalar("bitOr(x, y)", "(({x}) | ({y}))", "bitOr(6, 3)"),
    Scalar("bitXor(x, y)", "xor({x}, {y})", "bitXor(6, 3)"),
    Scalar("bitShiftLeft(x, y)", "(({x}) << ({y}))", "bitShiftLeft(1, 4)"),
    Scalar("bitShiftRight(x, y)", "(({x}) >> ({y}))", "bitShiftRight(16, 2)"),
    Scalar("rand()", "CAST(floor(random() * 4294967296) AS UINTEGER)", "rand() >= 0"),
    Scalar("generateUUIDv4()", "uuid()", "length(toString(generateUUIDv4()))"),
]

STRINGS = [
    Scalar("lower(s)", "lower({s})", "lower('ABC')"),
    Scalar("upper(s)", "upper({s})", "upper('abc')"),
    Scalar("lowerUTF8(s)", "lower({s})", "lowerUTF8('ÄB')"),
    Scalar("upperUTF8(s)", "upper({s})", "upperUTF8('äb')"),
    Scalar("concat(*s)", "concat({s})", "concat('a', 'b', 1)", "NULL is left out"),
    Scalar("concatWithSeparator(sep, *s)", "concat_ws({sep}, {s})", "concatWithSeparator('-', 'a', 'b')"),
    Scalar("substringUTF8(s, i)", "substring({s}, {i})", "substringUTF8('äbc', 2)"),
    Scalar("substringUTF8(s, i, n)", "substring({s}, {i}, {n})", "substringUTF8('äbc', 2, 1)"),
    Scalar("substr(s, i)", "substring({s}, {i})", "substr('abc', 2)"),
    Scalar("substr(s, i, n)", "substring({s}, {i}, {n})", "substr('abc', 2, 1)"),
    Scalar("left(s, n)", "left({s}, {n})", "left('abc', 2)"),
    Scalar("right(s, n)", "right({s}, {n})", "right('abc', 2)"),
    Scalar("leftPad(s, n, p)", "@pad_left({s}, {n}, {p})", "leftPad('7', 3, '0')"),
    Scalar("rightPad(s, n, p)", "@pad_right({s}, {n}, {p})", "rightPad('7', 3, '0')"),
    Scalar("positionCaseInsensitive(s, x)", "strpos(lower({s}), lower({x}))", "positionCaseInsensitive('aBc', 'b')"),
    Scalar("positionUTF8(s, x)", "strpos({s}, {x})", "positionUTF8('äbc', 'b')"),
    Scalar("locate(x, s)", "strpos({s}, {x})", "locate('b', 'abc')"),
    Scalar("startsWith(s, x)", "starts_with({s}, {x})", "startsWith('abc', 'ab')"),
    Scalar("endsWith(s, x)", "ends_with({s}, {x})", "endsWith('abc', 'bc')"),
    Scalar("replaceAll(s, x, y)", "replace({s}, {x}, {y})", "replaceAll('aba', 'a', 'x')"),
    Scalar("replace(s, x, y)", "replace({s}, {x}, {y})", "replace('aba', 'a', 'x')"),
    Scalar("replaceOne(s, x, y)", "@replace_one({s}, {x}, {y})",
           "replaceOne('aba', 'a', 'x'), replaceOne('b', 'a', 'x')"),
    Scalar("replaceRegexpOne(s, r, y)", "regexp_replace({s}, {r}, {y})", r"replaceRegexpOne('a1b2', '(\\d)', '<\\1>')"),
    Scalar("replaceRegexpAll(s, r, y)", "regexp_replace({s}, {r}, {y}, 'g')",
           r"replaceRegexpAll('a1b2', '(\\d)', '<\\1>')"),
    Scalar("match(s, r)", "regexp_matches({s}, {r})", r"match('abc', 'b.'), match('abc', '^b')"),
    Scalar("like(s, p)", "(({s}) LIKE ({p}))", "like('abc', 'a%')"),
    Scalar("notLike(s, p)", "(({s}) NOT LIKE ({p}))", "notLike('abc', 'a%')"),
    Scalar("ilike(s, p)", "(({s}) ILIKE ({p}))", "ilike('ABC', 'a%')"),
    Scalar("extractAll(s, r)", "regexp_extract_all({s}, {r})", r"extractAll('a1b22', '\\d+')"),
    Scalar("countSubstrings(s, x)", "(len(string_split({s}, {x})) - 1)", "countSubstrings('aXbXc', 'X')"),
    Scalar("splitByChar(sep, s)", "string_split({s}, {sep})", "splitByChar(',', 'a,b,c')"),
    Scalar("splitByString(sep, s)", "string_split({s}, {sep})", "splitByString('--', 'a--b')"),
    Scalar("splitByRegexp(r, s)", "regexp_split_to_array({s}, {r})", r"splitByRegexp('\\d', 'a1b2c')"),
    Scalar("trimLeft(s)", "ltrim({s})", "trimLeft('  a ')"),
    Scalar("trimRight(s)", "rtrim({s})", "trimRight(' a  ')"),
    Scalar("trimBoth(s)", "trim({s})", "trimBoth('  a ')"),
    Scalar("length(s)", "@length({s})", "length('äb'), length([1, 2, 3])"),
    Scalar("lengthUTF8(s)", "length({s})", "lengthUTF8('äb')"),
    Scalar("empty(s)", "(len({s}) = 0)", "empty(''), empty('a'), empty([1])"),
    Scalar("notEmpty(s)", "(len({s}) > 0)", "notEmpty(''), notEmpty('a'), notEmpty([1])"),
    Scalar("reverse(s)", "@reverse({s})", "reverse('abc'), reverse([1, 2])"),
    Scalar("repeat(s, n)", "repeat({s}, {n})", "repeat('ab', 3)"),
    Scalar("base64Encode(s)", "base64(encode({s}))", "base64Encode('abc')"),
    Scalar("base64Decode(s)", "decode(from_base64({s}))", "base64Decode('YWJj')"),
    Scalar("hex(s)", "hex({s})", "hex('abc')", "of numbers: without leading zeros"),
    Scalar("ascii(s)", "ascii({s})", "ascii('a')"),
    Scalar("toValidUTF8(s)", "{s}", "toValidUTF8('a')"),
    Scalar("decodeURLComponent(s)", "url_decode({s})", "decodeURLComponent('a%20b')"),
    Scalar("encodeURLComponent(s)", "url_encode({s})", "encodeURLComponent('a b')"),
    Scalar("domain(u)", "@domain({u})", f"domain({_U})"),
    Scalar("domainWithoutWWW(u)", "regexp_replace(@domain({u}), '^www\\.', '')", f"domainWithoutWWW({_U})"),
    Scalar("protocol(u)", "regexp_extract({u}, '^([a-zA-Z][a-zA-Z0-9+.-]*):', 1)", f"protocol({_U})"),
    Scalar("path(u)", "regexp_extract({u}, '^[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*([^?#]*)', 1)", f"path({_U})"),
    Scalar("queryString(u)", "regexp_extract({u}, '\\?([^#]*)', 1)", f"queryString({_U})"),
    Scalar("fragment(u)", "regexp_extract({u}, '#(.*)$', 1)", f"fragment({_U})"),
    Scalar("cutQueryString(u)", "regexp_replace({u}, '\\?[^#]*', '')", f"cutQueryString({_U})"),
    Scalar("extractURLParameter(u, name)", "regexp_extract({u}, concat('[?&]', {name}, '=([^&#]*)'), 1)",
           f"extractURLParameter({_U}, 'y')"),
    Scalar("extractURLParameterNames(u)", "regexp_extract_all({u}, '[?&]([^=&#]+)=', 1)",
           f"extractURLParameterNames({_U})"),
]  # fmt: skip

ARRAYS = [
    Scalar("array(*x)", "[{x}]", "array(1, 2)"),
    Scalar("arrayElement(a, i)", "{a}[{i}]", "arrayElement([5, 6], 2)", "beyond the end: NULL"),
    Scalar("has(a, x)", "list_contains({a}, {x})", "has([1, 2], 2), has([1], 3)"),
    Scalar("hasAny(a, b)", "list_has_any({a}, {b})", "hasAny([1, 2], [2, 3])"),
    Scalar("hasAll(a, b)", "list_has_all({a}, {b})", "hasAll([1, 2], [2])"),
    Scalar("indexOf(a, x)", "COALESCE(list_position({a}, {x}), 0)", "indexOf([5, 6], 6), indexOf([5], 7)"),
    Scalar("countEqual(a, x)", "len(list_filter({a}, lambda e: e = ({x})))", "countEqual([1, 2, 1], 1)"),
    Scalar("arrayStringConcat(a)", "array_to_string({a}, '')", "arrayStringConcat(['a', 'b'])"),
    Scalar("arrayStringConcat(a, sep)", "array_to_string({a}, {sep})", "arrayStringConcat(['a', 'b'], '-')"),
    Scalar("arrayConcat(*a)", "list_concat({a})", "arrayConcat([1], [2, 3])"),
    Scalar("arrayDistinct(a)", "list_sort(list_distinct({a}))", "arraySort(arrayDistinct([2, 1, 2]))", "sorted"),
    Scalar("arrayUniq(a)", "list_unique({a})", "arrayUniq([1, 2, 1])"),
    Scalar("arrayReverse(a)", "list_reverse({a})", "arrayReverse([1, 2])"),
    Scalar("arraySort(a)", "list_sort({a})", "arraySort([3, 1, 2])"),
    Scalar("arrayReverseSort(a)", "list_reverse_sort({a})", "arrayReverseSort([3, 1, 2])"),
    Scalar("arraySlice(a, i)", "list_slice({a}, {i}, len({a}))", "arraySlice([1, 2, 3], 2)"),
    Scalar("arraySlice(a, i, n)", "list_slice({a}, {i}, ({i}) + ({n}) - 1)", "arraySlice([1, 2, 3, 4], 2, 2)"),
    Scalar("arrayPushBack(a, x)", "list_append({a}, {x})", "arrayPushBack([1], 2)"),
    Scalar("arrayPushFront(a, x)", "list_prepend({x}, {a})", "arrayPushFront([1], 2)"),
    Scalar("arrayPopBack(a)", "array_pop_back({a})", "arrayPopBack([1, 2])"),
    Scalar("arrayPopFront(a)", "array_pop_front({a})", "arrayPopFront([1, 2])"),
    Scalar("arrayFlatten(a)", "flatten({a})", "arrayFlatten([[1], [2, 3]])"),
    Scalar("arrayEnumerate(a)", "range(1, len({a}) + 1)", "arrayEnumerate([5, 6])"),
    Scalar("arrayZip(*a)", "list_zip({a})", "arrayZip([1, 2], ['a', 'b'])"),
    Scalar("arrayCompact(a)", "@compact({a})", "arrayCompact([1, 1, 2, 1])"),
    Scalar("range(n)", "range({n})", "range(3)"),
    Scalar("range(a, b)", "range({a}, {b})", "range(1, 4)"),
    Scalar("range(a, b, s)", "range({a}, {b}, {s})", "range(0, 9, 3)"),
    Scalar("arrayJoin(a)", "unnest({a})", "arrayJoin([1, 2, 3])"),
    Scalar("tuple(*x)", "row({x})", "tuple(1, 'a')"),
    Scalar("tupleElement(t, i)", "struct_extract_at({t}, {i})", "tupleElement((1, 'a'), 2)", "by number only"),
    Scalar("mapKeys(m)", "map_keys({m})", "mapKeys(map('a', 1, 'b', 2))"),
    Scalar("mapValues(m)", "map_values({m})", "mapValues(map('a', 1, 'b', 2))"),
    Scalar("mapContains(m, k)", "map_contains({m}, {k})", "mapContains(map('a', 1), 'a')"),
]

JSON = [
    Scalar("isValidJSON(j)", "json_valid({j})", "isValidJSON('{}'), isValidJSON('{')"),
    Scalar("toJSONString(x)", "CAST(to_json({x}) AS VARCHAR)", "toJSONString([1, 2])"),
]

HASHES = [
    Scalar("MD5(s)", "unhex(md5({s}))", "lower(hex(MD5('abc')))"),
]

WINDOWS = [
    Scalar("row_number()", "row_number()"),
    Scalar("rank()", "rank()"),
    Scalar("dense_rank()", "dense_rank()"),
    Scalar("percent_rank()", "percent_rank()"),
    Scalar("ntile(n)", "ntile({n})"),
    Scalar("lagInFrame(*x)", "lag({x})"),
    Scalar("leadInFrame(*x)", "lead({x})"),
    Scalar("lag(*x)", "lag({x})"),
    Scalar("lead(*x)", "lead({x})"),
    Scalar("nth_value(x, n)", "nth_value({x}, {n})"),
]

SCALARS = {
    "Dates and times": DATES,
    "Types": TYPES,
    "Conditions": CONDITIONS,
    "Numbers": NUMBERS,
    "Text": STRINGS,
    "Arrays, tuples, maps": ARRAYS,
    "JSON": JSON,
    "Hashes": HASHES,
    "Windows": WINDOWS,
}
