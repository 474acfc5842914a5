"""Whether a text looks like it holds a key that should not be sent to anybody."""

from __future__ import annotations

import re

LOOKED_AT = 2_000_000
"""How many characters are looked through; keys stand in small files."""

_MARKS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("a private key", ("PRIVATE KEY",), r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"),
    ("a private key", ("PuTTY-User-Key-File-",), r"PuTTY-User-Key-File-\d"),
    ("an Anthropic key", ("sk-ant-",), r"\bsk-ant-[A-Za-z0-9_-]{20,}"),
    ("an OpenRouter key", ("sk-or-",), r"\bsk-or-[A-Za-z0-9_-]{20,}"),
    ("an API key", ("sk-",), r"\bsk-(?:proj-)?[A-Za-z0-9_-]{24,}"),
    ("a GitHub token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"\bgh[pousr]_[A-Za-z0-9]{30,}"),
    ("a GitHub token", ("github_pat_",), r"\bgithub_pat_[A-Za-z0-9_]{30,}"),
    ("a GitLab token", ("glpat-",), r"\bglpat-[A-Za-z0-9_-]{18,}"),
    ("a Hugging Face token", ("hf_",), r"\bhf_[A-Za-z0-9]{30,}"),
    ("an AWS key", ("AKIA", "ASIA"), r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    ("a Google API key", ("AIza",), r"\bAIza[A-Za-z0-9_-]{35}"),
    ("a Slack token", ("xox",), r"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
    ("a payment key", ("k_live_",), r"\b[rs]k_live_[A-Za-z0-9]{16,}"),
    ("a RunPod key", ("rpa_",), r"\brpa_[A-Z0-9]{30,}"),
)
"""What it is, a piece of text without which it is not there, and how it looks: finding the piece takes no time."""

_NAMED = re.compile(
    r"(?:api_?key|secret(?:_?key)?|password|passwd|access_?token|auth_?token)[\"']?\s{0,8}[:=]\s{0,8}[\"']?"
    r"(?=[a-z+/_.-]{0,80}\d)(?=[0-9+/_.-]{0,80}[a-z])[a-z0-9+/_.-]{16}"
)
"""A value under a name that tells what it is, in a text without capitals."""


def secret_in(text: str) -> str | None:
    """What kind of secret a text seems to hold, in words, or None."""
    looked_at = text[:LOOKED_AT]
    for words, pieces, pattern in _MARKS:
        if any(piece in looked_at for piece in pieces) and re.search(pattern, looked_at):
            return words
    return "a password or key" if _NAMED.search(looked_at.lower()) else None
