"""As much of GraphQL as clients of a cloud send: one operation, fields with arguments, inlined or as variables.

Fragments and directives are refused. Fields nobody has heard of are an error, as in a real schema.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

_DEEPEST = 32
_TOKEN = re.compile(
    r"""[\s,\ufeff]*(?:\#[^\n]*[\s,]*)*
    (?:(?P<block>\"\"\".*?\"\"\")
      |(?P<string>"(?:[^"\\\n]|\\.)*")
      |(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
      |(?P<name>[_A-Za-z][_0-9A-Za-z]*)
      |(?P<sign>\.\.\.|[{}()\[\]:$!=@])
      |(?P<end>\Z))""",
    re.VERBOSE | re.DOTALL,
)
_WORDS: Mapping[str, Any] = {"true": True, "false": False, "null": None}


class GraphQlError(ValueError):
    """A query that cannot be read or asks for what does not exist."""


class Field(NamedTuple):
    name: str
    answered_as: str
    arguments: Mapping[str, Any]
    fields: tuple[Field, ...]


class Operation(NamedTuple):
    kind: str
    """`query` or `mutation`."""
    fields: tuple[Field, ...]


def parse(text: str, variables: Mapping[str, Any] | None = None) -> Operation:
    """Read one operation; GraphQlError when it is none."""
    return _Parser(text, variables or {}).operation()


def project(value: Any, field: Field) -> Any:
    """Of `value` what was asked for. A callable in it is a field with arguments."""
    if callable(value):
        value = value(field.arguments)
    if isinstance(value, list):
        return [project(item, field) for item in value]
    if value is None:
        return None
    if isinstance(value, Mapping):
        if not field.fields:
            raise GraphQlError(f'Field "{field.name}" must have a selection of subfields.')
        picked = {}
        for part in field.fields:
            if part.name not in value:
                raise GraphQlError(f'Cannot query field "{part.name}" on "{field.name}".')
            picked[part.answered_as] = project(value[part.name], part)
        return picked
    if field.fields:
        raise GraphQlError(f'Field "{field.name}" must not have a selection.')
    return value


class _Parser:
    def __init__(self, text: str, variables: Mapping[str, Any]) -> None:
        self._tokens = _tokens(text)
        self._position = 0
        self._variables = dict(variables)

    def operation(self) -> Operation:
        kind = "query"
        if self._peek()[0] == "name":
            kind = self._take("name")
            if kind not in ("query", "mutation"):
                self._fail()
            if self._peek()[0] == "name":
                self._take("name")
            if self._peek()[1] == "(":
                self._variable_definitions()
        fields = self._selection(0)
        self._take("end")
        return Operation(kind, fields)

    def _variable_definitions(self) -> None:
        self._sign("(")
        while not self._accept(")"):
            self._sign("$")
            name = self._take("name")
            self._sign(":")
            while self._accept("["):
                pass
            self._take("name")
            while self._accept("!") or self._accept("]"):
                pass
            if self._accept("="):
                default = self._value(0)
                self._variables.setdefault(name, default)

    def _selection(self, depth: int) -> tuple[Field, ...]:
        if depth > _DEEPEST:
            raise GraphQlError("the query is nested too deeply")
        self._sign("{")
        fields = []
        while not self._accept("}"):
            fields.append(self._field(depth))
        if not fields:
            self._fail()
        return tuple(fields)

    def _field(self, depth: int) -> Field:
        answered_as = name = self._take("name")
        if self._accept(":"):
            name = self._take("name")
        arguments: dict[str, Any] = {}
        if self._accept("("):
            while not self._accept(")"):
                argument = self._take("name")
                self._sign(":")
                arguments[argument] = self._value(depth)
        fields = self._selection(depth + 1) if self._peek()[1] == "{" else ()
        return Field(name, answered_as, arguments, fields)

    def _value(self, depth: int) -> Any:
        if depth > _DEEPEST:
            raise GraphQlError("the query is nested too deeply")
        kind, text = self._peek()
        if kind == "sign" and text in "$[{":
            self._position += 1
            return self._variable_or_several(text, depth)
        value = _scalar(kind, text) if kind not in ("sign", "end") else self._fail()
        self._position += 1
        return value

    def _variable_or_several(self, sign: str, depth: int) -> Any:
        if sign == "$":
            return self._variables.get(self._take("name"))
        if sign == "[":
            values = []
            while not self._accept("]"):
                values.append(self._value(depth + 1))
            return values
        members: dict[str, Any] = {}
        while not self._accept("}"):
            name = self._take("name")
            self._sign(":")
            members[name] = self._value(depth + 1)
        return members

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._position]

    def _take(self, kind: str) -> str:
        found, text = self._peek()
        if found != kind:
            self._fail()
        self._position += 1
        return text

    def _sign(self, sign: str) -> None:
        if not self._accept(sign):
            self._fail()

    def _accept(self, sign: str) -> bool:
        if self._peek() != ("sign", sign):
            return False
        self._position += 1
        return True

    def _fail(self) -> NoReturn:
        raise GraphQlError(f"Syntax Error: Unexpected {self._peek()[1][:40] or '<EOF>'!r}.")


def _scalar(kind: str, text: str) -> Any:
    match kind:
        case "block":
            return text[3:-3].strip()
        case "string":
            try:
                return json.loads(text, strict=False)
            except ValueError:
                raise GraphQlError(f"Syntax Error: Invalid character in {text[:40]}") from None
        case "number":
            return float(text) if any(letter in text for letter in ".eE") else int(text)
        case _:
            return _WORDS.get(text, text)


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    position = 0
    while not tokens or tokens[-1][0] != "end":
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise GraphQlError(f"Syntax Error: Unexpected character at {position}.")
        tokens.append((match.lastgroup, match.group(match.lastgroup)))
        position = match.end()
    return tokens
