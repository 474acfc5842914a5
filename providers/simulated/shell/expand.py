"""What becomes of a word before it is used: variables, substitutions, splitting and file names."""

from __future__ import annotations

import fnmatch
import os
import posixpath
import re
from typing import TYPE_CHECKING, TypeAlias

from providers.simulated.shell.arithmetic import evaluate
from providers.simulated.shell.control import ScriptError
from providers.simulated.shell.syntax import Arithmetic, Parameter, Substitution, Text, Word

if TYPE_CHECKING:
    from providers.simulated.shell.run import Shell

_Piece: TypeAlias = "tuple[str, bool] | None"
"""Text and whether it is quoted; None between two fields of `"$@"`."""


async def fields(shell: Shell, word: Word) -> list[str]:
    """The arguments that a word stands for: none, one or several."""
    split: list[list[tuple[str, bool]]] = []
    current: list[tuple[str, bool]] | None = None
    for piece in await _pieces(shell, word):
        if piece is None:
            split.append(current or [("", True)])
            current = None
            continue
        text, quoted = piece
        if quoted:
            current = [*(current or []), piece]
            continue
        blanks = shell.variables.get("IFS", " \t\n")
        parts = re.split(f"[{re.escape(blanks)}]", text) if blanks else [text]
        for number, part in enumerate(parts):
            if number and current is not None:
                split.append(current)
                current = None
            if part:
                current = [*(current or []), (part, False)]
    if current is not None:
        split.append(current)
    named: list[str] = []
    for field in split:
        named.extend(_file_names(shell, field) or ["".join(text for text, _ in field)])
    return named


async def text_of(shell: Shell, word: Word) -> str:
    """The word as one text, unsplit."""
    return "".join(" " if piece is None else piece[0] for piece in await _pieces(shell, word))


async def pattern_of(shell: Shell, word: Word) -> str:
    """The word as a pattern, in which quoted characters stand for themselves."""
    return _pattern([piece for piece in await _pieces(shell, word) if piece is not None])


async def _pieces(shell: Shell, word: Word) -> list[_Piece]:
    pieces: list[_Piece] = []
    for number, part in enumerate(word):
        match part:
            case Text(text, False) if number == 0 and (text == "~" or text.startswith("~/")):
                pieces.append((shell.variables.get("HOME", "~") + text[1:], True))
            case Text(text, quoted):
                pieces.append((text, quoted))
            case Parameter():
                pieces.extend(await _parameter(shell, part))
            case Substitution(script, quoted):
                pieces.append((await shell.output_of(script), quoted))
            case Arithmetic(expression, quoted):
                pieces.append((str(evaluate(await text_of(shell, expression), shell.variables)), quoted))
    return pieces


async def _parameter(shell: Shell, part: Parameter) -> list[_Piece]:
    name, operator, operand, quoted = part
    if name in "@*" and not operator:
        if name == "*" and quoted:
            return [(" ".join(shell.positional), True)]
        pieces: list[_Piece] = []
        for number, argument in enumerate(shell.positional):
            if number:
                pieces.append(None if quoted else (" ", False))
            pieces.append((argument, quoted))
        return pieces
    value = shell.value(name)
    is_there = bool(value) if operator.startswith(":") else value is not None
    match operator.lstrip(":") if operator != "length" else operator:
        case "length":
            return [(str(len(value or "")), quoted)]
        case "-" if not is_there:
            return [(text, quoted or was) for text, was in filter(None, await _pieces(shell, operand))]
        case "+":
            if not is_there:
                return [("", quoted)] if quoted else []
            return [(text, quoted or was) for text, was in filter(None, await _pieces(shell, operand))]
        case "=" if not is_there:
            shell.variables[name] = value = await text_of(shell, operand)
        case "?" if not is_there:
            words = await text_of(shell, operand) or "parameter not set or null"
            raise ScriptError(f"{name}: {words}")
        case "#" | "##" | "%" | "%%" as sign:
            value = _trimmed(value or "", await pattern_of(shell, operand), sign)
        case "" if value is None and "u" in shell.options:
            raise ScriptError(f"{name}: parameter not set")
    return [(value or "", quoted)] if value or quoted else []


def _trimmed(value: str, pattern: str, sign: str) -> str:
    matches = re.compile(fnmatch.translate(pattern)).match
    lengths = range(len(value) + 1) if len(sign) == 1 else range(len(value), -1, -1)
    for length in lengths:
        end = value[:length] if sign.startswith("#") else value[len(value) - length :]
        if matches(end):
            return value[length:] if sign.startswith("#") else value[: len(value) - length]
    return value


def _pattern(pieces: list[tuple[str, bool]]) -> str:
    return "".join(re.sub(r"([*?\[])", r"[\1]", text) if quoted else text for text, quoted in pieces)


def _file_names(shell: Shell, field: list[tuple[str, bool]]) -> list[str]:
    """The files that match, in order; none when the field is no pattern."""
    if "f" in shell.options or not any(not quoted and re.search(r"[*?\[]", text) for text, quoted in field):
        return []
    pattern = _pattern(field)
    found = ["/" if pattern.startswith("/") else ""]
    for part in filter(None, pattern.split("/")):
        matches = re.compile(fnmatch.translate(part)).match
        found = [
            posixpath.join(place, name)
            for place in found
            for name in _names_in(shell, place)
            if matches(name) and (part.startswith(".") or not name.startswith("."))
        ]
    return found


def _names_in(shell: Shell, place: str) -> list[str]:
    try:
        return sorted(os.listdir(shell.system.folder.real(shell.working_folder, place or ".")))  # noqa: PTH208 - names as text
    except OSError:
        return []
