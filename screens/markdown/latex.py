"""Formulas made readable: common LaTeX becomes Unicode, and what is not known stays as it was written."""

from __future__ import annotations

import re

from screens.markdown.latex_signs import LOWERED, RAISED, SYMBOLS

_TOO_LONG = 4096
_DEEPEST = 20
_SPACES = {
    ",": " ",
    ";": " ",
    ":": " ",
    " ": " ",
    "!": "",
    ">": " ",
    "quad": "  ",
    "qquad": "    ",
    "\\": "\n",
    "newline": "\n",
}
_SILENT = r"""
left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr displaystyle textstyle scriptstyle limits nolimits
nonumber notag rm bf it bm boldsymbol mathrm mathbf mathit mathsf mathtt mathcal mathfrak mathscr mathop operatorname
text textbf textit textrm texttt mbox hbox boxed overline underline substack
"""
_UPRIGHT = """
sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln lg exp lim limsup liminf max min sup inf det dim ker
deg gcd arg argmax argmin Pr hom bmod mod
"""
_DROPPED = frozenset(_SILENT.split())
_NAMES = frozenset(_UPRIGHT.split())
_ACCENTS = {
    "hat": "\u0302",
    "widehat": "\u0302",
    "bar": "\u0304",
    "vec": "\u20d7",
    "tilde": "\u0303",
    "widetilde": "\u0303",
    "dot": "\u0307",
    "ddot": "\u0308",
}
_BLACKBOARD = dict(zip("CHNPQRZEFkA1", "ℂℍℕℙℚℝℤ𝔼𝔽𝕜𝔸𝟙", strict=True))
_MARKUP = re.compile(r"[\\^_]")
_TOKEN = re.compile(r"\\(?:[A-Za-z]+|.)|[{}^_&~$]|[^\\{}^_&~$]+", re.DOTALL)


def readable(formula: str) -> str:
    """A formula as text. Each character is read once; groups nested too deep to be meant are shown as written."""
    if len(formula) > _TOO_LONG or not _MARKUP.search(formula):
        return formula
    marks: list[str] = _TOKEN.findall(formula)
    text, _ = _sequence(marks, 0, 0)
    return re.sub(r"[ \t]{3,}", "  ", text).strip()


def _sequence(marks: list[str], at: int, depth: int) -> tuple[str, int]:
    """The marks up to the brace that closes this group."""
    parts: list[str] = []
    while at < len(marks):
        part = marks[at]
        if part == "}":
            if depth:
                return "".join(parts), at + 1
            at += 1  # a brace too many
            parts.append("}")
        else:
            text, at = _one(marks, at, depth)
            if part in ("^", "_") and parts:
                parts[-1] = parts[-1].rstrip()
            parts.append(text)
    return "".join(parts), at


def _one(marks: list[str], at: int, depth: int) -> tuple[str, int]:
    """One part, with the groups that belong to it."""
    part = marks[at]
    at += 1
    if part == "{":
        if depth >= _DEEPEST:
            return "{", at
        return _sequence(marks, at, depth + 1)
    if part == "^":
        group, at = _group(marks, at, depth)
        return _moved(group, RAISED, "^"), at
    if part == "_":
        group, at = _group(marks, at, depth)
        return _moved(group, LOWERED, "_"), at
    if part in ("&", "~"):
        return " ", at
    if len(part) > 1 and part[0] == "\\":
        return _command(part[1:], marks, at, depth)
    return part, at


def _command(name: str, marks: list[str], at: int, depth: int) -> tuple[str, int]:
    if name in SYMBOLS:
        return SYMBOLS[name], at
    if name in _SPACES:
        return _SPACES[name], at
    if name in _NAMES:
        follows = at < len(marks) and (marks[at][0].isalnum() or marks[at][1:] in SYMBOLS)
        return name + (" " if follows else ""), at
    if name in ("frac", "tfrac", "dfrac", "binom"):
        above, at = _group(marks, at, depth)
        below, at = _group(marks, at, depth)
        if name == "binom":
            return f"({above} over {below})", at
        above = above if above.removeprefix("√").isalnum() else _bracketed(above)
        return f"{above}/{_bracketed(below)}", at
    if name == "sqrt":
        root, at = _optional(marks, at)
        group, at = _group(marks, at, depth)
        sign = {"": "√", "2": "√", "3": "∛", "4": "∜"}.get(root) or _moved(root, RAISED, "^") + "√"
        return sign + (group if len(group) == 1 or group.isdigit() else f"({group})"), at
    if name == "mathbb":
        group, at = _group(marks, at, depth)
        return "".join([_BLACKBOARD.get(letter, letter) for letter in group]), at
    if name in _ACCENTS:
        group, at = _group(marks, at, depth)
        return (group + _ACCENTS[name] if len(group) == 1 else group), at
    if name in ("begin", "end"):
        kind, at = _group(marks, at, depth)
        if name == "begin" and kind in ("array", "tabular"):
            _, at = _group(marks, at, depth)  # how its columns are aligned
        return "", at
    if name in _DROPPED:
        if name in ("left", "right") and at < len(marks) and marks[at].startswith("."):
            marks[at] = marks[at][1:] or " "  # a bracket that is not shown
        return "", at
    if name in ("label", "tag"):
        group, at = _group(marks, at, depth)
        return (f"  ({group})" if name == "tag" else ""), at
    if not name[0].isalpha():
        return name, at  # an escaped sign
    if marks[at : at + 1] == ["{"] and depth < _DEEPEST:
        inside, at = _one(marks, at, depth)
        return f"\\{name}{{{inside}}}", at
    return "\\" + name, at


def _group(marks: list[str], at: int, depth: int) -> tuple[str, int]:
    """What a command or a sign takes: a group in braces, one command, or one character."""
    while at < len(marks) and marks[at].isspace():
        at += 1
    if at >= len(marks):
        return "", at
    part = marks[at]
    if part == "{" or part[0] == "\\":
        return _one(marks, at, depth + 1) if depth < _DEEPEST else (part, at + 1)
    if part in "}^_&":
        return "", at
    if len(part) > 1:
        part = part.lstrip()
        marks[at] = part[1:]
        return part[0], at
    return part, at + 1


def _optional(marks: list[str], at: int) -> tuple[str, int]:
    """The part in square brackets after `\\sqrt`."""
    if at < len(marks) and marks[at].startswith("[") and "]" in marks[at]:
        inside, _, rest = marks[at][1:].partition("]")
        if rest:
            marks[at] = rest
            return inside, at
        return inside, at + 1
    return "", at


def _moved(group: str, letters: dict[str, str], sign: str) -> str:
    """Raised or lowered letters where all of them exist, else the sign as written."""
    if not group:
        return sign
    if group == "∘" and sign == "^":
        return "°"
    if all(letter in letters for letter in group):
        return "".join([letters[letter] for letter in group])
    return sign + (group if len(group) == 1 else f"({group})")


_SMALL = "".join([*RAISED.values(), *LOWERED.values()])


def _bracketed(part: str) -> str:
    """In brackets, unless it is one number, or one letter with its powers and indices."""
    return part if len(part.rstrip(_SMALL)) <= 1 or part.replace(".", "").isdecimal() else f"({part})"
