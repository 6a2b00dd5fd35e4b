"""Expressions: parsed into functions of a scope. Precedence as the language's users know it from Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runyard.dialects.tinybird.template import functions
from runyard.dialects.tinybird.template.scope import Scope
from runyard.dialects.tinybird.template.tokens import Token, tokens
from runyard.dialects.tinybird.template.values import Missing, Parameter, Raw, TemplateError

Expression = Callable[[Scope], Any]
_DEPTH = 50
_CONSTANTS = {"True": True, "False": False, "None": None, "true": True, "false": False}
_WORDS = {"and", "or", "not", "in", "is", "if", "else"}


def parse(text: str, seen: list[Parameter]) -> Expression:
    """The function of an expression; the parameters that it reads by type are added to `seen`."""
    parser = Parser(tokens(text), text, seen)
    expression = parser.expression()
    parser.end()
    return expression


class Parser:
    """One pass over the tokens of one expression."""

    def __init__(self, found: list[Token], text: str, seen: list[Parameter]) -> None:
        self._tokens, self._text, self._seen = found, text.strip(), seen
        self._at = 0
        self._deep = 0

    # --- reading tokens ---

    def _peek(self, *values: str) -> bool:
        token = self._tokens[self._at]
        return token.kind in ("mark", "name") and token.value in values

    def _take(self, *values: str) -> str | None:
        if not self._peek(*values):
            return None
        self._at += 1
        return self._tokens[self._at - 1].value

    def _need(self, value: str) -> None:
        if self._take(value) is None:
            raise self._wrong(f"expected {value!r}")

    def _wrong(self, what: str) -> TemplateError:
        found = self._tokens[self._at].value or "its end"
        return TemplateError(f"In the template expression {self._text!r}: {what}, found {found!r}.")

    def end(self) -> None:
        """Refuses anything that is left."""
        if self._tokens[self._at].kind != "end":
            raise self._wrong("expected the end of the expression")

    # --- from weak to strong ---

    def expression(self) -> Expression:
        """`a if b else c`, or what binds stronger."""
        self._deep += 1
        if self._deep > _DEPTH:
            raise TemplateError(f"The expression {self._text[:60]!r} is nested too deeply.")
        value = self._or()
        if self._take("if"):
            condition = self._or()
            self._need("else")
            other = self.expression()
            chosen = value
            value = lambda scope: chosen(scope) if condition(scope) else other(scope)  # noqa: E731
        self._deep -= 1
        return value

    def _or(self) -> Expression:
        left = self._and()
        while self._take("or"):
            left = _either(left, self._and())
        return left

    def _and(self) -> Expression:
        left = self._not()
        while self._take("and"):
            left = _both(left, self._not())
        return left

    def _not(self) -> Expression:
        count = 0
        while self._take("not"):
            count += 1
        value = self._comparison()
        if not count:
            return value
        return lambda scope: bool(value(scope)) is (count % 2 == 0)

    def _comparison(self) -> Expression:
        first = self._sum()
        steps: list[tuple[str, Expression]] = []
        while (operator := self._operator()) is not None:
            steps.append((operator, self._sum()))
        return _compared(first, steps) if steps else first

    def _operator(self) -> str | None:
        if self._peek("not") and self._tokens[self._at + 1].value == "in":
            self._at += 2
            return "not in"
        if self._take("is"):
            return "is not" if self._take("not") else "is"
        return self._take("==", "!=", "<>", "<=", ">=", "<", ">", "in")

    def _sum(self) -> Expression:
        left = self._product()
        while (operator := self._take("+", "-")) is not None:
            left = _calculated(operator, left, self._product())
        return left

    def _product(self) -> Expression:
        left = self._unary()
        while (operator := self._take("*", "/", "%", "//")) is not None:
            left = _calculated(operator, left, self._unary())
        return left

    def _unary(self) -> Expression:
        signs = 0
        while (sign := self._take("-", "+")) is not None:
            signs += sign == "-"
        value = self._postfix()
        if not signs:
            return value
        return lambda scope: -_number(value(scope)) if signs % 2 else _number(value(scope))

    def _postfix(self) -> Expression:
        value = self._atom()
        while (mark := self._take("[", ".")) is not None:
            if mark == "[":
                value = _indexed(value, self.expression())
                self._need("]")
            else:
                method = self._tokens[self._at].value
                self._at += 1
                self._need("(")
                arguments, named = self._arguments()
                value = _method(value, method, arguments, named)
        return value

    def _atom(self) -> Expression:
        token = self._tokens[self._at]
        if token.kind == "end":
            raise self._wrong("expected a value")
        self._at += 1
        if token.kind == "number":
            number: int | float = float(token.value) if "." in token.value else int(token.value)
            return lambda scope: number
        if token.kind == "text":
            return lambda scope: token.value
        if token.kind == "name" and token.value not in _WORDS:
            return self._named(token.value)
        self._at -= 1
        if self._take("("):
            return self._bracket(")", single=True)
        if self._take("["):
            return self._bracket("]", single=False)
        if self._take("{"):
            return self._dictionary()
        raise self._wrong("expected a value")

    def _bracket(self, close: str, *, single: bool) -> Expression:
        items: list[Expression] = []
        comma = False
        while not self._peek(close):
            items.append(self.expression())
            comma = self._take(",") is not None
            if not comma:
                break
        self._need(close)
        if single and len(items) == 1 and not comma:
            return items[0]
        return lambda scope: [item(scope) for item in items]

    def _dictionary(self) -> Expression:
        items: list[tuple[Expression, Expression]] = []
        while not self._peek("}"):
            key = self.expression()
            self._need(":")
            items.append((key, self.expression()))
            if self._take(",") is None:
                break
        self._need("}")
        return lambda scope: {str(key(scope)): value(scope) for key, value in items}

    def _named(self, name: str) -> Expression:
        if self._take("("):
            return self._call(name)
        if name in _CONSTANTS:
            constant = _CONSTANTS[name]
            return lambda scope: constant
        return lambda scope: scope.get(name)

    def _call(self, name: str) -> Expression:
        place = self._at
        arguments, named = self._arguments()
        if name in functions.OF_PARAMETER:
            first = self._tokens[place]
            is_name = first.kind == "name" and self._tokens[place + 1].value in (",", ")")
            asked = first.value if is_name and first.value not in _CONSTANTS else None
            self._note(name, asked, arguments, named)
            return functions.of_parameter(name, asked, arguments, named)
        if name not in functions.PLAIN:
            known = ", ".join(sorted([*functions.PLAIN, *functions.OF_PARAMETER]))
            raise TemplateError(f"There is no template function {name!r}; there are {known}.")
        call = functions.PLAIN[name]
        return lambda scope: _called(call, name, arguments, named, scope)

    def _arguments(self) -> tuple[list[Expression], dict[str, Expression]]:
        arguments: list[Expression] = []
        named: dict[str, Expression] = {}
        while not self._peek(")"):
            token, after = (
                self._tokens[self._at],
                self._tokens[self._at + 1] if self._at + 1 < len(self._tokens) else None,
            )
            if token.kind == "name" and after is not None and after == Token("mark", "="):
                self._at += 2
                named[token.value] = self.expression()
            else:
                arguments.append(self.expression())
            if self._take(",") is None:
                break
        self._need(")")
        return arguments, named

    def _note(self, type_: str, name: str | None, arguments: list[Expression], named: dict[str, Expression]) -> None:
        if name is None or type_ not in functions.TYPED or any(one.name == name for one in self._seen):
            return
        default = named.get("default") or (arguments[-1] if len(arguments) > functions.DEFAULT_PLACE[type_] else None)
        self._seen.append(
            Parameter(
                name=name,
                type=type_,
                default=_constant(default),
                description=str(_constant(named.get("description")) or ""),
                required=bool(_constant(named.get("required"))),
            )
        )


def _constant(expression: Expression | None) -> Any:
    """The value of an expression that needs no parameter; None for others."""
    if expression is None:
        return None
    try:
        value = expression(Scope({}))
    except TemplateError:
        return None
    return None if isinstance(value, Missing | Raw) else value


def _called(
    call: Callable[..., Any], name: str, arguments: list[Expression], named: dict[str, Expression], scope: Scope
) -> Any:
    values = [one(scope) for one in arguments]
    try:
        return call(*values, **{key: one(scope) for key, one in named.items()})
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise TemplateError(f"{name}(...) cannot be computed: {error}") from None


def _either(left: Expression, right: Expression) -> Expression:
    return lambda scope: left(scope) or right(scope)


def _both(left: Expression, right: Expression) -> Expression:
    return lambda scope: left(scope) and right(scope)


def _indexed(value: Expression, place: Expression) -> Expression:
    def index(scope: Scope) -> Any:
        whole, key = value(scope), place(scope)
        try:
            return whole[key]
        except (TypeError, IndexError, KeyError):
            raise TemplateError(f"There is no element {key!r}.") from None

    return index


_METHODS = {
    "upper", "lower", "strip", "lstrip", "rstrip", "startswith", "endswith", "split", "replace", "join", "title",
    "capitalize", "isdigit", "isnumeric", "count", "find",
}  # fmt: skip
_LONGEST = 1_000_000
_BITS = 512


def _method(value: Expression, name: str, arguments: list[Expression], named: dict[str, Expression]) -> Expression:
    if name == "get":
        return lambda scope: (value(scope) or {}).get(*[one(scope) for one in arguments])
    if name not in _METHODS or named:
        raise TemplateError(f"Texts have no method {name!r} here; they have {', '.join(sorted(_METHODS))}.")

    def call(scope: Scope) -> Any:
        text = value(scope)
        if not isinstance(text, str):
            raise TemplateError(f".{name}() needs a text.")
        try:
            found = getattr(text, name)(*[one(scope) for one in arguments])
        except (TypeError, ValueError) as error:
            raise TemplateError(f".{name}() cannot be computed: {error}") from None
        if isinstance(found, str) and len(found) > _LONGEST:
            raise TemplateError(f".{name}() makes a text that is too long.")
        return found

    return call


def _compared(first: Expression, steps: list[tuple[str, Expression]]) -> Expression:
    def compare(scope: Scope) -> bool:
        left = first(scope)
        for operator, expression in steps:
            right = expression(scope)
            if not _holds(operator, left, right):
                return False
            left = right
        return True

    return compare


def _holds(operator: str, left: Any, right: Any) -> bool:
    if operator in ("==", "is"):
        return bool(_plain(left) == _plain(right))
    if operator in ("!=", "<>", "is not"):
        return bool(_plain(left) != _plain(right))
    try:
        if operator == "in":
            return left in right
        if operator == "not in":
            return left not in right
        pair = {"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}
    except TypeError:
        said = f"{type(left).__name__} and {type(right).__name__}"
        raise TemplateError(f"{said} cannot be compared with {operator}.") from None
    return bool(pair[operator])


def _plain(value: Any) -> Any:
    return None if isinstance(value, Missing) else value


def _number(value: Any) -> Any:
    if isinstance(value, int | float):
        return value
    raise TemplateError(f"{value!r} is not a number.")


def _bounded(value: Any) -> Any:
    """Repeated doubling must not fill the memory."""
    long = isinstance(value, int) and value.bit_length() > _BITS
    if long or (isinstance(value, str | list) and len(value) > _LONGEST):
        raise TemplateError("A value of the template grows too large.")
    return value


def _calculated(operator: str, left: Expression, right: Expression) -> Expression:
    def calculate(scope: Scope) -> Any:
        one, other = left(scope), right(scope)
        if operator == "+" and type(one) is type(other) and isinstance(one, str | list):
            return _bounded(one + other)
        first, second = _number(one), _number(other)
        try:
            return _bounded(functions.ARITHMETIC[operator](first, second))
        except (ZeroDivisionError, OverflowError) as error:
            raise TemplateError(f"{first} {operator} {second} cannot be computed: {error}.") from None

    return calculate
