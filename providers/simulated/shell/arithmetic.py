"""Whole-number arithmetic of `$(( ))`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping

from providers.simulated.shell.control import ScriptError

_LEVELS: tuple[Mapping[str, Callable[[int, int], int]], ...] = (
    {"||": lambda a, b: int(bool(a or b))},
    {"&&": lambda a, b: int(bool(a and b))},
    {"|": operator.or_},
    {"^": operator.xor},
    {"&": operator.and_},
    {"==": lambda a, b: int(a == b), "!=": lambda a, b: int(a != b)},
    {
        "<=": lambda a, b: int(a <= b),
        ">=": lambda a, b: int(a >= b),
        "<": lambda a, b: int(a < b),
        ">": lambda a, b: int(a > b),
    },
    {"<<": lambda a, b: _wrapped(a << (b & 63)), ">>": lambda a, b: a >> (b & 63)},
    {"+": operator.add, "-": operator.sub},
    {"*": operator.mul, "/": lambda a, b: _divided(a, b), "%": lambda a, b: a - b * _divided(a, b)},
)
_PIECE = r"\s*(0[xX][0-9a-fA-F]+|\d+|[A-Za-z_]\w*|\|\||&&|==|!=|<=|>=|<<|>>|[-+*/%<>!~&|^()?:=])"


def evaluate(expression: str, variables: Mapping[str, str]) -> int:
    """Raises ScriptError."""
    tokens: list[str] = []
    at = 0
    while expression[at:].strip():
        match = re.compile(_PIECE).match(expression, at)
        if match is None:
            raise ScriptError(f"arithmetic expression: expecting primary: {expression.strip()!r}")
        tokens.append(match[1])
        at = match.end()
    if not tokens:
        return 0
    reader = _Reader(tokens, variables)
    value = reader.choice()
    if reader.peek():
        missing = "assignments" if reader.peek() == "=" else f"{reader.peek()!r} there"
        raise ScriptError(f"arithmetic expression: not in this shell: {missing}: {expression.strip()!r}")
    return value


class _Reader:
    def __init__(self, tokens: list[str], variables: Mapping[str, str]) -> None:
        self._tokens = tokens
        self._variables = variables
        self._at = 0

    def peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def choice(self) -> int:
        condition = self._level(0)
        if self.peek() != "?":
            return condition
        self._at += 1
        first = self.choice()
        self._expect(":")
        second = self.choice()
        return first if condition else second

    def _level(self, level: int) -> int:
        if level == len(_LEVELS):
            return self._unary()
        value = self._level(level + 1)
        while (sign := self.peek()) in _LEVELS[level]:
            self._at += 1
            value = _wrapped(_LEVELS[level][sign](value, self._level(level + 1)))
        return value

    def _unary(self) -> int:
        token = self.peek()
        self._at += 1
        match token:
            case "-":
                return -self._unary()
            case "+":
                return self._unary()
            case "!":
                return int(not self._unary())
            case "~":
                return ~self._unary()
            case "(":
                value = self.choice()
                self._expect(")")
                return value
            case _ if token.isidentifier():
                return _number(self._variables.get(token, "") or "0")
            case _ if token[:1].isdigit():
                return _number(token)
            case _:
                pass
        raise ScriptError(f"arithmetic expression: expecting primary, not {token or 'the end'!r}")

    def _expect(self, token: str) -> None:
        if self.peek() != token:
            raise ScriptError(f"arithmetic expression: expecting {token!r}")
        self._at += 1


def _number(text: str) -> int:
    text = text.strip()
    try:
        is_octal = text.startswith("0") and text.isdigit() and text != "0"
        return _wrapped(int(text, 8 if is_octal else 0))
    except ValueError:
        raise ScriptError(f"Illegal number: {text}") from None


def _divided(a: int, b: int) -> int:
    if b == 0:
        raise ScriptError("arithmetic expression: division by zero")
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _wrapped(value: int) -> int:
    """As 64 bits hold it."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)
