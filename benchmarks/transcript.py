"""The transcript by itself: opening long chats and streaming into them, in a terminal of its own. Run by hand:

python -m benchmarks.transcript            every case, one line each
python -m benchmarks.transcript 2000 5000 100      2,000 tokens after 5,000 messages at 100 a second (0 is unlimited)
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

CASES = ((0, 0, 0), (0, 5000, 0), (2000, 0, 100), (5000, 0, 1000), (2000, 5000, 100), (50_000, 0, 0))
ANSWER = (
    "Here is **how** with `code` and [a page](https://example.org).\n\n- one\n- two\n\n```python\nx = 1\n```\n\n" * 4
)
SENTENCE = "the rope that holds a ship to its berth is called a hawser with `code` and **weight** as well"


def tokens(count: int) -> list[str]:
    """Prose with lists and code, the same every time."""
    chance = random.Random(1)
    words = SENTENCE.split()
    made: list[str] = []
    while len(made) < count:
        kind = chance.random()
        if kind < 0.002:
            made += ["\n\n```python\n", *(["x", " =", " 1", "\n"] * 30), "```\n\n"]
        elif kind < 0.012:
            made.append("\n\n- item")
        else:
            made.append(" " + chance.choice(words))
    return made[:count]


def child(count: int, messages: int, rate: int) -> None:
    """Runs in the terminal; the figures go to the file that RESULT names."""
    from textual.app import App, ComposeResult

    from screens.widgets.transcript import Item, Transcript

    items = [
        Item(f"m{number}", "assistant", ANSWER, head="Model · 14:02", foot=(("45 tok/s", "faint"),))
        if number % 2
        else Item(f"m{number}", "user", "A question?", head="You · 14:02")
        for number in range(messages)
    ]
    items.append(Item("live", "assistant", "", state="streaming", head="Model · 14:03"))
    stream = tokens(count)
    figures: dict[str, float] = {}

    class Bench(App[None]):
        def compose(self) -> ComposeResult:
            yield Transcript()

        def on_mount(self) -> None:
            self.query_one(Transcript).focus()
            self.set_timer(0.3, self.begin)

        async def begin(self) -> None:
            transcript = self.query_one(Transcript)
            began = time.perf_counter(), time.process_time()
            transcript.show(items)
            self.call_after_refresh(self.opened, *began)

        async def opened(self, began: float, cpu: float) -> None:
            figures["open_ms"] = (time.perf_counter() - began) * 1e3
            figures["open_cpu_ms"] = (time.process_time() - cpu) * 1e3
            self.run_worker(self.pour())

        async def pour(self) -> None:
            transcript = self.query_one(Transcript)
            cpu, wall, sent = time.process_time(), time.perf_counter(), 0
            while sent < len(stream):
                due = int((time.perf_counter() - wall) * rate) + 1 if rate else sent + 20
                for piece in stream[sent:due]:
                    transcript.grow("live", piece)
                sent = min(due, len(stream))
                await asyncio.sleep(1 / min(rate, 400) if rate else 0)
            assert len(transcript.items[-1].text) == len("".join(stream))
            figures["cpu_s"] = time.process_time() - cpu
            figures["wall_s"] = time.perf_counter() - wall
            figures["rss_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            self.exit()

    Bench().run()
    Path(os.environ["RESULT"]).write_text(json.dumps(figures))


def main() -> None:
    from benchmarks.pty_drive import PtyProgram

    cases = [tuple(map(int, sys.argv[1:4]))] if len(sys.argv) > 3 else CASES
    for count, messages, rate in cases:
        result = Path(f"/tmp/hawser-transcript-{os.getpid()}.json")
        code = "import sys; from benchmarks.transcript import child; child(*map(int, sys.argv[1:]))"
        command = [sys.executable, "-c", code, str(count), str(messages), str(rate)]
        environment = {"RESULT": str(result), "COLORTERM": "truecolor", "TERM": "xterm-256color", "PYTHONPATH": "."}
        try:
            with PtyProgram(command, size=(130, 45), environment=environment) as program:
                program.ended(180)
            figures = json.loads(result.read_text())
        except (subprocess.SubprocessError, OSError) as error:
            print(f"{count} tokens after {messages} messages: {error}")
            continue
        finally:
            result.unlink(missing_ok=True)
        share = figures["cpu_s"] / figures["wall_s"] if count else 0.0
        print(
            f"{count:>6,} tokens at {rate or 'any':>4}/s after {messages:>5,} messages: "
            f"open {figures['open_ms']:4.0f} ms ({figures['open_cpu_ms']:3.0f} of CPU), "
            f"{figures['cpu_s']:5.2f} CPU s, {share:4.0%} of a core, {figures['rss_mib']:4.0f} MiB"
        )


if __name__ == "__main__":
    main()
