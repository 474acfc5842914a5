"""Real OpenSSH on loopback for the tests of links: a server with keys of its own, keys, certificates, an agent.

    with OpenSshServer(tmp_path / "sshd") as server:
        config = server.config("lab", IdentityFile=server.key_file)

A missing `sshd` or `ssh` is a failure with words, not a skip: `.ci/run` installs them.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self

import asyncssh

from console.links.credentials import Ask
from console.links.identity import Target
from console.links.questions import Challenge
from console.paths import Paths, find_paths
from console.settings import Settings, settings_from
from providers.simulated.machine import SimulatedMachine

PATIENCE_S = 30.0


def program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    assert found is not None, f"{name} is not installed; the package is openssh-server or openssh-client"
    return found


def make_key(file: Path, *, passphrase: str = "", kind: str = "ed25519") -> Path:
    words = [program("ssh-keygen"), "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", str(file)]
    subprocess.run(words, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    return file


def sign_key(authority: Path, key: Path, *principals: str, host: bool = False) -> Path:
    """A certificate for a key; it lies beside it as OpenSSH names it."""
    words = [program("ssh-keygen"), "-q", "-s", str(authority), "-I", "test", *(["-h"] if host else [])]
    names = ["-n", ",".join(principals)] if principals else []
    subprocess.run([*words, *names, f"{key}.pub"], check=True, capture_output=True)
    return key.with_name(f"{key.name}-cert.pub")


def public_line(file: Path) -> str:
    kind, encoded, *_ = Path(f"{file}.pub").read_text().split()
    return f"{kind} {encoded}"


def fingerprint_by_openssh(key: str, folder: Path) -> str:
    file = folder / "one.pub"
    file.write_text(key + "\n")
    done = subprocess.run([program("ssh-keygen"), "-lf", str(file)], check=True, capture_output=True, text=True)
    return done.stdout.split()[1]


class OpenSshServer:
    """A real sshd for this user, on a port of loopback that is free."""

    def __init__(self, folder: Path, *lines: str, with_host_certificate: bool = False) -> None:
        self.folder = folder
        self.port = 0
        self.user = pwd.getpwuid(os.getuid()).pw_name
        folder.mkdir(parents=True)
        self.host_key_file = make_key(folder / "host_key")
        self.key_file = make_key(folder / "login_key")
        self.authorized = folder / "authorized_keys"
        self.authorized.write_text(public_line(self.key_file) + "\n")
        self.authorized.chmod(0o600)
        self._lines = [
            f"HostKey {self.host_key_file}",
            f"AuthorizedKeysFile {self.authorized}",
            "PidFile none",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            *lines,
        ]
        if with_host_certificate:
            authority = make_key(folder / "host_authority")
            self._lines.append(f"HostCertificate {sign_key(authority, self.host_key_file, '127.0.0.1', host=True)}")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def host_key(self) -> str:
        return public_line(self.host_key_file)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def authorise(self, key: Path) -> None:
        with self.authorized.open("a") as file:
            file.write(public_line(key) + "\n")

    def __enter__(self) -> Self:
        sshd = program("sshd")
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it gives up root's rights
        for _ in range(10):
            with socket.create_server(("127.0.0.1", 0)) as asked:
                self.port = asked.getsockname()[1]
            (self.folder / "config").write_text(
                "\n".join([f"ListenAddress 127.0.0.1:{self.port}", *self._lines]) + "\n"
            )
            with (self.folder / "log").open("w") as log:
                self._process = subprocess.Popen(
                    [sshd, "-D", "-e", "-f", str(self.folder / "config")],
                    stdin=subprocess.DEVNULL,
                    stderr=log,
                    start_new_session=True,
                )
            if self._is_up():
                return self
        raise AssertionError(f"sshd did not start: {self.log}")

    def _is_up(self) -> bool:
        """Whether it listens; false when another program took the port in between."""
        assert self._process is not None
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if "Server listening" in self.log:
                return True
            try:
                self._process.wait(0.01)
            except subprocess.TimeoutExpired:
                continue
            assert "Address already in use" in self.log, f"sshd ended: {self.log}"
            return False
        raise AssertionError(f"sshd does not listen: {self.log}")

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait(PATIENCE_S)

    def host(self, alias: str, *lines: str) -> str:
        """A block of an SSH configuration that leads here."""
        return block(alias, self.port, self.user, *lines)


def block(alias: str, port: int, user: str, *lines: str) -> str:
    return "\n  ".join([f"Host {alias}", "HostName 127.0.0.1", f"Port {port}", f"User {user}", *lines]) + "\n"


def machine_block(alias: str, machine: SimulatedMachine, *lines: str) -> str:
    return block(alias, machine.port, machine.user, f"IdentityFile {machine.key_file}", *lines)


@contextmanager
def agent_with(folder: Path, *keys: Path) -> Iterator[str]:
    """A private ssh-agent that holds these keys; its socket."""
    folder.mkdir(exist_ok=True)
    path = str(folder / "agent")
    process = subprocess.Popen([program("ssh-agent"), "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE_S
        add = [program("ssh-add"), "-q", *(str(key) for key in keys)]
        environment = {**os.environ, "SSH_AUTH_SOCK": path}
        while subprocess.run(add, env=environment, capture_output=True, stdin=subprocess.DEVNULL).returncode:
            assert time.monotonic() < deadline, "the agent does not answer"
            assert process.poll() is None, "the agent ended"
        yield path
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@asynccontextmanager
async def serving(
    factory: Callable[[], asyncssh.SSHServer] = asyncssh.SSHServer, **options: Any
) -> AsyncIterator[tuple[int, asyncssh.SSHKey]]:
    """A server of asyncssh; its port and its key. asyncssh ends the listening, and leaves those who came to their own
    end, for which nobody would wait: here they are ended too."""
    came: list[asyncssh.SSHServerConnection] = []

    def made() -> asyncssh.SSHServer:
        server = factory()
        tell = server.connection_made

        def connection_made(conn: asyncssh.SSHServerConnection) -> None:
            came.append(conn)
            tell(conn)

        server.connection_made = connection_made  # type: ignore[method-assign]
        return server

    key = asyncssh.generate_private_key("ssh-ed25519")
    listener = await asyncssh.listen("127.0.0.1", 0, server_factory=made, server_host_keys=[key], **options)
    try:
        yield listener.get_port(), key
    finally:
        listener.close()
        for connection in came:
            connection.abort()
        await asyncio.gather(*(connection.wait_closed() for connection in came), listener.wait_closed())


class ScriptedAsk(Ask):
    """Answers from a script, and remembers what it was asked."""

    def __init__(
        self, *passphrases: str | None, accepts: bool = True, answers: Sequence[Sequence[str] | None] | None = None
    ) -> None:
        """Without `answers` there is nobody who could answer a login."""
        self._passphrases = list(passphrases)
        self._accepts = accepts
        self._answers = None if answers is None else list(answers)
        self.challenges: list[Challenge] = []
        self.files: list[str] = []
        self.met: list[tuple[str, str]] = []

    async def passphrase(self, file: str) -> str | None:
        self.files.append(file)
        return self._passphrases.pop(0) if self._passphrases else None

    async def accept_host_key(self, target: Target, fingerprint: str) -> bool:
        self.met.append((target.name, fingerprint))
        return self._accepts

    def can_answer(self) -> bool:
        return self._answers is not None

    async def answers(self, target: Target, challenge: Challenge) -> Sequence[str] | None:
        self.challenges.append(challenge)
        return self._answers.pop(0) if self._answers else None


def paths_in(folder: Path) -> Paths:
    return find_paths({"HAWSER_HOME": str(folder / "hawser")})


def settings_of(paths: Paths, written: str = "") -> Settings:
    return settings_from(written, paths, {}, discover=False)


ISOLATED = {"HAWSER_ISOLATED": "1", "PATH": os.environ.get("PATH", "/usr/bin:/bin")}
"""The environment of a user without an SSH configuration, keys or agent."""
