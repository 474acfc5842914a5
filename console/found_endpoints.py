"""Endpoints that are there without being configured: paid services whose key is at hand, and an Ollama server.

`OPENAI_BASE_URL` and its like are left alone on purpose: a key goes to the service it was made for, and to another
address only when the settings file says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from console.keys import KEY_VARIABLES, stored_names, variable_for
from console.paths import Paths
from console.settings_kinds import URL, Unfit

if TYPE_CHECKING:
    from console.settings import OriginKind

OLLAMA = "http://127.0.0.1:11434"
SHIPPED: dict[str, dict[str, Any]] = {
    "ollama": {"wire": "ollama", "base_url": OLLAMA},
    "openai": {"wire": "openai", "base_url": "https://api.openai.com/v1", "key": "openai"},
    "anthropic": {"wire": "anthropic", "base_url": "https://api.anthropic.com", "key": "anthropic"},
    "openrouter": {"wire": "openai", "base_url": "https://openrouter.ai/api/v1", "key": "openrouter"},
}

HOW_TO_BEGIN = (
    "Start Ollama, set OPENAI_API_KEY, ANTHROPIC_API_KEY or OPENROUTER_API_KEY, or write [endpoints.NAME] with: "
    "hawser config edit. To look around without any of it: hawser demo"
)
"""What to do where there is nobody to ask."""

Found: TypeAlias = dict[str, tuple[dict[str, Any], tuple["OriginKind", str]]]
"""By name: the values of the endpoint, and the kind and detail of its origin."""


def found_endpoints(paths: Paths, environment: Mapping[str, str]) -> tuple[Found, tuple[str, ...]]:
    """What is there by itself, and notes on what could not be used. Reads at most the private keys file."""
    found: Found = {}
    notes: list[str] = []
    written = environment.get("OLLAMA_HOST", "").strip()
    try:
        origin: tuple[OriginKind, str] = ("environment", "OLLAMA_HOST") if written else ("default", "the usual port")
        found["ollama"] = ({**SHIPPED["ollama"], "base_url": ollama_url(written)}, origin)
    except Unfit as unfit:
        notes.append(f"OLLAMA_HOST {unfit.sentence}; it is not used.")
    stored: frozenset[str] | None = None
    for name in ("openai", "anthropic", "openrouter"):
        variable = next((v for v in (variable_for(name), KEY_VARIABLES[name]) if environment.get(v, "").strip()), None)
        if variable is None and stored is None:
            stored = stored_names(paths)
        if variable is not None:
            found[name] = (SHIPPED[name], ("environment", variable))
        elif stored is not None and name in stored:
            found[name] = (SHIPPED[name], ("default", "its key is stored"))
    return found, tuple(notes)


def ollama_url(written: str) -> str:
    """The address that `OLLAMA_HOST` means, read as Ollama itself reads it: every part of it may be missing."""
    scheme, mark, rest = written.strip().strip("\"'").partition("://")
    if not mark:
        scheme, rest = "http", scheme
        port = "11434"
    else:
        port = {"http": "80", "https": "443"}.get(scheme, "")
    place, slash, path = rest.partition("/")
    if place.startswith("["):
        host, _, after = place[1:].partition("]")
        given_port = after.removeprefix(":")
    elif place.count(":") > 1:
        host, given_port = place, ""
    else:
        host, _, given_port = place.partition(":")
    if given_port and not (given_port.isdecimal() and 0 < int(given_port) < 65536):
        raise Unfit(f"has a port that is not a number from 1 to 65535: {given_port[:20]!r}")
    # Listening on every address is what the server is told; the way to it is the loopback one.
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    if ":" in host:
        host = f"[{host}]"
    url: str = URL.read(f"{scheme}://{host}:{given_port or port}{slash}{path}")
    return url
