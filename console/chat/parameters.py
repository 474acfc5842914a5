"""What can be set for the answers of a chat, and which backend has it under which name.

A chat keeps its wishes under one name each, so that they survive a change of model: what the next backend does not have
is left out there and comes back with one that has it. `--param` is another thing: it goes to the wire as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

from console.errors import UsageError

Backend: TypeAlias = Literal["ollama", "openai", "vllm", "anthropic"]


class Parameter(NamedTuple):
    """One thing to set. `names` holds the backends that have it, with what they call it."""

    name: str
    label: str
    kind: Literal["number", "whole", "texts", "choice"]
    help: str
    names: Mapping[Backend, str]
    least: float = 0.0
    most: float = 0.0
    choices: tuple[str, ...] = ()

    def range_words(self) -> str:
        match self.kind:
            case "number":
                return f"{self.least:g} to {self.most:g}"
            case "whole":
                return f"{self.least:,.0f} to {self.most:,.0f}"
            case "texts":
                return "texts, a comma between them"
            case "choice":
                return ", ".join(self.choices)


_EVERYWHERE: Mapping[Backend, str] = {
    "ollama": "temperature", "openai": "temperature", "vllm": "temperature", "anthropic": "temperature",
}  # fmt: skip

PARAMETERS = (
    Parameter("temperature", "Temperature", "number", "0 always takes the likeliest word, higher is more varied.",
              _EVERYWHERE, 0, 2),
    Parameter("top_p", "Top p", "number", "Choose among the likeliest words that together have this share.",
              {"ollama": "top_p", "openai": "top_p", "vllm": "top_p", "anthropic": "top_p"}, 0, 1),
    Parameter("top_k", "Top k", "whole", "Choose among this many of the likeliest words.",
              {"ollama": "top_k", "vllm": "top_k", "anthropic": "top_k"}, 0, 10_000),
    Parameter("min_p", "Min p", "number", "Leave out words less likely than this share of the likeliest one.",
              {"ollama": "min_p", "vllm": "min_p"}, 0, 1),
    Parameter("repeat_penalty", "Repeat penalty", "number", "Above 1 words that were used become less likely.",
              {"ollama": "repeat_penalty", "vllm": "repetition_penalty"}, 0, 3),
    Parameter("frequency_penalty", "Frequency penalty", "number", "Lower the chance of words by how often they came.",
              {"ollama": "frequency_penalty", "openai": "frequency_penalty", "vllm": "frequency_penalty"}, -2, 2),
    Parameter("presence_penalty", "Presence penalty", "number", "Lower the chance of words that came at all.",
              {"ollama": "presence_penalty", "openai": "presence_penalty", "vllm": "presence_penalty"}, -2, 2),
    Parameter("seed", "Seed", "whole", "The same number gives the same answer, where the backend can.",
              {"ollama": "seed", "openai": "seed", "vllm": "seed"}, 0, 2**31 - 1),
    Parameter("stop", "Stop at", "texts", "The answer ends before the first of these.",
              {"ollama": "stop", "openai": "stop", "vllm": "stop", "anthropic": "stop_sequences"}),
    Parameter("reasoning_effort", "Reasoning effort", "choice", "How long a reasoning model thinks.",
              {"openai": "reasoning_effort", "vllm": "reasoning_effort"}, choices=("minimal", "low", "medium", "high")),
    Parameter("max_tokens", "Longest answer", "whole", "The most tokens that an answer may have.",
              {"ollama": "max_tokens", "openai": "max_tokens", "vllm": "max_tokens", "anthropic": "max_tokens"},
              1, 10_000_000),
    Parameter("thinking", "Thinking", "choice", "Ask for thinking before the answer, or for none.",
              {"ollama": "thinking", "anthropic": "thinking"}, choices=("on", "off")),
)  # fmt: skip

BY_NAME: Mapping[str, Parameter] = {parameter.name: parameter for parameter in PARAMETERS}

ON_THE_TURN = frozenset({"max_tokens", "thinking"})
"""These are fields of a question, which every adapter puts in their place."""


def backend(wire: str, *, is_own: bool) -> Backend:
    """Which set of parameters an endpoint has: an OpenAI wire on a machine of one's own is vLLM or its like."""
    match wire:
        case "ollama":
            return "ollama"
        case "anthropic":
            return "anthropic"
        case _:
            return "vllm" if is_own else "openai"


def available(kind: Backend) -> tuple[Parameter, ...]:
    return tuple(parameter for parameter in PARAMETERS if kind in parameter.names)


def for_wire(wishes: Mapping[str, Any], kind: Backend) -> dict[str, Any]:
    """What of a chat's wishes goes to this backend, under its own names."""
    sent: dict[str, Any] = {}
    for name, value in wishes.items():
        parameter = BY_NAME.get(name)
        if parameter is None or name in ON_THE_TURN or kind not in parameter.names:
            continue
        if name == "temperature" and kind == "anthropic":
            value = min(value, 1)
        sent[parameter.names[kind]] = value
    return sent


def left_out(wishes: Mapping[str, Any], kind: Backend) -> tuple[str, ...]:
    """The labels of what this backend does not have."""
    return tuple(BY_NAME[name].label for name in wishes if name in BY_NAME and kind not in BY_NAME[name].names)


def read(parameter: Parameter, typed: str) -> Any:
    """What was typed as a value; empty means the backend's own, which is None."""
    written = typed.strip()
    if not written:
        return None
    match parameter.kind:
        case "texts":
            return [part for part in _texts(written) if part]
        case "choice":
            if written.lower() not in parameter.choices:
                raise _unfit(parameter, written)
            return written.lower()
        case "number" | "whole":
            try:
                value = float(written.replace(",", "."))
            except ValueError:
                raise _unfit(parameter, written) from None
            if not parameter.least <= value <= parameter.most or (parameter.kind == "whole" and value != int(value)):
                raise _unfit(parameter, written)
            return int(value) if parameter.kind == "whole" else value


def shown(value: Any) -> str:
    """A value as `read` takes it."""
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(json.dumps(each)[1:-1] if isinstance(each, str) else str(each) for each in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _texts(written: str) -> list[str]:
    """Texts between commas; `\\n` and `\\t` mean what they usually do."""
    return [part.strip().replace("\\n", "\n").replace("\\t", "\t") for part in written.split(",")]


def _unfit(parameter: Parameter, written: str) -> UsageError:
    return UsageError(f"{parameter.label} cannot be {written!r}.", hint=f"It may be {parameter.range_words()}.")
