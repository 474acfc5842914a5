from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.chat.classify import classify, split_marker

CODE = (
    "Write a Python function that merges two sorted lists without using sort().",
    'Why does this crash?\n\nTraceback (most recent call last):\n  File "app.py", line 12, in <module>\n'
    "    total = int(row['amount'])\nKeyError: 'amount'",
    "SELECT c.name, COUNT(o.id) FROM customers c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY c.name; "
    "returns zero rows for new customers, what is wrong?",
    "I need a regex that matches an IPv4 address but not 999.1.1.1",
    'for f in *.log; do mv "$f" "${f%.log}.txt"; done   <- how do I make this handle sub-folders?',
    "Refactor this:\n```js\nfunction add(a,b){return a+b}\n```",
    'Exception in thread "main" java.lang.NullPointerException\n\tat com.shop.Cart.total(Cart.java:41)\n'
    "\tat com.shop.Main.main(Main.java:9)",
    "Schreibe mir ein Bash-Skript, das alle Dateien älter als 30 Tage löscht.",
    "git rebase says CONFLICT (content): Merge conflict in src/index.ts, how do I abort and keep my branch?",
    "How do I center a div with CSS grid?",
    "What does `async with` do?",
    "My Dockerfile builds but the container exits with code 137. Why?",
    "Explain the difference between a mutex and a semaphore with an example in Go.",
    "error[E0382]: borrow of moved value: `s`",
    "add type hints to utils/parse_dates.py and write pytest tests for the edge cases",
    "¿Cómo puedo leer un archivo JSON en Node.js y convertirlo en CSV?",
    "def fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\n\nmake it iterative",
    "Convert this curl to Python requests: curl -X POST https://api.example.com/v1/items -H 'Content-Type: "
    'application/json\' -d \'{"name": "x"}\'',
    "useEffect runs twice in React 18 strict mode, is that a bug in my component?",
    '#include <stdio.h>\nint main(void) { printf("%d\\n", 1 << 31); }\nis this undefined behaviour?',
)

GENERAL = (
    "Write an essay of about 800 words on how the printing press changed European politics.",
    "I have to give a toast at my brother's wedding. He met Anna while hiking in Norway. Help me write something warm "
    "and a bit funny, two minutes long.",
    "Explain why the sky turns red at sunset, in terms a twelve-year-old would enjoy.",
    "My python has stopped eating since I moved her terrarium next to the window. What could be the reasons and what "
    "should I change first?",
    "Our class is going on a trip to the mountains next month and the teacher wants us to propose activities. "
    "Suggest a plan for three days.",
    "Compare the advantages and disadvantages of renting and buying a flat in a big city.",
    "Schreibe eine kurze Geschichte über einen Leuchtturmwärter, der das Meer nicht mag.",
    "Summarise the following e-mail for my boss: Dear all, after the meeting on Tuesday we agreed to move the launch "
    "to May, because the supplier in Porto cannot deliver the parts in time. Marta will talk to the press.",
    "What should I consider before adopting a second cat when my first one is old and shy?",
    "Write a poem about a programmer who falls in love with the moon.",
    "Can you explain the philosophical difference between Kant's and Mill's view of lying?",
    "Plan a vegetarian dinner for eight people, one of whom cannot eat gluten, with a shopping list.",
    "I feel stuck in my job: the function of my role was never clear, my manager changes goals each week, and the "
    "team has no process. How would you bring this up in the next talk?",
    "Explique-moi les causes de la Révolution française et leurs conséquences à long terme.",
    "Draft a polite letter to my landlord asking for the heating to be repaired before the winter.",
    "Brainstorm ten names for a small bakery that sells rye bread and cinnamon rolls.",
    "Why did the Roman Republic fall, and could it have been saved?",
    "Give me feedback on this paragraph: The river was silent. It had been silent since the war, and the people of the "
    "village had learned to be silent with it.",
    "请写一篇关于人工智能如何影响教育的文章，大约五百字。",
    "How can I convince my parents to let me study abroad? They worry about the money and about me being alone.",
)

QUICK = (
    "What is the capital of Mongolia?",
    "How many days are there between 3 March and 19 June?",
    'Translate "good night, sleep well" into Portuguese.',
    "17 * 23 + 4",
    "What is 15% of 240?",
    "Who wrote The Master and Margarita?",
    "Convert 72 °F to Celsius",
    "Synonym for 'stubborn'?",
    "Is a tomato a fruit?",
    "When did the Berlin Wall fall?",
    "Wie heißt die Hauptstadt von Australien?",
    "how long does a ball python live",
    "hi",
    "What time is it in Tokyo when it is noon in London?",
    "Define serendipity",
    "¿Cuántos huesos tiene el cuerpo humano?",
    "spell accommodation",
    "thanks!",
    "日本で一番高い山は何ですか？",
    "How tall is Mount Kilimanjaro in feet?",
)

UNSEEN = (
    ("sort a dict by value descending python", "code"),
    ("My SSH key is rejected with 'Permission denied (publickey)'", "code"),
    ("How do I write a Dockerfile for a Node app?", "code"),
    ("Why does my React component re-render twice?", "code"),
    ("Translate this Java method to Kotlin: public int add(int a, int b) { return a + b; }", "code"),
    ("What's a closure in JavaScript?", "code"),
    ('Generate TypeScript types from this JSON: {"id": 1, "name": "a"}', "code"),
    ("npm ERR! code ERESOLVE unable to resolve dependency tree", "code"),
    ("Review my pull request: it adds caching to the user service", "code"),
    ("systemd unit file for a python script that restarts on failure", "code"),
    ("explain this regex: ^(?=.*[A-Z]).{8,}$", "code"),
    ("How can I make this SQL faster? It scans 3 million rows", "code"),
    ("rename all .jpeg files to .jpg in bash", "code"),
    ("Implementiere einen binären Suchbaum in Java", "code"),
    ("segfault when I free the pointer twice", "code"),
    ("Write a short bio for my website; I am a potter from Kyoto", "general"),
    ("Explain the plot of Inception to someone who was asleep", "general"),
    ("What are the ethical problems of cloning?", "general"),
    ("I need a training plan for a half marathon in 12 weeks", "general"),
    ("Give me arguments for and against school uniforms", "general"),
    ("How do bees make honey?", "general"),
    ("Turn these notes into a paragraph: rain, late bus, missed interview, got job anyway", "general"),
    ("My teenage son spends all day in his room. What should I do?", "general"),
    ("Invent a board game about lighthouses", "general"),
    ("How did the Silk Road influence art?", "general"),
    ("Help me choose between a bachelor in physics and one in philosophy", "general"),
    ("Was Napoleon a hero or a tyrant? Discuss.", "general"),
    ("Écris un court poème sur l'automne", "general"),
    ("Give me a summary of the causes of the 2008 financial crisis", "general"),
    ("Suggest five dinner recipes with chickpeas", "general"),
    ("What's the square root of 2025?", "quick"),
    ("Who is Ada Lovelace?", "quick"),
    ("how many grams in an ounce", "quick"),
    ("Is it 'affect' or 'effect' in 'the ___ was huge'?", "quick"),
    ("What is the longest river in Africa?", "quick"),
    ("when does daylight saving time end", "quick"),
    ("hello there", "quick"),
    ("12 / 7", "quick"),
    ("Wann wurde Goethe geboren?", "quick"),
    ("What's the Spanish word for butterfly?", "quick"),
    ("Does Iceland have an army?", "quick"),
    ("plural of octopus", "quick"),
    ("Where was Einstein born?", "quick"),
    ("USD to EUR", "quick"),
    ("¿Qué significa 'ojalá'?", "quick"),
)
"""Written after the rules were done, so that they cannot have been fitted to these."""

LABELLED = [(text, role) for role, texts in (("code", CODE), ("general", GENERAL), ("quick", QUICK)) for text in texts]
IDS = [f"{role}-{at % 20}" for at, (_, role) in enumerate(LABELLED)]


def test_nine_in_ten_labelled_prompts_are_right() -> None:
    wrong = [(text[:60], role, classify(text)) for text, role in LABELLED if classify(text).kind != role]

    assert len(LABELLED) == 60
    assert len(wrong) <= 6, wrong


def test_prompts_that_the_rules_have_not_seen_are_right_as_often() -> None:
    right = sum(classify(text).kind == role for text, role in UNSEEN)

    assert right / len(UNSEEN) >= 0.9


def test_every_kind_is_found_in_most_of_its_prompts() -> None:
    for kind, texts in (("code", CODE), ("general", GENERAL), ("quick", QUICK)):
        assert len(texts) == 20
        assert sum(classify(text).kind == kind for text in texts) >= 17


@pytest.mark.parametrize(("text", "role"), LABELLED, ids=IDS)
def test_every_verdict_has_its_reasons_in_words(text: str, role: str) -> None:
    verdict = classify(text)

    assert verdict.reasons
    assert all(reason[:1].islower() and " " in reason for reason in verdict.reasons)


def test_a_traceback_is_named_as_the_reason() -> None:
    assert "holds a traceback" in classify(CODE[1]).reasons


@pytest.mark.parametrize("kind", ["code", "general", "quick"])
def test_a_marker_wins_over_what_the_prompt_is_about(kind: str) -> None:
    verdict = classify(f"@{kind} What is the capital of Mongolia?")

    assert verdict.kind == kind
    assert verdict.reasons == (f"asks for it with @{kind}",)


@pytest.mark.parametrize(
    ("prompt", "marked", "rest"),
    [
        ("@code fix it", "code", "fix it"),
        ("@quick\nhello", "quick", "hello"),
        ("@code", "code", ""),
        ("@code\n    return 1\n", "code", "    return 1\n"),
        ("@codex fix it", None, "@codex fix it"),
        ("fix it @code", None, "fix it @code"),
        ("@ code", None, "@ code"),
        ("", None, ""),
    ],
)
def test_a_marker_is_split_from_the_prompt(prompt: str, marked: str | None, rest: str) -> None:
    assert split_marker(prompt) == (marked, rest)


def test_a_route_of_the_users_own_is_a_marker_too() -> None:
    assert split_marker("@legal may I?", {"legal": 1}) == ("legal", "may I?")


def test_code_in_the_middle_of_nowhere_does_not_cost_time() -> None:
    short = _seconds(lambda: classify("What is the capital of Mongolia?"))
    huge = "lorem ipsum dolor sit amet " * 400_000

    assert classify(huge).kind == "general"
    assert _seconds(lambda: classify(huge)) < max(200 * short, 0.01)


def test_the_end_of_a_long_prompt_counts() -> None:
    assert classify("lorem ipsum dolor " * 10_000 + "\n```py\nprint(1)\n```").kind == "code"


@given(st.text(max_size=3000))
def test_any_text_has_a_kind(prompt: str) -> None:
    assert classify(prompt).kind in ("code", "general", "quick")


def _seconds(work: Callable[[], object]) -> float:
    """The best of a few runs: the least disturbed one."""
    times = []
    for _ in range(7):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return min(times)
