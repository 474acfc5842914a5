"""Whether a text looks like it holds a key that should not be sent to anybody."""

from __future__ import annotations

import re

LOOKED_AT = 2_000_000
"""How many characters are looked through; keys stand in small files."""

_MARKS: tuple[tuple[str, str], ...] = (
    ("a private key", r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-\d"),
    ("an Anthropic key", r"\bsk-ant-[A-Za-z0-9_-]{20,}"),
    ("an OpenRouter key", r"\bsk-or-[A-Za-z0-9_-]{20,}"),
    ("an API key", r"\bsk-(?:proj-)?[A-Za-z0-9_-]{24,}"),
    ("a GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})"),
    ("a GitLab token", r"\bglpat-[A-Za-z0-9_-]{18,}"),
    ("a Hugging Face token", r"\bhf_[A-Za-z0-9]{30,}"),
    ("an AWS key", r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    ("a Google API key", r"\bAIza[A-Za-z0-9_-]{35}"),
    ("a Slack token", r"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
    ("a payment key", r"\b[rs]k_live_[A-Za-z0-9]{16,}"),
    ("a RunPod key", r"\brpa_[A-Z0-9]{30,}"),
    (
        "a password or key",
        r"(?i:\b(?:[A-Z0-9_]*(?:API_?KEY|SECRET(?:_?KEY)?|PASSWORD|PASSWD|ACCESS_?TOKEN|AUTH_?TOKEN)))"
        r"[\"']?\s*[:=]\s*[\"']?(?=[A-Za-z0-9+/_.-]*\d)(?=[A-Za-z0-9+/_.-]*[A-Za-z])[A-Za-z0-9+/_.-]{16,}",
    ),
)


def secret_in(text: str) -> str | None:
    """What kind of secret a text seems to hold, in words, or None."""
    looked_at = text[:LOOKED_AT]
    for words, pattern in _MARKS:
        if re.search(pattern, looked_at):
            return words
    return None
