"""A real OpenSSH server for tests: on a free loopback port, with a host key, a login key and a home of its own.

    with Sshd(folder) as sshd:
        connection = await sshd.connect()

It is ended with everything that runs in it. Where no `sshd` is installed, `SSHD` is None; the same promises are then
shown with the simulated machine only.
"""

from __future__ import annotations

import getpass
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import asyncssh

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/local/sbin")
PATIENCE_S = 30.0

_SFTP_SERVERS = (
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/libexec/sftp-server",
    "/usr/lib/ssh/sftp-server",
)


class Sshd:
    """One server. `port` stays the same over `stop` and `start`."""

    def __init__(self, folder: Path, *, options: Sequence[str] = ()) -> None:
        import asyncssh

        assert SSHD is not None
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.host = "127.0.0.1"
        self.port = free_port()
        self.user = getpass.getuser()
        self.home = folder / "home"
        self.home.mkdir(exist_ok=True)
        self.log = folder / "sshd.log"
        self.key_file = folder / "login_key"
        login = asyncssh.generate_private_key("ssh-ed25519", comment="login")
        login.write_private_key(self.key_file)
        login.write_public_key(folder / "authorized_keys")
        self.key_file.chmod(0o600)
        self._options = tuple(options)
        self._process: subprocess.Popen[bytes] | None = None
        self.host_key = ""
        """The public line of the host key: type and base64."""
        self.new_host_key()

    def new_host_key(self) -> None:
        """From the next `start` on it shows another key."""
        import asyncssh

        key = asyncssh.generate_private_key("ssh-ed25519")
        file = self.folder / "host_key"
        file.unlink(missing_ok=True)
        key.write_private_key(file)
        file.chmod(0o600)
        self.host_key = " ".join(key.export_public_key().decode().split()[:2])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        assert self._process is None
        sftp = next((path for path in _SFTP_SERVERS if Path(path).exists()), "internal-sftp")
        lines = [
            *self._options,
            f"Port {self.port}",
            f"ListenAddress {self.host}",
            f"HostKey {self.folder / 'host_key'}",
            f"AuthorizedKeysFile {self.folder / 'authorized_keys'}",
            f"SetEnv HOME={self.home}",
            f"PidFile {self.folder / 'sshd.pid'}",
            f"Subsystem sftp {sftp}",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            "MaxStartups 100",
            "PrintMotd no",
        ]
        config = self.folder / "sshd_config"
        config.write_text("\n".join(lines) + "\n")
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd locks itself in before a login
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(SSHD), "-D", "-e", "-f", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE_S
        try:
            while not self._answers():
                assert self._process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, self.log.read_text()
        except BaseException:
            self.stop()  # nobody else would: what failed to start is not left by `__exit__`
            raise

    def _answers(self) -> bool:
        """A banner has come: it listens and serves. The read waits, so that this is no busy loop while it starts."""
        with socket.socket() as probe:
            probe.settimeout(1)
            try:
                probe.connect((self.host, self.port))
                return probe.recv(4) == b"SSH-"
            except OSError:
                assert self._process is not None
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(0.05)
                return False

    def stop(self) -> None:
        """End it and every session in it, at once and without a word to the clients."""
        process, self._process = self._process, None
        if process is None:
            return
        family = [process.pid, *descendants(process.pid)]
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(PATIENCE_S)

    def cut(self) -> None:
        """End the sessions that there are; the server goes on and takes new ones."""
        assert self._process is not None
        for pid in children(self._process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def connect(self, **options: Any) -> asyncssh.SSHClientConnection:
        """A plain connection with the right key and the right host key."""
        import asyncssh

        return await asyncssh.connect(
            self.host,
            self.port,
            username=self.user,
            client_keys=[str(self.key_file)],
            known_hosts=([asyncssh.import_public_key(self.host_key)], [], []),
            config=None,
            agent_path=None,
            connect_timeout=PATIENCE_S,
            **options,
        )


def free_port() -> int:
    """A port that nobody has, and that the system gives to nobody who asks for any: it stays free for a while."""
    while True:
        port = random.randint(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def children(pid: int) -> list[int]:
    """The processes that a process has started; told by `ps` where there is no /proc."""
    if Path("/proc/self/stat").exists():
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                if stat.read_text(errors="replace").rpartition(")")[2].split()[1] == str(pid):
                    found.append(int(stat.parent.name))
        return found
    listing = subprocess.run(["/bin/ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return [int(child) for child, parent in (line.split() for line in listing.splitlines()) if parent == str(pid)]


def descendants(pid: int) -> list[int]:
    found = children(pid)
    return [*found, *(further for child in found for further in descendants(child))]
