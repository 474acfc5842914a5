"""`curl` on a simulated machine: what answers there, what does not, and nothing beyond."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from console.links.remote import run as run_there
from providers.simulated.machine import SimulatedMachine
from providers.simulated.ollama import SimulatedOllama
from tests.conftest import run
from tests.providers.machine_clients import logged_in

if TYPE_CHECKING:
    import asyncssh


@pytest.mark.parametrize(
    ("command", "code", "out", "complaint"),
    [
        ("curl -fsS http://127.0.0.1:11434/", 0, "Ollama is running", ""),
        ("curl -fsS -m 5 -o there.txt http://localhost:11434/ && cat there.txt", 0, "Ollama is running", ""),
        ("curl -fsS http://127.0.0.1:11434/nowhere", 22, "", "returned error: 404"),
        ("curl -sS http://127.0.0.1:8188/", 7, "", "Connection refused"),
        ("curl -s http://127.0.0.1:8188/", 7, "", ""),
        ("curl -fsSL https://example.com/page", 0, "a page", ""),
        ("curl -fsSL https://elsewhere.example/", 6, "", "Could not resolve host: elsewhere.example"),
        ("curl -fsSL -o /no/such/folder/x https://example.com/page", 23, "", "Failure writing output"),
        ("curl https://127.0.0.1:11434/", 2, "", "not in this shell: https on this machine"),
        ("curl a b", 2, "", "one address at a time"),
        ("curl -sS http://127.0.0.1:9000/api/tags -o /dev/null -w '%{http_code}'", 0, "200", ""),
        ("curl -sS -w '%{http_code}' http://127.0.0.1:8188/", 7, "000", "Connection refused"),
        (
            'curl -sS -X DELETE --data-binary \'{"model": "none"}\' -w %{http_code} -o out '
            "http://127.0.0.1:11434/api/delete",
            0,
            "404",
            "",
        ),
        (
            'echo \'{"model": "llama3.1:8b"}\' > body; curl -q -sS -m 5 -K none --data-binary @body http://a/',
            26,
            "",
            "Failed to open none",
        ),
        (
            'echo \'{"model": "llama3.1:8b"}\' > body; echo \'header = "X-A: b"\' > conf; curl -q -sS -K conf '
            "-H 'X-B: c' --data-binary @body -o /dev/null -w %{http_code} http://127.0.0.1:11434/api/show",
            0,
            "200",
            "",
        ),
    ],
)
def test_curl(command: str, code: int, out: str, complaint: str) -> None:
    async def body() -> None:
        async with SimulatedOllama() as ollama, SimulatedMachine("berth") as machine:
            machine.services[11434] = ("127.0.0.1", ollama.port)
            machine.neighbours["127.0.0.1", 9000] = ("127.0.0.1", ollama.port)
            machine.pages["https://example.com/page"] = "a page"
            async with logged_in(machine) as connection:

                async def there() -> asyncssh.SSHClientConnection:
                    return connection

                done = await run_there(there, command, limit_s=20)
        assert (done.ended.exit_code, done.text.strip()) == (code, out)
        assert complaint in done.err.decode()
        assert bool(complaint) == bool(done.err)

    run(body())
