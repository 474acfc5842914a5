"""What a simulated model says: scripted by a test, or made up from the question, always the same for the same input.

A question may also steer the answer in its own words: `say 20 tokens` gives exactly that many, `echo ...` or
`repeat after me: ...` gives back the rest. Asked for JSON, the model gives a value valid for the
schema; offered tools, it calls the one the question talks about.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from providers.simulated.faults import ActiveFaults, FaultKind
from providers.simulated.instances import instance
from providers.simulated.prose import markdown, reflection

Finish: TypeAlias = Literal["stop", "length", "tool_calls", "stop_sequence", "refused"]

IMAGE_TOKENS = 768
_MESSAGE_TOKENS = 4
_TOKEN = re.compile(r"[ \t]?\w{1,7}|[ \t]?[^\w\s]{1,3}|\s+?(?=\S)|\s+")
_SAY = re.compile(r"\bsay (?:exactly )?([\d_,]+) tokens?\b", re.IGNORECASE)
_ECHO = re.compile(r"\A\s*(?:echo|repeat after me):?\s(.*)\Z", re.IGNORECASE | re.DOTALL)
_WORD = re.compile(r"\w+")

ESCAPES_TEXT = (
    "plain \x1b[31mred\x1b[0m \x1b]0;owned title\x07 \x1b]52;c;aGVsbG8=\x07 \x1b[2J\x1b[H \x9b31m "
    "back\x08space \r overwritten \x07 bell \x1b]8;;http://192.0.2.1/\x1b\\link\x1b]8;;\x1b\\ "
    "\u202eright to left\u202c end"
)


@dataclass(frozen=True, slots=True)
class ToolUse:
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    schema: Any
    description: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    role: str
    text: str
    images: int = 0

    @property
    def tokens(self) -> int:
        return _MESSAGE_TOKENS + count_tokens(self.text) + IMAGE_TOKENS * self.images


@dataclass(frozen=True, slots=True)
class Question:
    """A request for an answer, in words of no wire."""

    model: str
    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    """auto, none, required, or the name of the tool that must be called."""
    schema: Any = None
    """A JSON schema the answer must satisfy; True when any JSON will do."""
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int = 0
    thinks: bool = False

    @property
    def text(self) -> str:
        """What the user said last."""
        return next((turn.text for turn in reversed(self.turns) if turn.role == "user"), "")

    @property
    def prompt_tokens(self) -> int:
        return sum(turn.tokens for turn in self.turns) + sum(
            count_tokens(f"{tool.name} {tool.description} {tool.schema}") for tool in self.tools
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What a test lets the model say. `tokens` fixes the pieces in which the text is sent."""

    text: str = ""
    thinking: str = ""
    tool_calls: tuple[ToolUse, ...] = ()
    finish: Finish | None = None
    tokens: tuple[str, ...] = ()


Scripted: TypeAlias = Answer | str | Callable[[Question], Answer | str]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer cut to the limits of its request and to tokens; `text` may have no end."""

    text: Iterable[str]
    thinking: Sequence[str] = ()
    tool_calls: tuple[ToolUse, ...] = ()
    finish: Finish = "stop"
    stop_sequence: str | None = None

    @property
    def tool_tokens(self) -> int:
        return sum(count_tokens(json.dumps(call.arguments)) + count_tokens(call.name) for call in self.tool_calls)


def tokens_of(text: str) -> list[str]:
    """`text` in pieces about as long as a model's tokens; joined they are the text again."""
    return _TOKEN.findall(text)


def count_tokens(text: str) -> int:
    return len(tokens_of(text))


@dataclass(slots=True)
class Answers:
    """The voice of one service. Scripted answers win over made-up ones; of two scripts that fit, the later one wins."""

    seed: int = 0
    length: int | None = None
    """Made-up answers have exactly so many tokens; None for the length that comes naturally."""
    echo: bool = False
    """Every answer repeats the question."""
    _scripts: list[tuple[re.Pattern[str], Scripted]] = field(default_factory=list)
    _queue: deque[Scripted] = field(default_factory=deque)

    def script(self, pattern: str, answer: Scripted) -> None:
        """Answer so whenever the user's last words contain the regular expression `pattern`, whatever their case."""
        self._scripts.append((re.compile(pattern, re.IGNORECASE | re.DOTALL), answer))

    def queue(self, *answers: Scripted) -> None:
        """Answer the next questions so, in this order, whatever they are."""
        self._queue.extend(answers)

    def reply(self, question: Question, faults: ActiveFaults) -> Reply:
        answer = self._answer(question)
        if FaultKind.ESCAPES in faults:
            answer = Answer(ESCAPES_TEXT)
        elif FaultKind.EMPTY in faults:
            answer = Answer()
        elif FaultKind.ENDLESS in faults:
            return Reply(itertools.cycle(tokens_of(answer.text + "\n\n") or ["on "]))
        return _limited(answer, question)

    def _answer(self, question: Question) -> Answer:
        scripted = self._scripted(question)
        if callable(scripted):
            scripted = scripted(question)
        if isinstance(scripted, str):
            scripted = Answer(scripted)
        return scripted or self._made_up(question)

    def _scripted(self, question: Question) -> Scripted | None:
        if self._queue:
            return self._queue.popleft()
        for pattern, answer in reversed(self._scripts):
            if pattern.search(question.text):
                return answer
        return None

    def _made_up(self, question: Question) -> Answer:
        tool = _tool_to_call(question)
        thinking = reflection(question.text, self.seed + question.seed) if question.thinks else ""
        if tool is not None:
            arguments = instance(tool.schema, lambda name: _argument(name, question.text))
            return Answer(thinking=thinking, tool_calls=(ToolUse(tool.name, arguments),))
        if question.schema is not None:
            value = {"answer": question.text} if question.schema is True else instance(question.schema)
            return Answer(json.dumps(value, ensure_ascii=False), thinking)
        if said := _SAY.search(question.text):
            return Answer(thinking=thinking, tokens=_exactly(int(re.sub(r"\D", "", said[1]) or 0)))
        if echoed := _ECHO.match(question.text):
            return Answer(echoed[1], thinking)
        if self.echo:
            return Answer(question.text, thinking)
        if self.length is not None:
            return Answer(thinking=thinking, tokens=_exactly(self.length))
        last = question.turns[-1] if question.turns else Turn("user", "")
        found = last.text if last.role == "tool" else None
        images = sum(turn.images for turn in question.turns)
        text = markdown(question.text, seed=self.seed + question.seed, voice=question.model, images=images, found=found)
        return Answer(text, thinking)


def _limited(answer: Answer, question: Question) -> Reply:
    pieces: Sequence[str] = answer.tokens or tokens_of(answer.text)
    thinking: Sequence[str] = tokens_of(answer.thinking)
    finish: Finish = answer.finish or ("tool_calls" if answer.tool_calls else "stop")
    if question.stop:
        text = "".join(pieces)
        places = [(text.find(word), word) for word in question.stop if word and word in text]
        if places:
            place, word = min(places)
            return Reply(tokens_of(text[:place]), thinking, finish="stop_sequence", stop_sequence=word)
    limit = question.max_tokens
    if limit is not None and limit >= 0 and len(thinking) + len(pieces) > limit:
        return Reply(pieces[: max(limit - len(thinking), 0)], thinking[:limit], finish="length")
    return Reply(pieces, thinking, answer.tool_calls, finish)


def _exactly(count: int) -> tuple[str, ...]:
    return tuple(itertools.islice(itertools.cycle(_NUMBERED), count))


_NUMBERED = tuple(f"word{n} " for n in range(1, 101))


def _tool_to_call(question: Question) -> Tool | None:
    if not question.tools or question.tool_choice == "none" or question.turns[-1].role == "tool":
        return None
    named = next((tool for tool in question.tools if tool.name == question.tool_choice), None)
    if named is not None:
        return named
    said = set(_WORD.findall(question.text.lower()))
    for tool in question.tools:
        words = set(re.split(r"[_\W]+|(?<=[a-z])(?=[A-Z])", tool.name)) - {"get", "set", "the", "do", "run", ""}
        if said & {word.lower() for word in words}:
            return tool
    return question.tools[0] if question.tool_choice == "required" else None


def _argument(name: str, question: str) -> str:
    """A text argument: the last name in the question ("the weather in Paris?"), else the word for the thing itself."""
    names = re.findall(r"(?<!^)(?<![.!?] )\b[A-Z]\w+\b", question)
    return names[-1] if names else name or "text"
