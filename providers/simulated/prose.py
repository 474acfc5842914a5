"""Markdown that a model could have written: a heading, prose about the question, a list, code and a table.

Made from the question and a seed alone. It holds characters of several bytes, so that streams get split inside them.
"""

from __future__ import annotations

import hashlib
import random
import re

_WORD = re.compile(r"[\w'-]+")
_COMMON = frozenset(
    """
    a about after all also an and any are as at be because been before but by can could did do does each
    explain for from get give good had has have he her here him his how i if in into is it its just let like list
    make many may me might more most much must my need new no not now of on one only or other our out over please
    say she should show so some tell than that the their them then there these they this those to too try up us
    use used using very want was we were what when where which who why will with would write you your
    """.split()  # noqa: SIM905 - a hundred quoted words would help nobody
)

_OPENINGS = (
    "{Topic} comes down to one question: what do you pay for, and when?",
    "The short answer: {topic} is simpler than it looks, once its parts have names.",
    "Think of {topic} as a rope — it holds as long as both ends are made fast.",
    "There are two ways to look at {topic}, and each is right on its own day.",
    "Start with what you can measure. For {topic} that is usually time, memory and money.",
)
_MIDDLES = (
    "In practice {topic} depends on {other}: change that and the other follows within minutes.",
    "Most surprises with {topic} come from a default that nobody chose. Write the value down and the surprise is gone.",
    "A small trial tells more than a long plan. Run it once, write down {other}, note the figures, then decide.",
    "If {topic} feels slow, look at the slowest step first; it is rarely {other}.",
    "Keep an eye on {other}. Every detour costs time, and about 3 µs is still not zero.",
    "It is tempting to tune {topic} at once. Measure first: a naïve guess is wrong more often than not.",
)
_POINTS = (
    "**Name it.** A thing without a name gets changed by accident.",
    "**Measure it.** One figure before, one after, the same load — ≥ 3 runs.",
    "**Limit it.** Every wait has an end, and every cost a ceiling.",
    "**Keep it.** What arrived is stored before anything else happens.",
    "**Stop it.** Whatever was started must be easy to stop, and seen to be stopped.",
    "**Say it.** An error that names the next step saves an evening.",
)
_CLOSINGS = (
    "That is all there is to it. Ask on if one of the steps does not fit your case.",
    "Begin with the first point; the others follow from it.",
    "If you tell me more about {other}, I can be more exact. ✓",
)
_CODE = (
    'def {name}(values: list[float]) -> float:\n    """The mean of what was measured, for {topic}."""\n'
    '    if not values:\n        raise ValueError("nothing was measured")\n    return sum(values) / len(values)',
    "for attempt in range(3):\n    answer = {name}(timeout_s=20)\n    if answer.is_complete:\n        break\n"
    '    print(f"attempt {{attempt + 1}} was cut; trying again")',
    'settings = {{\n    "{name}": True,\n    "limit": 4096,\n    "note": "déjà vu — checked twice",\n}}',
)
_THOUGHTS = (
    "The user asks about {topic}.",
    "First I should be clear about {other}.",
    "A list and a small example will help.",
    "I will keep it short and say what to measure.",
    "Nothing here needs a guess.",
)
_OTHERS = (
    "the size of the batch",
    "the memory that is left",
    "the network in between",
    "how often it is used",
    "the hour of the day",
    "who else is on the machine",
)
_GREETING = re.compile(r"\A\s*(hi|hello|hey|good (morning|evening|day)|thanks|thank you)\b[\s!.,]*\Z", re.IGNORECASE)


def markdown(question: str, *, seed: int, voice: str, images: int = 0, found: str | None = None) -> str:
    """An answer to `question` in the manner of `voice` (a model's name). `found` is what a tool brought back."""
    chance = _chance(question, seed, voice)
    if found is not None:
        return f"According to the tool: {found.strip()}\n\nThat answers the question."
    if _GREETING.match(question) or not question.strip():
        return chance.choice(("Hello! What are we working on?", "Good to see you. What can I do?", "Hello — ready."))
    topic, other = _subjects(question, chance)
    words = {"topic": topic, "Topic": topic[:1].upper() + topic[1:], "other": other, "name": _identifier(topic)}
    parts = [f"## {words['Topic']}", chance.choice(_OPENINGS)]
    if images:
        parts.insert(1, f"I can see {'an image' if images == 1 else f'{images} images'} with the question.")
    parts.append(" ".join(chance.sample(_MIDDLES, 2)))
    parts += ["### What to do", "\n".join(f"- {point}" for point in chance.sample(_POINTS, 3))]
    parts += ["### An example", "```python\n" + chance.choice(_CODE) + "\n```"]
    parts += ["### In figures", _table(chance)]
    parts.append(chance.choice(_CLOSINGS))
    return "\n\n".join(_filled(part, words) for part in parts)


def reflection(question: str, seed: int) -> str:
    """What a thinking model thinks before it answers."""
    chance = _chance(question, seed, "thinking")
    topic, other = _subjects(question, chance)
    return " ".join(thought.format(topic=topic, other=other) for thought in _THOUGHTS)


def _filled(part: str, words: dict[str, str]) -> str:
    return (
        re.sub(r"\{(topic|Topic|other|name)\}", lambda match: words[match[1]], part)
        .replace("{{", "{")
        .replace("}}", "}")
    )


def _chance(question: str, seed: int, voice: str) -> random.Random:
    digest = hashlib.blake2b(f"{seed}\0{voice}\0{question}".encode(errors="replace"), digest_size=8).digest()
    return random.Random(int.from_bytes(digest))  # noqa: S311 - repeatable, not secret


def _subjects(question: str, chance: random.Random) -> tuple[str, str]:
    words = [word for word in _WORD.findall(question) if word.lower() not in _COMMON and len(word) > 2]
    topic = " ".join(words[:3]) or "the matter"
    return topic[:60], chance.choice(_OTHERS)


def _identifier(topic: str) -> str:
    name = re.sub(r"\W+", "_", topic.lower()).strip("_")
    return name if name.isidentifier() else "measured"


def _table(chance: random.Random) -> str:
    rows = [
        f"| {name} | {chance.randint(12, 980)} ms | {chance.randint(1, 48)} GB | ${chance.randint(5, 90) / 100:.2f} |"
        for name in ("before", "after", "goal")
    ]
    return "\n".join(["| run | time | memory | cost |", "|---|---:|---:|---:|", *rows])
