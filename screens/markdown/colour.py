"""Colours for code, one line at a time, good enough until the code is complete: strings, comments, numbers, words.

One expression reads a line of any common language once; what differs is how comments begin and which words are known.
"""

from __future__ import annotations

import re
from functools import lru_cache

from rich.style import Style

from screens.markdown.lines import Row
from screens.theme import Palette

_WORDS = {
    "python": """
        and as assert async await break case class continue def del elif else except finally for from global if
        import in is lambda match nonlocal not or pass raise return try while with yield None True False
    """,
    "c": """
        auto bool break case catch char class const constexpr continue default delete do double else enum explicit
        export extends extern false final finally float for friend goto if implements import inline instanceof int
        interface let long mutable namespace new null nullptr operator override package private protected public
        return short signed sizeof static struct super switch template this throw throws true try typedef typename
        union unsigned using var virtual void volatile while abstract async await boolean byte function of typeof
        undefined yield from type readonly string number any where select foreach in is as base get set internal
        sealed params ref out val fun when object data suspend
    """,
    "rust": """
        as async await break const continue crate dyn else enum extern false fn for if impl in let loop match mod
        move mut pub ref return self Self static struct super trait true type unsafe use where while
    """,
    "go": """
        break case chan const continue default defer else fallthrough for func go goto if import interface map
        package range return select struct switch type var nil true false
    """,
    "shell": """
        if then else elif fi case esac for while until do done in function select time return exit export local
        readonly declare set unset shift source alias trap eval exec sudo echo cd
    """,
    "sql": """
        select from where and or not null is in as on join left right inner outer full cross group by order having
        limit offset insert into values update set delete create table index view drop alter add primary key foreign
        references unique default check constraint with union all distinct case when then else end exists between
        like asc desc begin commit rollback
    """,
    "ruby": """
        alias and begin break case class def do else elsif end ensure false for if in module next nil not or redo
        rescue retry return self super then true undef unless until when while yield require
    """,
    "lua": """
        and break do else elseif end false for function goto if in local nil not or repeat return then true until
        while
    """,
    "haskell": """
        case class data deriving do else if import in infix infixl infixr instance let module newtype of then type
        where
    """,
    "data": """
        true false null yes no on off
    """,
}
_LANGUAGES = {
    "python": """
        python py python3 py3 ipython pycon starlark bzl
    """,
    "c": """
        c cpp c++ h hpp cc java javascript js jsx mjs typescript ts tsx csharp cs c# kotlin kt swift scala dart php
        objc objective-c groovy css scss less proto protobuf glsl hlsl cuda cu solidity zig
    """,
    "rust": """
        rust rs
    """,
    "go": """
        go golang
    """,
    "shell": """
        bash sh shell zsh fish console shell-session dockerfile docker make makefile powershell ps1
    """,
    "sql": """
        sql postgres postgresql mysql sqlite plsql
    """,
    "ruby": """
        ruby rb elixir ex crystal julia jl r perl
    """,
    "lua": """
        lua
    """,
    "haskell": """
        haskell hs elm ocaml ml fsharp
    """,
    "data": """
        json jsonc json5 yaml yml toml ini cfg conf hcl terraform tf nginx properties env
    """,
}
_FAMILY = {language: family for family, names in _LANGUAGES.items() for language in names.split()}
_COMMENT = {
    "python": "#",
    "c": r"//|/\*(?:[^*]|\*(?!/))*(?:\*/)?",
    "rust": r"//|/\*(?:[^*]|\*(?!/))*(?:\*/)?",
    "go": r"//|/\*(?:[^*]|\*(?!/))*(?:\*/)?",
    "shell": r"(?<![\w$&{\[(])#",
    "sql": "--",
    "ruby": "#",
    "lua": "--",
    "haskell": "--",
    "data": "(?<![^\\s,{\\[])(?:#|//|;)",
    "": r"(?<![^\s(])(?://|\#)(?=\s|!|$)",
}
_PLAIN = frozenset(
    ("", "text", "txt", "plain", "plaintext", "none", "output", "log", "markdown", "md", "latex", "tex", "csv")
)


def _expression(family: str) -> re.Pattern[str]:
    comment = _COMMENT[family]
    block, _, rest = comment.partition("|") if comment.startswith("//") else (comment, "", "")
    comments = f"(?:{block}).*" + (f"|{rest}" if rest else "")
    words = "|".join(_WORDS.get(family, "").split()) or r"\b\B"
    flags = re.IGNORECASE if family == "sql" else 0
    return re.compile(
        rf"(?P<comment>{comments})"
        r"""|(?P<string>"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'|`[^`]*`)"""
        rf"|(?P<keyword>(?<![\w.$-])(?:{words})(?![\w]))"
        r"|(?P<number>(?<![\w.])(?:0[xXbBoO][0-9a-fA-F_]+|\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][+-]?\d+)?)\w{0,3})"
        r"|(?P<function>[A-Za-z_]\w*(?=\())"
        r"|(?P<type>\b[A-Z][A-Za-z0-9]*[a-z]\w*)"
        r"|(?P<builtin>[$@][A-Za-z_]\w*|(?<=\s)--?[A-Za-z][\w-]*)"
        r"|(?P<other>\w+)"
        r"|(?P<operator>[-+*/%=<>!&|^~?:]+)",
        flags,
    )


@lru_cache(maxsize=16)
def _compiled(family: str) -> re.Pattern[str]:
    return _expression(family)


def syntax_styles(palette: Palette) -> dict[str, Style]:
    """The style of each kind of word in code, all on the background of code."""
    base = palette.code_block
    return {
        "": base,
        "comment": base + palette.syntax_comment,
        "string": base + palette.syntax_string,
        "keyword": base + palette.syntax_keyword,
        "number": base + palette.syntax_number,
        "function": base + palette.syntax_function,
        "type": base + palette.syntax_type,
        "builtin": base + palette.syntax_builtin,
        "operator": base + palette.syntax_operator,
        "added": base + palette.ok,
        "removed": base + palette.bad,
        "muted": base + palette.muted,
    }


def coloured(line: str, language: str, styles: dict[str, Style]) -> Row:
    """One line of code as runs. The line is clean already."""
    base = styles[""]
    if language in _PLAIN or not line or line.isspace():
        return [(line, base)] if line else []
    if language in ("diff", "patch"):
        return [(line, styles[_in_diff(line)])]
    runs: Row = []
    position = 0
    for found in _compiled(_FAMILY.get(language, "")).finditer(line):
        kind = found.lastgroup
        if kind is None or kind == "other":
            continue
        start, end = found.span()
        if start > position:
            runs.append((line[position:start], base))
        runs.append((line[start:end], styles[kind]))
        position = end
    if position < len(line):
        runs.append((line[position:], base))
    return runs


def _in_diff(line: str) -> str:
    if line.startswith(("+++", "---", "diff ", "index ")):
        return "muted"
    if line.startswith("@@"):
        return "function"
    if line.startswith("+"):
        return "added"
    return "removed" if line.startswith("-") else ""
