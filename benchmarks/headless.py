"""Whole-process figures of the headless face, against the floors and peers that the README names.

Every round runs each case once, in turn, so that a busy moment of the machine hits all of them; figures are medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.peers.environments import program

ROOT = Path(__file__).parent.parent
HAWSER = Path(sys.executable).with_name("hawser")

BARE = """
import http.client, json, ssl, sys
ssl.create_default_context()
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
body = json.dumps({"model": "tokens-20", "stream": True, "messages": [{"role": "user", "content": "hi"}]})
connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
for line in connection.getresponse():
    if line.startswith(b"data: {"):
        sys.stdout.write(json.loads(line[6:])["choices"][0]["delta"].get("content", ""))
"""


@contextmanager
def standin() -> Iterator[int]:
    server = subprocess.Popen([sys.executable, "-m", "benchmarks.standin"], stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert server.stdout is not None
        yield int(server.stdout.readline())
    finally:
        server.terminate()
        server.wait()


@contextmanager
def settled_home(port: int) -> Iterator[dict[str, str]]:
    """The environment of a user who has one endpoint and a store that exists already."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {"PATH": os.environ["PATH"], "HOME": folder, "HAWSER_HOME": folder, "LANG": "C.UTF-8"}
        config = Path(folder) / "config"
        config.mkdir()
        (config / "config.toml").write_text(
            f'[chat]\nmodel = "here/tokens-20"\n[endpoints.here]\nwire = "openai"\nbase_url = "http://127.0.0.1:{port}/v1"\n'
        )
        llm = Path(folder) / "llm"
        llm.mkdir()
        (llm / "extra-openai-models.yaml").write_text(
            "- model_id: standin\n  model_name: tokens-20\n  api_key_name: standin\n"
            f"  api_base: http://127.0.0.1:{port}/v1\n"
        )
        (llm / "keys.json").write_text('{"standin": "none"}')
        environment["LLM_USER_PATH"] = str(llm)
        yield environment


def once(command: Sequence[str], environment: Mapping[str, str]) -> tuple[float, int]:
    """Milliseconds from exec to exit, and the peak memory in KiB."""
    begun = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd="/")
    assert process.stdout is not None
    process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    taken = (time.perf_counter() - begun) * 1000
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{command} failed with {process.returncode}"
    return taken, usage.ru_maxrss


def medians(
    cases: Mapping[str, Sequence[str]], environment: Mapping[str, str], rounds: int
) -> dict[str, tuple[float, float]]:
    runs: dict[str, list[tuple[float, int]]] = {name: [] for name in cases}
    for command in cases.values():
        once(command, environment)
    for _ in range(rounds):
        for name, command in cases.items():
            runs[name].append(once(command, environment))
    return {
        name: (statistics.median(ms for ms, _ in each), statistics.median(kib for _, kib in each) / 1024)
        for name, each in runs.items()
    }


def pipe_delays_ms(environment: Mapping[str, str]) -> list[float]:
    """For each token, from the moment the server sent it to the moment the pipe's reader had it."""
    process = subprocess.Popen(
        [HAWSER, "-p", "time", "-m", "here/clock-200"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    delays = []
    while line := process.stdout.readline():
        delays.append((time.monotonic_ns() - int(line)) / 1e6)
    process.wait()
    return delays


def curl(port: int, tokens: int) -> list[str]:
    question = {"model": f"tokens-{tokens}", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    return ["curl", "-sN", "-d", json.dumps(question), "-H", "Content-Type: application/json", url]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    hawser = str(HAWSER)
    with standin() as port, settled_home(port) as environment:
        small = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "hawser --version": [hawser, "--version"],
            "hawser --help": [hawser, "--help"],
            "bare http.client with TLS context": [sys.executable, "-c", BARE, str(port)],
            "hawser --prompt, 20 tokens": [hawser, "--prompt", "hi"],
            "llm, 20 tokens": [str(program("clients", "llm")), "-m", "standin", "hi"],
        }
        found = medians(small, environment, options.rounds)
        long = medians(
            {
                **{f"curl -N, {count} tokens": curl(port, count) for count in (20, 20_000)},
                "hawser --prompt, 20000 tokens": [hawser, "-p", "hi", "-m", "here/tokens-20000"],
            },
            environment,
            max(options.rounds // 2, 5),
        )
        delays = sorted(pipe_delays_ms(environment))
    report(found, long, delays, print if not options.json else None)


def report(
    found: Mapping[str, tuple[float, float]],
    long: Mapping[str, tuple[float, float]],
    delays: Sequence[float],
    write: Callable[[str], None] | None,
) -> None:
    floor, bare = found["python -c pass"][0], found["bare http.client with TLS context"][0]
    prompt, memory = found["hawser --prompt, 20 tokens"]
    theirs = long["curl -N, 20000 tokens"][0] - long["curl -N, 20 tokens"][0]
    ours = long["hawser --prompt, 20000 tokens"][0] - prompt
    figures = {
        "--version / python -c pass": (found["hawser --version"][0] / floor, 3),
        "--help / python -c pass": (found["hawser --help"][0] / floor, 6),
        "--prompt / bare http.client": (prompt / bare, 2),
        "--prompt / llm": (prompt / found["llm, 20 tokens"][0], 0.25),
        "--prompt peak MB": (memory, 45),
        "µs added per token over curl -N": ((ours - theirs) * 1000 / 19_980, 30),
        "ms from arrival to pipe, median": (statistics.median(delays), 5),
        "ms from arrival to pipe, 99 %": (delays[int(len(delays) * 0.99) - 1], 5),
    }
    if write is None:
        print(json.dumps({"medians_ms": {**found, **long}, "figures": figures}, indent=2))
        return
    for name, (ms, mib) in {**found, **long}.items():
        write(f"{name:36} {ms:9.1f} ms {mib:8.1f} MiB")
    write("")
    for name, (figure, most) in figures.items():
        write(f"{name:36} {figure:9.2f}    at most {most:g}   {'ok' if figure <= most else 'MISSED'}")


if __name__ == "__main__":
    main()
