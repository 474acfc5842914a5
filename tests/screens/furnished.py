"""A store with chats worth seeing: what every kind of message looks like, over some weeks."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from console.history.store import Store
from tests.clocks import START, StillClock

NOW = START
MODEL = "llama3.1:8b"
RICH = """\
# Choosing a rope

A **hawser** is *thick*; a line is thin. Ask for `breaking_load` first, and read [the table](https://example.org/ropes).

1. Measure the load.
2. Take a rope that holds three times as much:
   - nylon stretches,
   - polyester does not.

| rope | mm | holds |
|:-----|---:|------:|
| nylon | 12 | 2.9 t |
| polyester | 12 | 2.4 t |

> A rope is as strong as its worst knot.

```python
def holds(load_t: float, rope: Rope) -> bool:
    return rope.breaking_load_t >= 3 * load_t  # with room
```

The safe load is $F = \\frac{B}{3}$, so $B \\ge 3F$.

---
"""
THOUGHT = "They ask about mooring. The load matters more than the price, so begin with that and give a table."
FIGURES: dict[str, Any] = {
    "input_tokens": 1210,
    "output_tokens": 240,
    "first_token_ms": 320.0,
    "total_ms": 5320.0,
    "cost_usd": Decimal(0),
}


def _minute(number: int) -> datetime:
    """Things that are said one after the other have an order only if their times have."""
    return NOW + timedelta(minutes=number - 6)


class Furnisher:
    """Says things in a store, at times of its choice."""

    def __init__(self, store: Store, clock: StillClock) -> None:
        self.store = store
        self.clock = clock

    async def answer(self, turn: Any, text: str, *, at: datetime = NOW, **how: Any) -> None:
        self.clock.at = at
        figures = FIGURES | {"model": MODEL, "endpoint": "inference", "state": "complete", "finish": "stop"} | how
        await self.store.end_answer(turn.answer_id, text=text, **figures)

    async def say(
        self, chat: str | None, parent: str | None, question: str, text: str, *, at: datetime = NOW, **how: Any
    ) -> Any:
        self.clock.at = at
        title = question.rstrip("?.")
        turn = await self.store.begin_turn(chat, parent, question, client="test", title=title)
        await self.answer(turn, text, at=at, **how)
        return turn


async def furnish(store: Store, clock: StillClock) -> None:
    """Several chats; the one that was used last has every kind of message, the newest at its end."""
    they = Furnisher(store, clock)
    for number, (question, days) in enumerate(
        [
            ("Translate the mooring plan", 64),
            ("What does a night of an A100 cost?", 23),
            ("Why is the tunnel slow?", 4),
            ("A regular expression for part numbers", 1),
            ("Plan the week", 0),
        ]
    ):
        at = NOW - timedelta(days=days, hours=1, minutes=number)
        turn = await they.say(None, None, question, "Look at the slowest part first.", at=at)
        if number in (1, 2):
            await store.tag_chat(turn.chat_id, ["money", "gpu"][:number])
        if number == 3:
            await store.pin_chat(turn.chat_id, True)
    question = "Which rope for a boat of 8 tons?"
    first = await they.say(None, None, question, RICH, at=_minute(1), thinking=THOUGHT)
    await store.set_model(first.chat_id, f"inference/{MODEL}")
    await two_answers(they, first)
    clock.at = NOW


async def two_answers(they: Furnisher, first: Any) -> None:
    """The rest of that chat: an excluded turn, a stopped answer beside others, a failed one."""
    chat = first.chat_id
    second = await they.say(chat, first.answer_id, "And in inches?", "About half an inch.", at=_minute(2))
    await they.store.exclude([second.question_id, second.answer_id], True)
    third = await they.say(
        chat, second.answer_id, "What about a chain?", "It does not give.", at=_minute(3), cost_usd=None
    )
    they.clock.at = _minute(4)  # the newest answer is the one that is shown
    again = await they.store.answer_again(chat, third.question_id)
    await they.store.end_answer(
        again.answers[0].id, state="stopped", text="A chain is heavy, and", model="gpt-4.1", endpoint="openai",
        output_tokens=6, input_tokens=1300, estimated=True, first_token_ms=400.0, total_ms=900.0,
        cost_usd=Decimal("0.0026"),
    )  # fmt: skip
    await they.say(
        chat, again.answers[0].id, "Say it shorter", "", at=_minute(5), state="failed", finish=None, output_tokens=None,
        error="inference did not answer for 60 s.",
        notes={"hint": "Look whether its machine runs: hawser vm ls",
               "tried": [{"endpoint": "workstation", "model": MODEL, "outcome": "failed", "error": "refused"}]},
    )  # fmt: skip
