"""The smallest value that satisfies a JSON schema, as a model that was asked for structured output would give one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

_FORMATS = {
    "date-time": "2025-06-01T12:00:00Z",
    "date": "2025-06-01",
    "time": "12:00:00Z",
    "duration": "PT5M",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "123e4567-e89b-42d3-a456-426614174000",
}
_DEEPEST = 8

Words = Callable[[str], str]


def instance(schema: Any, words: Words = lambda name: name or "text") -> Any:
    """A value for `schema`; `words` gives the text for a property's name where the schema leaves it free.

    Optional properties are filled as well until the schema nests deeply, so that recursive schemas end.
    """
    return _Builder(schema, words).build(schema, "", 0)


class _Builder:
    def __init__(self, root: Any, words: Words) -> None:
        self._root = root
        self._words = words

    def build(self, schema: Any, name: str, depth: int) -> Any:
        if not isinstance(schema, Mapping):
            return self._words(name)
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][0]
        for choice in ("anyOf", "oneOf"):
            if schema.get(choice):
                others = {key: value for key, value in schema.items() if key != choice}
                return self.build(_merged(others, self._simplest(schema[choice], depth)), name, depth)
        match self._type(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "integer":
                return int(_number(schema, whole=True))
            case "number":
                return _number(schema, whole=False)
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return self._string(schema, name)

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """`schema` with its `$ref` followed and its `allOf` merged in."""
        for _ in range(32):
            if "$ref" in schema:
                others = {key: value for key, value in schema.items() if key != "$ref"}
                schema = _merged(self._at(str(schema["$ref"])), others)
            elif schema.get("allOf"):
                parts = schema["allOf"]
                schema = {key: value for key, value in schema.items() if key != "allOf"}
                for part in parts:
                    schema = _merged(schema, self._resolved(part) if isinstance(part, Mapping) else {})
            else:
                break
        return schema

    def _at(self, reference: str) -> Mapping[str, Any]:
        place = self._root
        for step in reference.removeprefix("#").strip("/").split("/"):
            step = step.replace("~1", "/").replace("~0", "~")
            if step:
                place = place.get(step, {}) if isinstance(place, Mapping) else {}
        return place if isinstance(place, Mapping) else {}

    def _simplest(self, choices: list[Any], depth: int) -> Mapping[str, Any]:
        """The first choice, but deep down one that does not nest further."""
        resolved = [self._resolved(choice) for choice in choices if isinstance(choice, Mapping)] or [{}]
        if depth >= _DEEPEST:
            return min(resolved, key=lambda choice: self._type(choice) in ("object", "array"))
        return resolved[0]

    @staticmethod
    def _type(schema: Mapping[str, Any]) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((one for one in kind if one != "null"), "null")
        if kind is None:
            if "properties" in schema or "required" in schema:
                return "object"
            if "items" in schema or "prefixItems" in schema or "minItems" in schema:
                return "array"
            if "minimum" in schema or "maximum" in schema:
                return "number"
            return "string"
        return str(kind)

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = schema.get("required") or []
        wanted = [name for name in properties if depth < _DEEPEST or name in required]
        built = {name: self.build(properties[name], name, depth + 1) for name in wanted}
        more = schema.get("additionalProperties", True)
        for name in required:
            if name not in built:
                built[name] = self.build(more, name, depth + 1)
        while len(built) < int(schema.get("minProperties", 0)):
            name = f"field_{len(built) + 1}"
            built[name] = self.build(more, name, depth + 1)
        return built

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        least = int(schema.get("minItems", 0 if depth >= _DEEPEST else 1))
        most = schema.get("maxItems")
        count = least if most is None else min(least, int(most))
        first = [self.build(item, name, depth + 1) for item in schema.get("prefixItems", [])]
        items = schema.get("items", True)
        singular = name.removesuffix("s")
        built = first + [self.build(items, singular, depth + 1) for _ in range(count - len(first))]
        if schema.get("uniqueItems"):
            built = [_distinct(item, n) for n, item in enumerate(built)]
        return built

    def _string(self, schema: Mapping[str, Any], name: str) -> str:
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        if "pattern" in schema:
            return _matching(str(schema["pattern"]))
        text = self._words(name)
        text = text.ljust(int(schema.get("minLength", 0)), ".")
        return text[: int(schema["maxLength"])] if "maxLength" in schema else text


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> Mapping[str, Any]:
    merged = {**first, **second}
    for key in ("properties", "$defs"):
        if key in first and key in second:
            merged[key] = {**first[key], **second[key]}
    if "required" in first and "required" in second:
        merged["required"] = [*first["required"], *second["required"]]
    return merged


def _number(schema: Mapping[str, Any], *, whole: bool) -> float:
    step = float(schema.get("multipleOf", 1 if whole else 0))
    low = schema.get("minimum")
    high = schema.get("maximum")
    if "exclusiveMinimum" in schema:
        low = schema["exclusiveMinimum"] + (step or 0.5)
    if "exclusiveMaximum" in schema:
        high = schema["exclusiveMaximum"] - (step or 0.5)
    value = 1.0 if low is None or low <= 1 else float(low)
    if high is not None and value > high:
        value = float(high) if low is None or step else (float(low) + float(high)) / 2
    if step:
        value = math.ceil(value / step) * step
        if high is not None and value > high:
            value = math.floor(high / step) * step
    return value


def _distinct(item: Any, n: int) -> Any:
    match item:
        case bool() | None | dict() | list():
            return item
        case int() | float():
            return item + n
        case _:
            return f"{item} {n + 1}" if n else item


def _matching(pattern: str) -> str:
    """A text for the plain patterns that schemas have; built from the pattern's own parse."""
    from re import _parser  # type: ignore[attr-defined]  # the only regex parser at hand; rarely needed

    return _from_parsed(_parser.parse(pattern), {})


def _from_parsed(parsed: Any, groups: dict[int, str]) -> str:
    text = ""
    for operation, argument in parsed:
        match str(operation):
            case "LITERAL":
                text += chr(argument)
            case "NOT_LITERAL":
                text += "a" if argument != ord("a") else "b"
            case "ANY":
                text += "a"
            case "IN":
                text += _from_set(argument)
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                least, _, inner = argument
                text += "".join(_from_parsed(inner, groups) for _ in range(least))
            case "SUBPATTERN":
                groups[argument[0] or 0] = inner_text = _from_parsed(argument[-1], groups)
                text += inner_text
            case "BRANCH":
                text += _from_parsed(argument[1][0], groups)
            case "GROUPREF":
                text += groups.get(argument, "")
            case _:  # anchors and assertions add nothing
                pass
    return text


def _from_set(items: Any) -> str:
    kinds = [(str(operation), argument) for operation, argument in items]
    if kinds[0][0] == "NEGATE":
        excluded = {argument for operation, argument in kinds if operation == "LITERAL"}
        return next(letter for letter in "abcdefgh123-_ " if ord(letter) not in excluded)
    operation, argument = kinds[0]
    if operation == "LITERAL":
        return chr(argument)
    if operation == "RANGE":
        return chr(argument[0])
    return {"CATEGORY_DIGIT": "1", "CATEGORY_SPACE": " "}.get(str(argument), "a")
