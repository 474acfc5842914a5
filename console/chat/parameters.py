"""What can be set for the answers of a chat, and which backend has it under which name.

A chat keeps its wishes under one name each, so that they survive a change of model: what the next backend does not have
is left out there and comes back with one that has it. `--param` is another thing: it goes to the wire as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
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
    most_at: Mapping[Backend, float] = MappingProxyType({})
    """Where a backend takes less than the others: what is above goes as this."""

    def range_words(self, kind: Backend | None = None) -> str:
        """What it may be, at a backend or at all."""
        match self.kind:
            case "number":
                most = self.most if kind is None else self.most_at.get(kind, self.most)
                return f"{self.least:g} to {most:g}"
            case "whole":
                return f"{self.least:,.0f} to {self.most:,.0f}"
            case "texts":
                return "texts parted by commas"
            case "choice":
                return ", ".join(self.choices)


_EVERYWHERE: Mapping[Backend, str] = {
    "ollama": "temperature", "openai": "temperature", "vllm": "temperature", "anthropic": "temperature",
}  # fmt: skip

PARAMETERS = (
    Parameter("temperature", "Temperature", "number", "0 always takes the likeliest word, higher is more varied.",
              _EVERYWHERE, 0, 2, most_at={"anthropic": 1}),
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
              {"ollama": "think", "openai": "reasoning_effort", "vllm": "reasoning_effort"},
              choices=("minimal", "low", "medium", "high")),
    Parameter("max_tokens", "Longest answer", "whole", "The most tokens that an answer may have.",
              {"ollama": "max_tokens", "openai": "max_tokens", "vllm": "max_tokens", "anthropic": "max_tokens"},
              1, 10_000_000),
    Parameter("thinking", "Thinking", "choice", "Ask for thinking before the answer, or for none.",
              {"ollama": "thinking", "anthropic": "thinking"}, choices=("on", "off")),
)  # fmt: skip

BY_NAME: Mapping[str, Parameter] = {parameter.name: parameter for parameter in PARAMETERS}

ON_THE_TURN = frozenset({"max_tokens", "thinking"})
"""These are fields of a question, which every adapter puts in their place."""

_MOST_STOPS = 4
"""More texts to stop at than this OpenAI refuses."""
_LEAST_TO_THINK = 1024
"""On Anthropic's wire thinking takes at least so many tokens of the answer, and some must be left."""
_LEAST_TOP_P_THINKING = 0.95


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


class Sent(NamedTuple):
    """What becomes of a chat's wishes at a backend."""

    params: dict[str, Any]
    """Under the backend's own names."""
    notes: tuple[str, ...]
    """What goes otherwise than it was wished, each in a sentence."""


def for_wire(wishes: Mapping[str, Any], kind: Backend) -> Sent:
    """What of a chat's wishes goes to this backend. Those of `ON_THE_TURN` are only looked at: some exclude others."""
    sent: dict[str, Any] = {}
    wishes, notes = _usable(wishes)
    for name, wished in wishes.items():
        parameter = BY_NAME[name]
        if name in ON_THE_TURN or kind not in parameter.names:
            continue
        why_not = _excluded(name, wishes, kind)
        if why_not:
            notes.append(f"{parameter.label} is not sent: {why_not}.")
            continue
        value = _clamped(parameter, wished, kind)
        if value != wished:
            notes.append(f"{parameter.label} goes as {shown(value)}, the nearest that there is here.")
        sent[parameter.names[kind]] = value
    if kind == "anthropic" and wishes.get("thinking") == "on" and _too_short_to_think(wishes):
        notes.append(f"Thinking is not asked for: the longest answer must be above {_LEAST_TO_THINK:,} tokens for it.")
    return Sent(sent, tuple(notes))


def _usable(wishes: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Those that can be; a chat may come from a file that somebody wrote."""
    usable: dict[str, Any] = {}
    notes: list[str] = []
    for name, value in wishes.items():
        if name in BY_NAME and value is not None:
            try:
                usable[name] = _checked(BY_NAME[name], value)
            except UsageError as error:
                notes.append(f"{error.text} It is not sent.")
    return usable, notes


def _clamped(parameter: Parameter, wished: Any, kind: Backend) -> Any:
    if parameter.name == "reasoning_effort" and kind == "ollama" and wished == "minimal":
        return "low"
    if parameter.name == "stop" and kind == "openai":
        return wished[:_MOST_STOPS]
    most = parameter.most_at.get(kind)
    return most if most is not None and wished > most else wished


def _excluded(name: str, wishes: Mapping[str, Any], kind: Backend) -> str:
    """Why a wish is not sent to a backend that has it, because of another one; empty if it is."""
    if kind == "ollama" and name == "reasoning_effort" and wishes.get("thinking") == "off":
        return "thinking is off"
    if kind != "anthropic":
        return ""
    thinks = wishes.get("thinking") == "on" and not _too_short_to_think(wishes)
    if thinks and (name in ("temperature", "top_k") or (name == "top_p" and wishes[name] < _LEAST_TOP_P_THINKING)):
        return "it does not go with thinking here"
    if name == "top_p" and not thinks and "temperature" in wishes:
        return "it does not go with a temperature here"
    return ""


def _too_short_to_think(wishes: Mapping[str, Any]) -> bool:
    return int(wishes.get("max_tokens") or _LEAST_TO_THINK + 1) <= _LEAST_TO_THINK


def left_out(wishes: Mapping[str, Any], kind: Backend) -> tuple[str, ...]:
    """The labels of what this backend does not have."""
    return tuple(BY_NAME[name].label for name in wishes if name in BY_NAME and kind not in BY_NAME[name].names)


def from_names(params: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Parameters as `--param` and templates write them, as wishes; and the names that none of ours stands behind.

    Raises `UsageError` for a value that cannot be.
    """
    wishes: dict[str, Any] = {}
    unknown: list[str] = []
    for name, value in params.items():
        parameter = _BY_ANY_NAME.get(name)
        if parameter is None:
            unknown.append(name)
        elif value is not None:
            wishes[parameter.name] = _checked(parameter, value)
    return wishes, tuple(unknown)


def _by_any_name() -> dict[str, Parameter]:
    found = {name: parameter for parameter in PARAMETERS for name in parameter.names.values()}
    found |= BY_NAME  # our own names go before theirs
    also = {"num_predict": "max_tokens", "max_completion_tokens": "max_tokens", "think": "thinking"}
    return found | {name: BY_NAME[ours] for name, ours in also.items()}


_BY_ANY_NAME: Mapping[str, Parameter] = _by_any_name()


def _checked(parameter: Parameter, value: Any) -> Any:
    """A value from a file as what was typed would be."""
    if parameter.name == "thinking" and isinstance(value, bool):
        return "on" if value else "off"
    if parameter.name == "thinking" and isinstance(value, dict):  # as Anthropic's wire writes it
        return "off" if value.get("type") == "disabled" else "on"
    if parameter.kind == "texts":
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(each, str) for each in texts):
            raise _unfit(parameter, str(value))
        return [each for each in texts if each]
    if isinstance(value, (bool, dict, list)):
        raise _unfit(parameter, str(value))
    return read(parameter, str(value))


def read(parameter: Parameter, typed: str) -> Any:
    """What was typed as a value; empty means the backend's own, which is None."""
    written = typed.strip()
    if not written:
        return None
    match parameter.kind:
        case "texts":
            return [part for part in _texts(typed) if part] or None
        case "choice":
            if written.lower() not in parameter.choices:
                raise _unfit(parameter, written)
            return written.lower()
        case "number" | "whole":
            try:
                value = _number(written, is_whole=parameter.kind == "whole")
            except ValueError:
                raise _unfit(parameter, written) from None
            if not parameter.least <= value <= parameter.most or (parameter.kind == "whole" and value != int(value)):
                raise _unfit(parameter, written)
            return int(value) if parameter.kind == "whole" else value


def _number(written: str, *, is_whole: bool) -> float:
    """With a comma as people write it: in 0,7 it begins the fraction, in 4,096 it parts the thousands."""
    if is_whole:
        return float(re.sub(r"(?<=\d)[,'_ ](?=\d{3}(?!\d))", "", written))
    return float(written.replace(",", "."))


def shown(value: Any) -> str:
    """A value as `read` takes it."""
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(_escaped(str(each)) for each in value)
    return f"{value:.12g}" if isinstance(value, float) else str(value)


_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_AS_ESCAPE = {"\\": "\\\\", ",": "\\,", **{sign: f"\\{letter}" for letter, sign in _ESCAPES.items()}}


def _texts(written: str) -> list[str]:
    """Texts between commas. A backslash makes a letter mean a line end or a tab, and any other sign just itself."""
    texts: list[str] = []
    for part in re.findall(r"((?:\\.|[^,\\]|\\$)*)(?:,|$)", written, re.DOTALL):
        bare = re.sub(r"^\s+|(?<!\\)\s+$", "", part)
        texts.append(re.sub(r"\\(.)", lambda sign: _ESCAPES.get(sign[1], sign[1]), bare, flags=re.DOTALL))
    return texts


def _escaped(text: str) -> str:
    """With its commas kept, and the blanks at its ends."""
    escaped = "".join(_AS_ESCAPE.get(sign, sign) for sign in text)
    if escaped[:1].isspace():
        escaped = f"\\{escaped}"
    if len(text) > 1 and escaped[-1].isspace():
        escaped = f"{escaped[:-1]}\\{escaped[-1]}"
    return escaped


def _unfit(parameter: Parameter, written: str) -> UsageError:
    return UsageError(f"{parameter.label} cannot be {written!r}.", hint=f"It may be {parameter.range_words()}.")
