"""The app as a person uses it, in a real tmux: keys, pastes and the mouse go in, and the screen is read."""

from __future__ import annotations

import base64
import re
import sys
from pathlib import Path

from benchmarks.pty_drive import PtyProgram
from console.paths import find_paths
from providers.simulated.services import FaultKind, SimulatedOllama
from tests.console.library_kit import ROPES
from tests.flows.kit import COMMAND, Hawser, Services, endpoint
from tests.flows.test_documents_worker import BY_WORDS, leave
from tests.tmux_kit import Tmux

READY = "^J New line"
ON_A_MESSAGE = "Tab Write"
CODE = "Use this:\n\n```sh\necho one two\n```\n"


def app(user: Hawser, *, size: tuple[int, int] = (100, 30)) -> Tmux:
    return Tmux(COMMAND, {**user.env, "HOME": str(user.home)}, size=size)


def ask(tmux: Tmux, words: str) -> None:
    """Have some words said after us, and wait for the whole answer."""
    tmux.type(f"echo {words}")
    tmux.keys("Enter")
    tmux.until(lambda: is_answered(tmux, words), f"the answer {words!r}")


def is_answered(tmux: Tmux, words: str) -> bool:
    """Whether an answer and the figures under it are there."""
    lines = tmux.lines()
    places = [number for number, line in enumerate(lines) if line.endswith((f"  {words}", f"▌ {words}"))]
    return any(" → " in line for place in places for line in lines[place + 1 : place + 2])


def test_a_talk(hawser: Hawser, ollama: SimulatedOllama, services: Services) -> None:
    with app(hawser) as tmux:
        tmux.until_shows(READY)
        ask(tmux, "the first answer")

        # an answer is stopped, at the other side too, and what came of it stays
        ollama.faults.once(FaultKind.STALL, 4)
        tmux.type("echo one two three four five six")
        tmux.keys("Enter")
        tmux.until_shows("  one two three four")
        tmux.keys("Escape")
        services.until_idle(ollama)
        tmux.until_shows("Stopped", "c goes on")
        assert "five" not in tmux.line_of("  one two three four")

        # a question is written anew, and both ways stay
        tmux.keys("M-Up")
        tmux.type("e")
        tmux.until_shows("Enter asks it in these words")
        tmux.keys("C-u")
        ask(tmux, "a better answer")
        assert "‹2/2›" in tmux.screen()
        tmux.keys("M-Up")
        tmux.type("[")
        tmux.until_shows("‹1/2›", "Stopped")
        tmux.type("]")
        tmux.until(lambda: is_answered(tmux, "a better answer") and "‹2/2›" in tmux.screen(), "the other branch")

        # found in this chat, and in all of them
        tmux.type("/better")
        tmux.keys("Enter")
        tmux.until_shows("1 of 2 · n N")
        tmux.type("n")
        tmux.until_shows("2 of 2")
        tmux.keys("Escape")
        tmux.until_gone("2 of 2")
        tmux.keys("C-n")
        tmux.until_gone("a better answer")
        tmux.keys("C-f")
        tmux.type("six")
        tmux.until_shows("Search in all chats", "1 place")
        tmux.keys("Enter")
        tmux.until_shows("‹1/2›", "echo one two three four five six", "Stopped")

        tmux.keys("F9")
        tmux.type("Counting")
        tmux.keys("Enter")
        tmux.until(lambda: tmux.screen().count("Counting") == 2, "the name in the list and over the chat")

        # leaving asks while an answer comes
        ollama.faults.once(FaultKind.STALL, 1)
        tmux.type("echo last words")
        tmux.keys("Enter")
        tmux.until_shows("  last")
        tmux.keys("C-q")
        tmux.until_shows("Leave Hawser?", "An answer is still coming.")
        tmux.keys("Escape")
        tmux.until_gone("Leave Hawser?")
        tmux.keys("C-q")
        tmux.until_shows("Leave Hawser?")
        tmux.type("l")

        assert tmux.ended() == 0
        services.until_idle(ollama)
        assert tmux.value("alternate_on") == "0"
    assert [(message.text, message.state) for message in hawser.messages() if message.role == "assistant"] == [
        ("the first answer", "complete"),
        ("one two three four", "stopped"),
        ("a better answer", "complete"),
        ("last", "stopped"),
    ]


def test_writing(hawser: Hawser, ollama: SimulatedOllama, tmp_path: Path) -> None:
    ollama.answers.script("snippet", CODE)
    dropped = tmp_path / "the plan (1).txt"
    dropped.write_text("Buy bread.\n")
    with app(hawser) as tmux:
        tmux.until_shows(READY)

        # lines are written and pasted, and nothing is sent before it is meant to be
        tmux.type("say 3 tokens")
        tmux.keys("C-j")
        tmux.type("and no more")
        tmux.until_shows("│ say 3 tokens", "│ and no more")
        tmux.keys("C-j")
        tmux.paste("pasted line one\npasted line two\n")
        tmux.until_shows("│ pasted line one", "│ pasted line two")
        tmux.paste("".join(f"line {number} of many\n" for number in range(1, 41)))
        tmux.until_shows("pasted 40 lines")
        assert ollama.requests_to("/api/chat") == []
        tmux.keys("Enter")
        tmux.until_shows(" → 3 tokens")
        (asked,) = ollama.requests_to("/api/chat")
        text = asked.json["messages"][-1]["content"]
        assert text.startswith("say 3 tokens\nand no more\npasted line one\npasted line two\n")
        assert "line 1 of many\nline 2 of many\n" in text
        assert "line 40 of many" in text

        # a file that is dropped on the window
        tmux.paste(f"'{dropped}' ")
        tmux.until_shows("the plan (1).txt", "ttach")
        tmux.keys("Enter")
        tmux.type("what is to be done, as a snippet?")
        tmux.keys("Enter")
        tmux.until_shows("echo one two")
        assert "Buy bread." in str(ollama.requests_to("/api/chat")[-1].json)

        # copying
        tmux.keys("M-Up")
        tmux.until_shows(ON_A_MESSAGE)
        tmux.type("y")
        tmux.until_shows("Copied", "by tmux")
        assert tmux.buffer().rstrip("\n") == CODE.rstrip("\n")
        tmux.type("1")
        tmux.until(lambda: tmux.buffer() == "echo one two", "the code in the buffer")

        # the rooms, by either kind of key
        for key, room in (("F8", "Logs"), ("M-1", "Chat"), ("M-2", "Machines"), ("F2", "Chat"), ("M-7", "Logs")):
            tmux.keys(key)
            tmux.until(lambda room=room: f"hawser {room}" in tmux.lines()[0], room)  # type: ignore[misc]
        tmux.keys("C-q")
        assert tmux.ended() == 0


def test_narrow_pane_and_other_sizes(hawser: Hawser, ollama: SimulatedOllama) -> None:
    words = " ".join(f"word{number}" for number in range(60))
    with app(hawser, size=(60, 20)) as tmux:
        tmux.until_shows("Enter Send")
        tmux.type(f"echo {words}")
        tmux.keys("Enter")
        tmux.until_shows("65 → 60")
        assert all(len(line) <= 60 for line in tmux.lines())
        assert "word59" in tmux.screen()

        ollama.faults.once(FaultKind.STALL, 2)
        tmux.type("echo still coming")
        tmux.keys("Enter")
        tmux.until_shows("  still coming")
        for columns, rows in ((30, 10), (200, 60), (12, 4), (80, 24), (61, 21), (40, 15)):
            tmux.resize(columns, rows)
        tmux.until_shows("  still coming")
        assert all(len(line) <= 40 for line in tmux.lines())
        tmux.resize(120, 40)
        tmux.until_shows("word0 ", "word59", "  still coming", READY, "Today")
        tmux.keys("Escape")
        tmux.until_shows("Stopped")
        tmux.keys("C-q")
        assert tmux.ended() == 0


def test_suspended_and_brought_back_by_the_shell(hawser: Hawser) -> None:
    shell = ["/bin/sh", "-i"]
    with Tmux(shell, {**hawser.env, "HOME": str(hawser.home), "PS1": "shell> "}, size=(100, 30)) as tmux:
        tmux.until_shows("shell>")
        tmux.type(f"{sys.executable} -c 'from console.cli import entry; entry()'")
        tmux.keys("Enter")
        tmux.until_shows(READY)
        ask(tmux, "before the pause")
        tmux.type("half a quest")

        tmux.keys("C-z")
        tmux.until(lambda: tmux.value("alternate_on") == "0", "the shell's screen")
        tmux.type("echo meanwhile-$((40+2))")
        tmux.keys("Enter")
        tmux.until_shows("meanwhile-42")
        tmux.type("fg")
        tmux.keys("Enter")
        tmux.until_shows("  before the pause", "half a quest", READY)
        tmux.type("ion")
        tmux.until_shows("half a question")

        tmux.keys("C-q")
        tmux.until(lambda: tmux.value("alternate_on") == "0", "the shell's screen")
        tmux.type("echo code-$?")
        tmux.keys("Enter")
        tmux.until_shows("code-0")


def test_mouse_selects_and_the_outer_terminal_gets_it(hawser: Hawser) -> None:
    words = "drag over these words"
    with app(hawser) as tmux:
        tmux.until_shows(READY)
        ask(tmux, words)
        with PtyProgram(tmux.attached(), size=(100, 30), environment={"LANG": "C.UTF-8"}) as outer:
            outer.wait_for(words.encode())
            column, row = tmux.place_of(f"  {words}")
            first, last = column + 2, column + 1 + len(words)
            for code in (f"0;{first};{row}M", f"32;{first + 5};{row}M", f"32;{last};{row}M", f"0;{last};{row}m"):
                outer.send(f"\x1b[<{code}".encode())
            tmux.until(lambda: tmux.buffer() == words, "what was dragged over, in the buffer")
            outer.wait_for(lambda came: words in sent_to_clipboard(came), raw=True)

            # a click into what is written, and the wheel over the messages, do what they do everywhere
            tmux.type("abc")
            tmux.until_shows("│ abc")
            column, row = tmux.place_of("│ abc")
            outer.send(f"\x1b[<0;{column + 2};{row}M\x1b[<0;{column + 2};{row}m".encode())
            outer.send(b"X")
            tmux.until_shows("│ Xabc")
        tmux.keys("C-q")
        assert tmux.ended() == 0


def sent_to_clipboard(output: bytes) -> list[str]:
    found = re.findall(rb"\x1b\]52;[^;]*;([A-Za-z0-9+/=]+)", output)
    return [base64.b64decode(each).decode() for each in found]


def test_a_document_is_asked(hawser: Hawser, ollama: SimulatedOllama, tmp_path: Path) -> None:
    hawser.settings(endpoint("inference", ollama), BY_WORDS, model="inference/llama3.1:8b")
    ollama.answers.queue(
        "A hawser is a thick rope of five inches or more around, laid left [1]. It was woven on the moon [1].",
        "I cannot know that.",
    )
    dropped = tmp_path / "old ropes.md"
    dropped.write_text(ROPES["hawsers.md"])
    try:
        with app(hawser) as tmux:
            tmux.until_shows(READY)
            tmux.paste(f"'{dropped}' ")
            tmux.until_shows("Add to documents")
            tmux.type("d")
            tmux.until_shows("old ropes.md ✕")
            tmux.type("How thick is a hawser?")
            tmux.keys("Enter")
            tmux.until_shows("[1] old ropes.md", "✗ not found there", "not in it: “It was woven on the moon.”")
            sent = ollama.requests_to("/api/chat")[-1].json["messages"][-1]["content"]
            assert "five inches or more around" in sent

            # the source, at its place
            tmux.keys("M-Up")
            tmux.until_shows(ON_A_MESSAGE)
            tmux.type("v")
            tmux.until_shows("[1] not found  old ropes.md", "▌ A hawser is a thick rope", "line 1 of")
            tmux.keys("Escape")
            tmux.until_gone("line 1 of")

            # without it nothing fits, and that stays under the answer
            tmux.type("s")
            tmux.until_shows("Sources", "x puts it away")
            tmux.type("x")
            tmux.until_shows("I cannot know that.", "! Nothing in the documents fits the question")
            assert "five inches" not in str(ollama.requests_to("/api/chat")[-1].json)
            tmux.keys("C-q")
            assert tmux.ended() == 0
    finally:
        leave(find_paths(hawser.env))
    notes = hawser.last_answer().notes
    assert notes["documents"] == ["Nothing in the documents fits the question; it is asked without them."]
