"""Whole-process figures of the headless face, against the floors and peers that the README names.

Every round runs each case once, in turn, so that a busy moment of the machine hits all of them; figures are medians,
and where two cases are compared, medians of what each round found. `llm` runs without its plugins, with a key, a model
of its own and its log in place, as for a user who has settled in; so does `hawser`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.peers.environments import program

ROOT = Path(__file__).parent.parent
HAWSER = Path(sys.executable).with_name("hawser")
LONG = 20_000
OURS_SHORT, OURS_LONG = "hawser --prompt, 20 tokens again", f"hawser --prompt, {LONG} tokens"
THEIRS_SHORT, THEIRS_LONG = "curl -N, 20 tokens", f"curl -N, {LONG} tokens"

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
        environment |= {"LLM_USER_PATH": str(llm), "LLM_LOAD_PLUGINS": ""}
        yield environment


class Run(NamedTuple):
    wall_ms: float
    cpu_ms: float
    peak_mib: float


def once(command: Sequence[str], environment: Mapping[str, str], *, quiet: bool = False) -> Run:
    """One run from exec to exit. What it says on standard error is not shown if `quiet`."""
    begun = time.perf_counter()
    errors = subprocess.DEVNULL if quiet else None
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, cwd="/"
    )
    assert process.stdout is not None
    process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    taken = (time.perf_counter() - begun) * 1000
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{command} failed with {process.returncode}"
    return Run(taken, (usage.ru_utime + usage.ru_stime) * 1000, usage.ru_maxrss / 1024)


def in_turn(cases: Mapping[str, Sequence[str]], environment: Mapping[str, str], rounds: int) -> dict[str, list[Run]]:
    """Every case once to warm up, then once in each round."""
    runs: dict[str, list[Run]] = {name: [] for name in cases}
    for command in cases.values():
        once(command, environment)
    for _ in range(rounds):
        for name, command in cases.items():
            runs[name].append(once(command, environment))
    return runs


def median(runs: Sequence[Run], pick: Callable[[Run], float] = lambda run: run.wall_ms) -> float:
    return statistics.median(map(pick, runs))


def ratio(ours: Sequence[Run], theirs: Sequence[Run]) -> float:
    return statistics.median(a.wall_ms / b.wall_ms for a, b in zip(ours, theirs, strict=True))


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
    assert process.wait() == 0
    assert len(delays) == 200
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
        short = in_turn(small, environment, options.rounds)
        long = in_turn(
            {
                THEIRS_SHORT: curl(port, 20),
                THEIRS_LONG: curl(port, LONG),
                OURS_SHORT: [hawser, "-p", "hi"],
                OURS_LONG: [hawser, "-p", "hi", "-m", f"here/tokens-{LONG}"],
            },
            environment,
            options.rounds,
        )
        delays = sorted(pipe_delays_ms(environment))
    report(short, long, delays, as_json=options.json)


def per_token_us(long: Mapping[str, Sequence[Run]], pick: Callable[[Run], float], *, over_curl: bool) -> float:
    """What a token more takes, from the same round's long and short answer, so that starting up cancels out."""
    rounds = zip(*(map(pick, long[name]) for name in (OURS_LONG, OURS_SHORT, THEIRS_LONG, THEIRS_SHORT)), strict=True)
    added = [(ours - start) - (theirs - begin if over_curl else 0) for ours, start, theirs, begin in rounds]
    return float(statistics.median(added)) * 1000 / (LONG - 20)


def report(
    short: Mapping[str, Sequence[Run]],
    long: Mapping[str, Sequence[Run]],
    delays: Sequence[float],
    *,
    as_json: bool,
) -> None:
    prompt = short["hawser --prompt, 20 tokens"]
    figures = {
        "--version / python -c pass": (ratio(short["hawser --version"], short["python -c pass"]), 3),
        "--help / python -c pass": (ratio(short["hawser --help"], short["python -c pass"]), 6),
        "--prompt / bare http.client": (ratio(prompt, short["bare http.client with TLS context"]), 2),
        "--prompt / llm": (ratio(prompt, short["llm, 20 tokens"]), 0.25),
        "--prompt peak MiB": (median(prompt, lambda run: run.peak_mib), 45),
        "µs added per token over curl -N": (per_token_us(long, lambda run: run.wall_ms, over_curl=True), 30),
        "µs of CPU per token": (per_token_us(long, lambda run: run.cpu_ms, over_curl=False), 30),
        "ms from arrival to pipe, median": (statistics.median(delays), 5),
        "ms from arrival to pipe, 99 %": (delays[int(len(delays) * 0.99) - 1], 5),
    }
    # A process inherits the peak of the one that started it: below our own peak nothing can be seen.
    floor_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cases = {
        name: {"ms": median(runs), "cpu_ms": median(runs, lambda run: run.cpu_ms), "peak_mib": peak}
        for name, runs in {**short, **long}.items()
        for peak in [median(runs, lambda run: run.peak_mib)]
    }
    if as_json:
        print(json.dumps({"cases": cases, "peak_mib_seen_from": floor_mib, "figures": figures}, indent=2))
        return
    for name, case in cases.items():
        peak = f"{case['peak_mib']:8.1f} MiB" if case["peak_mib"] > floor_mib else f"< {floor_mib:6.1f} MiB"
        print(f"{name:36} {case['ms']:9.1f} ms {case['cpu_ms']:9.1f} ms CPU {peak}")
    print()
    for name, (figure, most) in figures.items():
        print(f"{name:36} {figure:9.2f}    at most {most:g}   {'ok' if figure <= most else 'MISSED'}")


if __name__ == "__main__":
    main()
