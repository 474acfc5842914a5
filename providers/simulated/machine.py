"""A simulated machine: a real SSH server on loopback, with its own host key and one login key made for this run.

    async with SimulatedMachine("berth", services={11434: ("127.0.0.1", ollama.port)}) as machine:
        ...  # ssh -i machine.key_file -p machine.port root@127.0.0.1
        await machine.freeze()  # falls silent; `thaw`, `drop`, `refuse`, `move` … are the other ways to go wrong

What a client runs there is a small shell of our own over a private folder (`shell/`); with `real_shell` it is /bin/sh
in that folder. Loads asyncssh, so import it inside a function and only when a machine is wanted.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import asyncssh

from providers.simulated.doors import Door
from providers.simulated.machine_faults import MachineFault, misbehave
from providers.simulated.machine_server import Server
from providers.simulated.machine_sessions import Sessions
from providers.simulated.pace import Clock, RealClock
from providers.simulated.relay import Conditions, Flow
from providers.simulated.shell import PROGRAMS
from providers.simulated.watch import Watch

if TYPE_CHECKING:
    from asyncssh.channel import SSHChannel

    from providers.simulated.shell.programs import Program

_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes256-ctr")


class SimulatedMachine:
    """One machine. It starts in milliseconds; several live side by side in one process."""

    def __init__(
        self,
        name: str = "berth",
        *,
        user: str = "root",
        services: Mapping[int, tuple[str, int]] | None = None,
        gpus: Sequence[str] = ("NVIDIA GeForce RTX 4090",),
        seed: int = 0,
        real_shell: bool = False,
        host_key: str = "ssh-ed25519",
        port: int = 0,
        faults: Iterable[MachineFault] = (),
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.user = user
        self.services = dict(services or {})
        """What answers on the machine's own loopback, by port; the rest is refused."""
        self.programs: dict[str, Program] = dict(PROGRAMS)
        """What the built-in shell can run."""
        self.pages: dict[str, str] = {}
        """What it can fetch from elsewhere, by address."""
        self.neighbours: dict[tuple[str, int], tuple[str, int]] = {}
        """What the machine reaches elsewhere, as a jump host does."""
        self.gpus = tuple(gpus)
        self.seed = seed
        self.real_shell = real_shell
        self.clock: Clock = clock or RealClock()
        self.watch = Watch()
        self.conditions = Conditions()
        """Latency and bandwidth of the way to the machine."""

        self.login_rejected = False
        self.forwarding_forbidden = False
        self.second_factor: str | None = None
        """A code that it asks for after a key, by keyboard-interactive."""
        self.password: str | None = None
        """What lets in without a key."""
        self.codes_asked = 0
        """How often it asked for the code."""
        self.login_delay_s = 0.0
        self.banner_delay_s = 0.0
        self.garbage: bytes | None = None
        """What it says in place of SSH to everybody who connects."""
        self.max_sessions: int | None = 10
        """Sessions on one connection, as OpenSSH has it; forwards do not count."""
        self.max_handshakes: int | None = None
        """Connections that are not logged in; further ones are closed at once."""

        self.accepted = 0
        """Connections so far; the counts below go the same way."""
        self.logins = 0
        self.sessions = 0
        """Open at this moment."""
        self.sessions_opened = 0
        self.forwards = 0
        """Open at this moment."""
        self.forwards_opened = 0
        self.open_forwards: set[asyncio.Transport] = set()

        self._host_key_kind = host_key
        self._host_key = asyncssh.generate_private_key(host_key)
        self._login_key = asyncssh.generate_private_key("ssh-ed25519")
        self._authorised = {self._login_key.public_data}
        self._authorities: set[bytes] = set()
        self._folder: Path | None = None
        self._sessions: Sessions | None = None
        self._door = Door(self._new_flow, port=port)
        self._left_doors: list[Door] = []
        self._flows: dict[Flow, Server | None] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._frozen = False
        self._faults = tuple(faults)
        self._misbehaving: list[asyncio.Task[None]] = []

    # life

    async def __aenter__(self) -> Self:
        self._door.take()
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="hawser-machine-"))
            keys = self._folder / "keys"
            keys.mkdir(mode=0o700)
            self._login_key.write_private_key(keys / "login")
            (keys / "login").chmod(0o600)
            self._login_key.write_public_key(keys / "login.pub")
            (self._folder / "disk").mkdir()
            self._sessions = Sessions(self, self._folder / "disk")
            await self._door.open()
            for fault in self._faults:
                task = asyncio.get_running_loop().create_task(misbehave(self, fault))
                self._misbehaving.append(task)
                await asyncio.sleep(0)  # what holds from the start holds before anybody can connect
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for misbehaving in self._misbehaving:
            misbehaving.cancel()
        await asyncio.gather(*self._misbehaving, return_exceptions=True)
        for door in (self._door, *self._left_doors):
            door.give_up()
        for flow in list(self._flows):
            flow.reset()
        await self.until(lambda: not self._flows)
        for connection in list(self._connections):
            await connection.wait_closed()
        for task in self._serving:
            task.cancel()  # those that wait before they speak
        await asyncio.gather(*self._serving, return_exceptions=True)
        for transport in list(self.open_forwards):
            transport.abort()
        await asyncio.sleep(0)  # an aborted transport closes its socket on the loop's next round
        await asyncio.sleep(0)
        if self._sessions is not None:
            await self._sessions.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def host(self) -> str:
        return "127.0.0.1"

    @property
    def port(self) -> int:
        return self._door.port

    @property
    def key_file(self) -> Path:
        assert self._folder is not None, "the machine is not started"
        return self._folder / "keys" / "login"

    @property
    def disk(self) -> Path:
        """Where its files are on our side: `/` of the built-in shell."""
        assert self._folder is not None, "the machine is not started"
        return self._folder / "disk"

    @property
    def home(self) -> Path:
        """Where the user's files are on our side."""
        assert self._sessions is not None, "the machine is not started"
        return self._sessions.home

    @property
    def host_key(self) -> str:
        """The public host key: kind and key, without a comment."""
        return self._host_key.export_public_key().decode().strip()

    @property
    def known_hosts_line(self) -> str:
        return f"[{self.host}]:{self.port} {self.host_key}\n"

    def description(self) -> dict[str, object]:
        """The machine as the first line of `python -m providers.simulated` tells it."""
        return {
            "name": self.name,
            "cloud": "ssh",
            "id": f"{self.user}@{self.host}:{self.port}",
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "key_file": str(self.key_file),
            "host_key": self.host_key,
        }

    def limit_disk(self, size_bytes: int) -> None:
        """How much fits into its files."""
        assert self._sessions is not None, "the machine is not started"
        self._sessions.folder.limit_bytes = size_bytes

    # counts

    @property
    def connections(self) -> int:
        """TCP connections open at this moment, logged in or not."""
        return len(self._flows)

    @property
    def logged_in(self) -> int:
        return sum(server is not None and server.is_logged_in for server in self._flows.values())

    @property
    def channels(self) -> int:
        """Sessions and forwards open at this moment."""
        return self.sessions + self.forwards

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Return when something is so; looked at whenever a count of this machine changes."""
        await self.watch.until(is_so)

    # who may come in

    def authorise(self, public_key: str) -> None:
        """Let a further key log in, as another line in authorized_keys would."""
        self._authorised.add(asyncssh.import_public_key(public_key).public_data)

    def authorise_authority(self, public_key: str) -> None:
        """Let everybody log in whom this authority has given a certificate for our user."""
        self._authorities.add(asyncssh.import_public_key(public_key).public_data)

    def lets_in(self, user: str, key: asyncssh.SSHKey) -> bool:
        return not self.login_rejected and user == self.user and key.public_data in self._authorised

    def trusts(self, user: str, key: asyncssh.SSHKey) -> bool:
        return not self.login_rejected and user == self.user and key.public_data in self._authorities

    # ways to go wrong

    async def refuse(self) -> None:
        """Refuse new connections; those there are stay. The port stays ours."""
        self._door.close()

    async def accept(self) -> None:
        """Be there for new connections again, on the same port."""
        await self._door.open()

    async def drop(self) -> None:
        """Reset all connections; new ones are welcome."""
        for flow in list(self._flows):
            flow.reset()
        gone = list(self._flows)
        await self.until(lambda: not any(flow in self._flows for flow in gone))

    async def close_connections(self) -> None:
        """End all connections politely, with a disconnect message."""
        for connection in list(self._connections):
            connection.close()
        gone = list(self._connections)
        await asyncio.gather(*(connection.wait_closed() for connection in gone))

    async def freeze(self) -> None:
        """Fall silent: nothing is read or written, sockets stay open, new connections get no answer."""
        self._frozen = True
        self._door.jam()
        for flow in self._flows:
            flow.freeze()

    async def thaw(self) -> None:
        """Go on where it was."""
        self._frozen = False
        for flow in list(self._flows):
            flow.thaw()
        await self._door.open()

    async def lose_connections(self) -> None:
        """The connections there are fall silent for ever; new ones are welcome."""
        for flow in self._flows:
            flow.lose()

    async def move(self, *, port: int = 0) -> int:
        """Answer on another port; the old one refuses, and what was connected falls silent. Returns the new port."""
        self._door.close()
        self._left_doors.append(self._door)
        self._door = Door(self._new_flow, port=port)
        self._door.take()
        await self.lose_connections()
        await self._door.open()
        return self.port

    def new_host_key(self) -> str:
        """Be another machine to those who connect from here on; returns the key."""
        self._host_key = asyncssh.generate_private_key(self._host_key_kind)
        return self.host_key

    def reject_login(self, is_rejected: bool = True) -> None:
        self.login_rejected = is_rejected

    def forbid_forwarding(self, is_forbidden: bool = True) -> None:
        self.forwarding_forbidden = is_forbidden

    # serving

    def run_session(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        assert self._sessions is not None
        self._sessions.start(process)

    def serve_files(self, channel: SSHChannel[bytes]) -> asyncssh.SFTPServer:
        assert self._sessions is not None
        return self._sessions.files_server(channel)

    def _new_flow(self) -> asyncio.Protocol:
        # SSH knows no half-closed connections: an end from either side ends both.
        return Flow(self.conditions, made=self._made, ended=self._ended, half_close=False).outer

    def _made(self, flow: Flow) -> None:
        self.accepted += 1
        shy = sum(server is None or not server.is_logged_in for server in self._flows.values())
        is_full = self.max_handshakes is not None and shy >= self.max_handshakes
        self._flows[flow] = None
        if self._frozen:
            flow.freeze()
        if is_full:
            flow.close()
        else:
            task = asyncio.get_running_loop().create_task(self._serve(flow))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
        self.watch.note()

    def _ended(self, flow: Flow) -> None:
        self._flows.pop(flow, None)
        self.watch.note()

    async def _serve(self, flow: Flow) -> None:
        """Join a client to an SSH server of its own, through a pair of sockets, so that the way can be frozen."""
        if self.banner_delay_s:
            await self.clock.sleep(self.banner_delay_s)
        near, far = socket.socketpair()
        near.setblocking(False)
        far.setblocking(False)
        try:
            await asyncio.get_running_loop().create_connection(lambda: flow.inner, sock=near)
        except OSError:
            near.close()
            far.close()
            return
        except BaseException:  # the machine is being switched off
            near.close()
            far.close()
            raise
        if flow not in self._flows:
            flow.inner.reset()
            far.close()
            return
        if self.garbage is not None:
            with far, contextlib.suppress(OSError):
                far.send(self.garbage)
            return
        server = self._flows[flow] = Server(self)
        try:
            connection = await asyncssh.run_server(
                far,
                server_factory=lambda: server,
                server_host_keys=[self._host_key],
                encryption_algs=_CIPHERS,
                agent_forwarding=False,
                allow_scp=False,
                line_editor=False,
                window=16 << 20,
            )
        except (asyncssh.Error, OSError):
            return  # the client left or was not let in
        except BaseException:
            far.close()
            raise
        self._connections.add(connection)
        try:
            await connection.wait_closed()
        finally:
            self._connections.discard(connection)
