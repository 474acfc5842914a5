"""GPUs under the names that people and clouds have for them: one name to show, one way to compare, and their memory.

`geforcertx4090-pcie-24gb`, `NVIDIA GeForce RTX 4090`, `RTX_4090` and `4090` are one kind; `h100` is any H100, while
`H100 PCIe` is that one alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

_NOISE = re.compile(
    r"nvidia|geforce|tesla|quadro|instinct|corporation|generation|graphics|\bamd\b|\boam\b|\bq\b(?= rtx)"
    r"|server edition|workstation edition|blackwell|laptop|\bgpu\b"
)
_MEMORY = re.compile(r"(?<![a-z0-9.])(\d{1,3})\s?gi?b\b")
_FORM = re.compile(r"\b(sxm|pcie|nvl)\d?\b|\bhbm\d?e?\b")
_MARKETING = re.compile(r"(\d{4})\s?(ti|super|s ti|s|d)?(?![a-z0-9])")
_ALIASES = {
    "a6000": "rtxa6000", "a5000": "rtxa5000", "a4500": "rtxa4500", "a4000": "rtxa4000", "a2000": "rtxa2000",
    "6000ada": "rtx6000ada", "5000ada": "rtx5000ada", "4000ada": "rtx4000ada", "4000sffada": "rtx4000sffada",
    "rtx6000adageneration": "rtx6000ada", "pro6000": "rtxpro6000", "6000": "rtx6000",
    "rtxpro6000ws": "rtxpro6000", "rtxpro6000s": "rtxpro6000",
}  # fmt: skip
_FORMS_MATTER = frozenset({"a100", "h100", "h200", "v100", "p100", "b200", "b300", "h800", "a800"})
"""Sold with different connections to its fellows, which is worth a word."""

_VRAM_GB = {
    "p4": 8, "p40": 24, "p100": 16, "t4": 16, "v100": 16, "a2": 16, "a10": 24, "a10g": 24, "a16": 16, "a30": 24,
    "a40": 48, "a100": 80, "a800": 80, "h100": 80, "h800": 80, "h200": 141, "gh200": 96, "b200": 180, "b300": 268,
    "l4": 24, "l40": 48, "l40s": 48, "mi100": 32, "mi210": 64, "mi250": 128, "mi300x": 192, "mi325x": 256,
    "titanrtx": 24, "titanv": 12, "titanxp": 12,
    "gtx1060": 6, "gtx1070": 8, "gtx1070ti": 8, "gtx1080": 8, "gtx1080ti": 11, "gtx1650": 4, "gtx1660": 6,
    "gtx1660ti": 6, "gtx1660super": 6,
    "rtx2060": 6, "rtx2060super": 8, "rtx2070": 8, "rtx2070super": 8, "rtx2080": 8, "rtx2080super": 8, "rtx2080ti": 11,
    "rtx3050": 8, "rtx3060": 12, "rtx3060ti": 8, "rtx3070": 8, "rtx3070ti": 8, "rtx3080": 10, "rtx3080ti": 12,
    "rtx3090": 24, "rtx3090ti": 24,
    "rtx4060": 8, "rtx4060ti": 8, "rtx4070": 12, "rtx4070super": 12, "rtx4070ti": 12, "rtx4070superti": 16,
    "rtx4080": 16, "rtx4080super": 16, "rtx4090": 24, "rtx4090d": 24,
    "rtx5060": 8, "rtx5060ti": 16, "rtx5070": 12, "rtx5070ti": 16, "rtx5080": 16, "rtx5090": 32,
    "rtxa2000": 12, "rtxa4000": 16, "rtxa4500": 20, "rtxa5000": 24, "rtxa6000": 48, "rtx4000": 8, "rtx5000": 16,
    "rtx6000": 24, "rtx8000": 48, "rtx4000ada": 20, "rtx4000sffada": 20, "rtx4500ada": 24, "rtx5000ada": 32,
    "rtx5880ada": 48, "rtx6000ada": 48, "rtxpro4000": 24, "rtxpro4500": 32, "rtxpro5000": 48, "rtxpro6000": 96,
}  # fmt: skip


class Kind(NamedTuple):
    model: str
    """In lower case without spaces: `rtx4090`, `a100`."""
    form: str = ""
    """`sxm`, `pcie` or `nvl`, where the name says it."""
    vram_gb: int | None = None
    """Where the name says it."""


@lru_cache(maxsize=2048)
def kind(name: str) -> Kind:
    words = re.sub(r"[_\-/(),+]+", " ", name.lower()[:200])
    words = re.sub(r"^\s*\d{1,2}\s?x\s+", "", words)
    memory = _MEMORY.search(words)
    words = _MEMORY.sub(" ", words)
    form = _FORM.search(words)
    words = _NOISE.sub(" ", _FORM.sub(" ", words))
    model = "".join(re.findall(r"[a-z0-9]+", words))
    model = re.sub(r"(\d{4})s(ti)?$", r"\1super\2", model)
    model = re.sub(r"tisuper$", "superti", model)
    if re.fullmatch(r"[2-5]0[5-9]0(ti|super|superti|d)?", model):
        model = f"rtx{model}"
    elif re.fullmatch(r"1[06][5-8]0(ti|super)?", model):
        model = f"gtx{model}"
    which = form.group(1) or "sxm" if form else ""
    return Kind(_ALIASES.get(model, model), which, int(memory.group(1)) if memory else None)


def is_wanted(wanted: str, name: str) -> bool:
    """Whether a GPU of this name is what was asked for. What the wish leaves open does not matter."""
    asked, there = kind(wanted), kind(name)
    if asked.model != there.model:
        return False
    if asked.form and there.form and asked.form != there.form:
        return False
    return not (asked.vram_gb and there.vram_gb) or asked.vram_gb == there.vram_gb


def wanted_among(wanted: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if is_wanted(wanted, name)]


@lru_cache(maxsize=2048)
def shown(name: str) -> str:
    """The name to show: short, without the maker."""
    which = kind(name)
    if which.model.startswith(("rtx", "gtx")):
        spaced = re.sub(r"(rtx|gtx)(pro|a)?(\d+)(sff)?(superti|super|ti|d|ada)?$", _spaced, which.model)
        spaced = spaced if spaced != which.model else which.model.upper()
    elif which.model.startswith("titan"):
        spaced = f"TITAN {which.model[5:].upper()}".strip()
    else:
        spaced = which.model.upper()
    if which.form and which.model in _FORMS_MATTER:
        spaced += {"sxm": " SXM", "pcie": " PCIe", "nvl": " NVL"}[which.form]
    return spaced.strip()


def _spaced(found: re.Match[str]) -> str:
    brand, line, digits, small, kin = found.groups()
    words = [brand.upper()]
    match line:
        case "pro":
            words += ["PRO", digits]
        case "a":
            words += [f"A{digits}"]
        case _:
            words += [digits]
    words += ["SFF"] if small else []
    words += [{"superti": "Ti SUPER", "super": "SUPER", "ti": "Ti", "d": "D", "ada": "Ada"}[kin]] if kin else []
    return " ".join(words)


def vram_gb(name: str, told_mb: Decimal | None = None) -> Decimal | None:
    """The memory of one such GPU. What drivers report is a little less than what the maker says, which is used then."""
    which = kind(name)
    known = which.vram_gb or _VRAM_GB.get(which.model)
    if told_mb is None or told_mb <= 0:
        return Decimal(known) if known else None
    told_gb = told_mb / 1024
    if known and Decimal("0.9") <= told_gb / known <= Decimal("1.05"):
        return Decimal(known)
    return Decimal(round(told_gb))
