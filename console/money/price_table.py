"""The shipped price list: what the vendors asked on their own hosts when we last looked. Plain data, loaded on demand.

USD per million tokens as (input, output, cached input, cache write); None is "no price of its own, charged as input".
A cache write is the vendor's shortest and cheapest one (five minutes at Anthropic). A name stands for its family:
`gpt-4.1` also answers for `gpt-4.1-2025-04-14`, unless the dated name has a line of its own.
"""

from __future__ import annotations

Row = tuple[str, str, str | None, str | None]

DATED = "2026-10-27"
"""The day up to which published copies of the pages in SOURCES were compared with these figures."""

SOURCES = {
    "openai": "developers.openai.com/api/docs/pricing",
    "anthropic": "platform.claude.com/docs/en/about-claude/pricing",
    "bfl": "docs.bfl.ai/quick_start/pricing",
}

HOSTS = {
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    "api.bfl.ai": "bfl",
}
"""The only hosts the list speaks for: another host with a model of the same name asks its own price."""

TEXT: dict[str, dict[str, Row]] = {
    "openai": {
        "gpt-6.1-terra": ("1", "5", "0.05", "1.25"),
        "gpt-6-astra": ("10", "50", "1", None),
        "gpt-6-sol": ("2", "10", "0.2", "2.5"),
        "gpt-6-luna": ("0.1", "0.5", "0.01", "0.125"),
        "gpt-5.6": ("5", "30", "0.5", None),
        "gpt-5.6-sol": ("5", "30", "0.5", None),
        "gpt-5.6-terra": ("2", "12", "0.2", None),
        "gpt-5.6-luna": ("0.2", "1.2", "0.02", None),
        "gpt-5.5": ("5", "30", "0.5", None),
        "gpt-5.5-pro": ("30", "180", None, None),
        "gpt-5.4": ("2.5", "15", "0.25", None),
        "gpt-5.4-mini": ("0.75", "4.5", "0.075", None),
        "gpt-5.4-nano": ("0.2", "1.25", "0.02", None),
        "gpt-5.4-pro": ("30", "180", None, None),
        "gpt-5.2": ("1.75", "14", "0.175", None),
        "gpt-5.2-pro": ("21", "168", None, None),
        "gpt-5.1": ("1.25", "10", "0.125", None),
        "gpt-5": ("1.25", "10", "0.125", None),
        "gpt-5-chat": ("1.25", "10", "0.125", None),
        "gpt-5-mini": ("0.25", "2", "0.025", None),
        "gpt-5-nano": ("0.05", "0.4", "0.005", None),
        "gpt-5-pro": ("15", "120", None, None),
        "gpt-4.1": ("2", "8", "0.5", None),
        "gpt-4.1-mini": ("0.4", "1.6", "0.1", None),
        "gpt-4.1-nano": ("0.1", "0.4", "0.025", None),
        "gpt-4o": ("2.5", "10", "1.25", None),
        "gpt-4o-2024-05-13": ("5", "15", None, None),
        "gpt-4o-mini": ("0.15", "0.6", "0.075", None),
        "chatgpt-4o-latest": ("5", "15", None, None),
        "gpt-4-turbo": ("10", "30", None, None),
        "gpt-4": ("30", "60", None, None),
        "gpt-3.5-turbo": ("0.5", "1.5", None, None),
        "o1": ("15", "60", "7.5", None),
        "o1-pro": ("150", "600", None, None),
        "o3": ("2", "8", "0.5", None),
        "o3-mini": ("1.1", "4.4", "0.55", None),
        "o3-pro": ("20", "80", None, None),
        "o4-mini": ("1.1", "4.4", "0.275", None),
        "text-embedding-ada-002": ("0.1", "0", None, None),
        "text-embedding-3-small": ("0.02", "0", None, None),
        "text-embedding-3-large": ("0.13", "0", None, None),
    },
    "anthropic": {
        "claude-fable-5-1": ("10", "50", "0.25", "12.5"),
        "claude-fable-5": ("10", "50", "1", "12.5"),
        "claude-mythos-5-1": ("10", "50", "0.25", "12.5"),
        "claude-mythos-5": ("10", "50", "1", "12.5"),
        "claude-opus-5-5": ("4", "20", "0.2", "5"),
        "claude-opus-5": ("5", "25", "0.5", "6.25"),
        "claude-opus-4-8": ("5", "25", "0.5", "6.25"),
        "claude-opus-4-7": ("5", "25", "0.5", "6.25"),
        "claude-opus-4-6": ("5", "25", "0.5", "6.25"),
        "claude-opus-4-5": ("5", "25", "0.5", "6.25"),
        "claude-opus-4-1": ("15", "75", "1.5", "18.75"),
        "claude-opus-4": ("15", "75", "1.5", "18.75"),
        "claude-opus-4-0": ("15", "75", "1.5", "18.75"),
        "claude-sonnet-5-5": ("2", "10", "0.1", "2.5"),
        "claude-sonnet-5": ("2", "10", "0.2", "2.5"),
        "claude-sonnet-4-6": ("3", "15", "0.3", "3.75"),
        "claude-sonnet-4-5": ("3", "15", "0.3", "3.75"),
        "claude-sonnet-4": ("3", "15", "0.3", "3.75"),
        "claude-sonnet-4-0": ("3", "15", "0.3", "3.75"),
        "claude-3-7-sonnet": ("3", "15", "0.3", "3.75"),
        "claude-3-5-sonnet": ("3", "15", "0.3", "3.75"),
        "claude-haiku-5-5": ("0.1", "0.5", "0.01", "0.125"),
        "claude-haiku-4-5": ("1", "5", "0.1", "1.25"),
        "claude-3-5-haiku": ("0.8", "4", "0.08", "1"),
        "claude-3-opus": ("15", "75", "1.5", "18.75"),
        "claude-3-haiku": ("0.25", "1.25", "0.03", "0.3"),
    },
}

LONG: dict[str, tuple[int, str, str]] = {
    "gpt-6.1-terra": (272_000, "2", "1.5"),
    "gpt-6-astra": (272_000, "2", "1.5"),
    "gpt-6-sol": (272_000, "2", "1.5"),
    "gpt-6-luna": (272_000, "2", "1.5"),
    "gpt-5.6": (272_000, "2", "1.5"),
    "gpt-5.6-sol": (272_000, "2", "1.5"),
    "gpt-5.6-terra": (272_000, "2", "1.5"),
    "gpt-5.6-luna": (272_000, "2", "1.5"),
    "gpt-5.5": (272_000, "2", "1.5"),
    "gpt-5.5-pro": (272_000, "2", "1.5"),
    "gpt-5.4": (272_000, "2", "1.5"),
    "gpt-5.4-pro": (272_000, "2", "1.5"),
    "claude-sonnet-4-5": (200_000, "2", "1.5"),
    "claude-sonnet-4": (200_000, "2", "1.5"),
    "claude-sonnet-4-0": (200_000, "2", "1.5"),
    "claude-haiku-5-5": (100_000, "5", "5"),
}
"""A prompt longer than so many tokens makes the whole request dearer: input (cached too) and output times these."""

IMAGES: dict[str, dict[str, dict[str, str]]] = {
    "openai": {
        "gpt-image-1.5": {
            "low": "0.009",
            "medium": "0.034",
            "high": "0.133",
            "low wide": "0.013",
            "medium wide": "0.05",
            "high wide": "0.2",
        },
        "gpt-image-1": {
            "low": "0.011",
            "medium": "0.042",
            "high": "0.167",
            "low wide": "0.016",
            "medium wide": "0.063",
            "high wide": "0.25",
        },
        "gpt-image-1-mini": {
            "low": "0.005",
            "medium": "0.011",
            "high": "0.036",
            "low wide": "0.006",
            "medium wide": "0.015",
            "high wide": "0.052",
        },
        "dall-e-3": {"standard": "0.04", "hd": "0.08", "standard wide": "0.08", "hd wide": "0.12"},
        "dall-e-2": {"standard": "0.02"},
    },
    "bfl": {
        "flux-2-max": {"first megapixel": "0.07"},
        "flux-2-pro": {"first megapixel": "0.03"},
        "flux-2-flex": {"first megapixel": "0.05"},
        "flux-2-klein-9b": {"first megapixel": "0.015"},
        "flux-2-klein-4b": {"first megapixel": "0.014"},
        "flux-pro-1.1-ultra": {"standard": "0.06"},
        "flux-pro-1.1": {"standard": "0.04"},
        "flux-kontext-max": {"standard": "0.08"},
        "flux-kontext-pro": {"standard": "0.04"},
    },
}
"""USD per picture by quality, where a vendor sells by the picture; gpt-image-2 is sold by the token.

"wide" is any size that is not square. Of a model sold by the megapixel we know only the price of the first one.
"""
