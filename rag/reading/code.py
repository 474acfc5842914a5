"""Source code: the text as it was written, a section for each definition, headed by its path (class › method).

Python is parsed. Of other languages the lines are found that define something, and what they hold by its indentation:
every formatter keeps to that, and a parser for each language would be a dependency for each.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from typing import NamedTuple

from rag.documents import Kind
from rag.reading.kinds import ending
from rag.reading.layout import Reading, one_line, sections_of
from rag.reading.limits import MOST_SECTIONS

_WORD = r"[\w$]+"
_C_LIKE = (
    r"(?:(?:export|local|default|public|private|protected|internal|static|final|abstract|sealed|partial|open|data|unsafe|pub"
    r"(?:\([\w:]+\))?|async|virtual|override|inline|constexpr|extern|declare|const|mut|readonly|synchronized|native|case"
    r'|suspend|operator|annotation|inner|fileprivate|mutating|required|indirect|"C")\s+)*'
)
_NOT_NAMES = frozenset((
    "if", "for", "while", "switch", "catch", "return", "else", "do", "try", "with", "using", "lock", "foreach",
    "when", "match", "sizeof", "await", "new", "throw", "function", "super", "this", "yield", "typeof", "delete",
    "elif", "until", "unless", "assert", "defer", "go", "select",
))  # fmt: skip
_CONTAINER = re.compile(
    rf"^(?P<indent>\s*){_C_LIKE}(?:class|interface|struct|enum|trait|namespace|module|protocol|object|record|union"
    rf"|extension|impl(?:<[^>]*>)?|mod|enum\s+class|package|mixin|type|contract|library)\s+(?P<name>[\w$.:]+(?:\s+for\s+[\w:]+)?)"
)
_FUNCTION = re.compile(
    rf"^(?P<indent>\s*){_C_LIKE}(?:function\s*\*?|func|fn|fun|def|defp|defmodule|defmacro|sub|proc|method|init|macro)\s+"
    rf"(?:\((?P<receiver>[^)]*)\)\s*)?(?P<name>[\w$.:?!]+)"
)
_ASSIGNED = re.compile(
    rf"^(?P<indent>\s*){_C_LIKE}(?:let|var|const|local|val)?\s*(?P<name>[\w$.]+)\s*(?::[^=]+)?=\s*(?:async\s*)?"
    r"(?:function\b|\([^()]*\)\s*(?::[^=]+)?=>|\w+\s*=>)"
)
_CALLED = re.compile(  # Type name(…) {   and   name(…) {   of a class
    rf"^(?P<indent>\s*){_C_LIKE}(?:[\w$:<>\[\],.*&?~]+\s+)*?[*&]*(?P<name>[\w$:~]+)\s*\([^;]*$"
)
_SHELL = re.compile(r"^(?P<indent>\s*)(?P<name>[\w:.-]+)\s*\(\)\s*\{?")
_SQL = re.compile(
    r"^(?P<indent>\s*)create\s+(?:or\s+replace\s+)?(?:temp(?:orary)?\s+|unique\s+|materialized\s+)*"
    r"(?:table|view|index|function|procedure|trigger|type|schema|sequence)\s+(?:if\s+not\s+exists\s+)?"
    r"(?P<name>[\w.\"`\[\]]+)",
    re.IGNORECASE,
)
_ARROWED = re.compile(r"^(?P<indent>\s*)(?P<name>[\w']+)\s*::\s")  # Haskell
_R = re.compile(r"^(?P<indent>\s*)(?P<name>[\w.]+)\s*(?:<-|=)\s*function\b")
_BRACED = frozenset((
    "js", "mjs", "cjs", "jsx", "ts", "tsx", "mts", "cts", "java", "kt", "kts", "scala", "groovy", "c", "h", "cc",
    "cpp", "cxx", "hpp", "hh", "cu", "cuh", "m", "mm", "cs", "php", "swift", "dart", "sol", "zig", "vue", "svelte",
))  # fmt: skip
_BODY_TO_COME = re.compile(
    r"\)\s*(?:(?:const|noexcept|override|final|mut|async)\b\s*|throws\s[\w,. ]+|->\s*[^{]+|:\s*[^{]+)*$"
)
_ATTACHED = re.compile(r"^\s*(?:template\s*<|//|/\*|\*|#(?!include|define|if|endif|else|pragma)|@|--|;;|\[\w|%)")
_CLOSING = re.compile(r"^\s*(?:\w+\s*:\s*$|[\])}]|end\b|else\b|catch\b|finally\b|esac\b|fi\b|done\b|\{|EOF)")
LONGEST_LINE = 500
_MOST_PARSED = 1_000_000
"""Characters; what is longer was made by a program, and its tree would fill the memory."""


class _Definition(NamedTuple):
    indent: int
    name: str


def read(name: str, text: str) -> Reading:
    is_python = ending(name) in ("py", "pyi", "pyw") or _says_python(text)
    marks = _python(text) if is_python and len(text) <= _MOST_PARSED else None
    if marks is None:
        marks = _by_lines(text, ending(name))
    return Reading("text/x-source", text, sections_of(marks[: MOST_SECTIONS + 1], text))


def _says_python(text: str) -> bool:
    return text.startswith("#!") and "python" in text[:200].partition("\n")[0]


def _line_starts(text: str) -> list[int]:
    starts = [0]
    starts.extend(found.end() for found in re.finditer("\n", text))
    return starts


_Marks = list[tuple[int, tuple[str, ...], Kind]]


def _python(text: str) -> _Marks | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    lines = text.split("\n")
    starts = _line_starts(text)
    places: list[tuple[int, tuple[str, ...]]] = [(1, ())]
    for first, path in _python_places(tree, (), lines):
        if places[-1][0] == first:
            places.pop()
        places.append((first, path))
    return [(starts[first - 1], path, "code") for first, path in places if first <= len(starts)]


_Defining = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _python_places(
    node: ast.Module | ast.ClassDef, path: tuple[str, ...], lines: list[str]
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The first line of each definition, and of what follows it in the same body."""
    owed = False
    last = 0
    for child in node.body:
        if isinstance(child, _Defining):
            first = min([child.lineno, *(each.lineno for each in child.decorator_list)])
            while first - 1 > max(last, 1) and lines[first - 2].lstrip().startswith("#"):
                first -= 1
            inner = (*path, one_line(child.name))
            yield first, inner
            if isinstance(child, ast.ClassDef):
                yield from _python_places(child, inner, lines)
            owed = True
        elif owed:
            yield child.lineno, path
            owed = False
        last = child.end_lineno or child.lineno


def _by_lines(text: str, language: str) -> _Marks:
    lines = text.split("\n")
    marks: _Marks = [(0, (), "code")]
    open_definitions: list[_Definition] = []
    position = 0
    attached_from: int | None = None  # where comments and annotations began that belong to what follows
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        start = position
        position += len(line) + 1
        if not line.strip():
            attached_from = None
            continue
        indent = len(line.expandtabs(4)) - len(line.expandtabs(4).lstrip())
        found = _definition(line, following, language) if len(line) <= LONGEST_LINE else None
        if found is None:
            if _ATTACHED.match(line):
                if attached_from is None:
                    attached_from = start
                continue
            if open_definitions and indent <= open_definitions[-1].indent and not _CLOSING.match(line):
                while open_definitions and indent <= open_definitions[-1].indent:
                    open_definitions.pop()
                here = start if attached_from is None else attached_from
                _mark(marks, here, open_definitions)
            attached_from = None
            continue
        while open_definitions and indent <= open_definitions[-1].indent:
            open_definitions.pop()
        open_definitions.append(_Definition(indent, found))
        _mark(marks, start if attached_from is None else attached_from, open_definitions)
        attached_from = None
    return marks


def _mark(marks: _Marks, position: int, open_definitions: list[_Definition]) -> None:
    path = tuple(each.name for each in open_definitions)
    if marks[-1][0] == position:
        marks.pop()
    marks.append((position, path, "code"))


def _definition(line: str, following: str, language: str) -> str | None:
    """The name of what this line defines."""
    patterns: tuple[re.Pattern[str], ...]
    match language:
        case "sql":
            patterns = (_SQL,)
        case "sh" | "bash" | "zsh" | "fish" | "":
            patterns = (_SHELL, _FUNCTION)
        case "hs":
            patterns = (_ARROWED, _CONTAINER)
        case "r":
            patterns = (_R,)
        case "css" | "scss" | "less" | "tf" | "proto" | "graphql" | "cmake" | "mk" | "asm" | "s":
            patterns = (_CONTAINER,) if language in ("proto", "graphql") else ()
        case _:
            patterns = (_CONTAINER, _FUNCTION, _ASSIGNED)
    for pattern in patterns:
        if found := pattern.match(line):
            receiver = found.groupdict().get("receiver")
            name = found["name"].rstrip(":")
            if name and line.split(None, 1)[0] == "package" and language not in ("pl", "pm"):
                return None  # says where the whole file belongs
            if receiver and receiver.split():  # Go: func (r *Reader) Read
                name = f"{receiver.split()[-1].lstrip('*')}.{name}"
            return one_line(name) if name not in _NOT_NAMES else None
    if language in _BRACED and (found := _CALLED.match(line)) and _opens_a_body(line, following):
        name = found["name"]
        first_word = line.split(None, 1)[0].partition("(")[0]
        if name not in _NOT_NAMES and first_word not in _NOT_NAMES and not name[0].isdigit():
            return one_line(name)
    return None


def _opens_a_body(line: str, following: str) -> bool:
    """Whether this is a definition and no call: a body opens here, or on the next line."""
    ended = line.rstrip()
    return ended.endswith("{") or (following.lstrip().startswith("{") and _BODY_TO_COME.search(ended) is not None)
