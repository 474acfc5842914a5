"""Formulas made readable: common LaTeX becomes Unicode, and what is not known stays as it was written."""

from __future__ import annotations

import re

_TOO_LONG = 4096
_DEEPEST = 12
_SYMBOLS = {
    **dict(
        zip(
            (
                "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi varpi rho "
                "varrho sigma varsigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi "
                "Psi Omega"
            ).split(),
            "αβγδϵεζηθϑικλμνξπϖρϱσςτυϕφχψωΓΔΘΛΞΠΣΥΦΨΩ",
            strict=True,
        )
    ),
    **dict(
        zip(
            (
                "times div cdot pm mp ast star circ bullet oplus ominus otimes odot cap cup sqcap sqcup vee lor wedge land "
                "setminus wr leq le geq ge neq ne equiv sim simeq approx cong propto ll gg prec succ preceq succeq subset "
                "supset subseteq supseteq nsubseteq in ni notin mid parallel perp vdash models dashv asymp doteq to gets "
                "rightarrow leftarrow leftrightarrow Rightarrow Leftarrow Leftrightarrow implies iff mapsto uparrow downarrow "
                "Uparrow Downarrow longrightarrow longleftarrow Longrightarrow hookrightarrow rightharpoonup nearrow searrow "
                "forall exists nexists neg lnot emptyset varnothing infty partial nabla sum prod coprod int iint iiint oint "
                "bigcup bigcap bigvee bigwedge bigoplus bigotimes surd angle triangle square Box diamond therefore because "
                "ldots dots cdots vdots ddots dotsc dotsb hbar ell Re Im aleph wp prime degree dagger ddagger checkmark top "
                "bot lfloor rfloor lceil rceil langle rangle lVert rVert Vert vert lbrace rbrace lbrack rbrack backslash "
                "imath jmath copyright pounds euro rightleftharpoons blacksquare"
            ).split(),
            (
                "× ÷ · ± ∓ ∗ ⋆ ∘ • ⊕ ⊖ ⊗ ⊙ ∩ ∪ ⊓ ⊔ ∨ ∨ ∧ ∧ ∖ ≀ ≤ ≤ ≥ ≥ ≠ ≠ ≡ ∼ ≃ ≈ ≅ ∝ ≪ ≫ ≺ ≻ ⪯ ⪰ ⊂ ⊃ ⊆ ⊇ ⊈ ∈ ∋ ∉ ∣ ∥ ⊥ ⊢ ⊨ ⊣ ≍ ≐ → ← "
                "→ ← ↔ ⇒ ⇐ ⇔ ⟹ ⟺ ↦ ↑ ↓ ⇑ ⇓ ⟶ ⟵ ⟹ ↪ ⇀ ↗ ↘ ∀ ∃ ∄ ¬ ¬ ∅ ∅ ∞ ∂ ∇ ∑ ∏ ∐ ∫ ∬ ∭ ∮ ⋃ ⋂ ⋁ ⋀ ⨁ ⨂ √ ∠ △ □ □ ⋄ ∴ ∵ … … ⋯ ⋮ ⋱ … ⋯ "
                "ℏ ℓ ℜ ℑ ℵ ℘ ′ ° † ‡ ✓ ⊤ ⊥ ⌊ ⌋ ⌈ ⌉ ⟨ ⟩ ‖ ‖ ‖ | { } [ ] \\ ı ȷ © £ € ⇌ ■"
            ).split(),
            strict=True,
        )
    ),
}
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
_SILENT = frozenset(
    "left right big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr middle displaystyle textstyle scriptstyle limits nolimits "
    "nonumber notag rm bf it boldsymbol mathrm mathbf mathit mathsf mathtt text textbf textit textrm texttt mathcal mathfrak "
    "mathscr operatorname mbox hbox boxed bm overline underline tfrac dfrac mathop substack label tag".split()
) - frozenset("tfrac dfrac label tag".split())
_NAMES = frozenset(
    "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln lg exp lim limsup liminf max min sup inf det dim ker "
    "deg gcd arg argmax argmin Pr hom bmod mod".split()
)
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
_RAISED = dict(
    zip(
        "0123456789+-=()abcdefghijklmnoprstuvwxyzABDEGHIJKLMNOPRTUVWαβγδθφχ′∗",
        "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻᴬᴮᴰᴱᴳᴴᴵᴶᴷᴸᴹᴺᴼᴾᴿᵀᵁⱽᵂᵅᵝᵞᵟᶿᵠᵡ′*",
        strict=True,
    )
)
_LOWERED = dict(zip("0123456789+-=()aehijklmnoprstuvxβγρφχ", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨᵩᵪ", strict=True))
_RAISED[" "] = _LOWERED[" "] = ""
_TOKEN = re.compile(r"\\(?:[A-Za-z]+|.)|[{}^_&~$]|[^\\{}^_&~$]+", re.DOTALL)


def readable(formula: str) -> str:
    """A formula as text. Each character is read once; groups nested too deep to be meant are shown as written."""
    if len(formula) > _TOO_LONG or "\\" not in formula and "^" not in formula and "_" not in formula:
        return formula
    tokens: list[str] = _TOKEN.findall(formula)
    text, _ = _sequence(tokens, 0, 0)
    return re.sub(r"[ \t]{3,}", "  ", text).strip()


def _sequence(tokens: list[str], at: int, depth: int) -> tuple[str, int]:
    """The tokens up to the brace that closes this group."""
    parts: list[str] = []
    while at < len(tokens):
        token = tokens[at]
        if token == "}":
            if depth:
                return "".join(parts), at + 1
            at += 1  # a brace too many
            parts.append("}")
        else:
            text, at = _one(tokens, at, depth)
            if token in ("^", "_") and parts:
                parts[-1] = parts[-1].rstrip()
            parts.append(text)
    return "".join(parts), at


def _one(tokens: list[str], at: int, depth: int) -> tuple[str, int]:
    """One token, with the groups that belong to it."""
    token = tokens[at]
    at += 1
    if token == "{":
        if depth >= _DEEPEST:
            return "{", at
        return _sequence(tokens, at, depth + 1)
    if token == "^":
        group, at = _group(tokens, at, depth)
        return _moved(group, _RAISED, "^"), at
    if token == "_":
        group, at = _group(tokens, at, depth)
        return _moved(group, _LOWERED, "_"), at
    if token in "&":
        return " ", at
    if token == "~":
        return " ", at
    if len(token) > 1 and token[0] == "\\":
        return _command(token[1:], tokens, at, depth)
    return token, at


def _command(name: str, tokens: list[str], at: int, depth: int) -> tuple[str, int]:
    if name in _SYMBOLS:
        return _SYMBOLS[name], at
    if name in _SPACES:
        return _SPACES[name], at
    if name in _NAMES:
        follows = at < len(tokens) and tokens[at][:1].isalnum()
        return name + (" " if follows else ""), at
    if name in ("frac", "tfrac", "dfrac", "binom"):
        above, at = _group(tokens, at, depth)
        below, at = _group(tokens, at, depth)
        if name == "binom":
            return f"({above} over {below})", at
        return f"{_bracketed(above)}/{_bracketed(below)}", at
    if name == "sqrt":
        root, at = _optional(tokens, at)
        group, at = _group(tokens, at, depth)
        sign = {"": "√", "2": "√", "3": "∛", "4": "∜"}.get(root) or _moved(root, _RAISED, "^") + "√"
        return sign + (group if len(group) == 1 or group.isdigit() else f"({group})"), at
    if name == "mathbb":
        group, at = _group(tokens, at, depth)
        return "".join([_BLACKBOARD.get(letter, letter) for letter in group]), at
    if name in _ACCENTS:
        group, at = _group(tokens, at, depth)
        return (group + _ACCENTS[name] if len(group) == 1 else group), at
    if name in ("begin", "end"):
        _, at = _group(tokens, at, depth)
        return "", at
    if name in _SILENT:
        return ("", at) if name in ("left", "right") and tokens[at : at + 1] != ["."] else ("", at)
    if name in ("label", "tag"):
        group, at = _group(tokens, at, depth)
        return (f"  ({group})" if name == "tag" else ""), at
    if not name[0].isalpha():
        return name, at  # an escaped sign
    return "\\" + name, at


def _group(tokens: list[str], at: int, depth: int) -> tuple[str, int]:
    """What a command or a sign takes: a group in braces, one command, or one character."""
    while at < len(tokens) and tokens[at].isspace():
        at += 1
    if at >= len(tokens):
        return "", at
    token = tokens[at]
    if token == "{" or token[0] == "\\":
        return _one(tokens, at, depth) if depth < _DEEPEST else (token, at + 1)
    if token in "}^_&":
        return "", at
    if len(token) > 1:
        token = token.lstrip()
        tokens[at] = token[1:]
        return token[0], at
    return token, at + 1


def _optional(tokens: list[str], at: int) -> tuple[str, int]:
    """The part in square brackets after `\\sqrt`."""
    if at < len(tokens) and tokens[at].startswith("[") and "]" in tokens[at]:
        inside, _, rest = tokens[at][1:].partition("]")
        if rest:
            tokens[at] = rest
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


def _bracketed(part: str) -> str:
    return part if len(part) == 1 or part.replace(".", "").isalnum() else f"({part})"
