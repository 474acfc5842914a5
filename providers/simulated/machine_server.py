"""What the simulated machine's SSH server says to a client: who may log in, which channels open, and the byte bridge.

Loads asyncssh, so it is imported only by `machine.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, cast

import asyncssh

if TYPE_CHECKING:
    from asyncssh.channel import SSHChannel

    from providers.simulated.machine import SimulatedMachine

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_BUFFER_BYTES = 1024 * 1024


class Session(asyncssh.SSHServerProcess[bytes]):
    """A session channel that the machine counts."""

    def __init__(self, machine: SimulatedMachine, server: Server) -> None:
        # The positions are asyncssh's own: how to run a command, how to serve SFTP, its version, old scp.
        super().__init__(machine.run_session, machine.serve_files, 3, False)
        self._machine = machine
        self._server = server

    def connection_made(self, chan: SSHChannel[bytes]) -> None:
        self._server.sessions += 1
        self._machine.sessions += 1
        self._machine.sessions_opened += 1
        super().connection_made(chan)
        self._machine.watch.note()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.sessions -= 1
        self._machine.sessions -= 1
        super().connection_lost(exc)
        self._machine.watch.note()


class Server(asyncssh.SSHServer):
    """One client's connection."""

    def __init__(self, machine: SimulatedMachine) -> None:
        self._machine = machine
        self.sessions = 0
        self._connection: asyncssh.SSHServerConnection | None = None
        self.is_logged_in = False
        self._has_shown_key = False

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        if self._machine.second_factor is not None:
            # asyncssh has no word for "this was right, and there is more": a login is over with its first success.
            succeed = conn.send_userauth_success

            async def first_half() -> None:
                conn.send_userauth_success = succeed  # type: ignore[method-assign]
                self._has_shown_key = True
                conn.send_userauth_failure(partial_success=True)

            conn.send_userauth_success = first_half  # type: ignore[method-assign]

    async def begin_auth(self, username: str) -> bool:
        if self._machine.login_delay_s:
            await self._machine.clock.sleep(self._machine.login_delay_s)
        return True

    def auth_completed(self) -> None:
        self.is_logged_in = True
        self._machine.logins += 1
        self._machine.watch.note()

    def public_key_auth_supported(self) -> bool:
        return not self._has_shown_key

    def kbdint_auth_supported(self) -> bool:
        return self._has_shown_key

    def get_kbdint_challenge(
        self, username: str, lang: str, submethods: str
    ) -> tuple[str, str, str, list[tuple[str, bool]]]:
        self._machine.codes_asked += 1
        self._machine.watch.note()
        return "Second factor", "Open your authenticator.", "", [("Verification code: ", False)]

    def validate_kbdint_response(self, username: str, responses: Sequence[str]) -> bool:
        return not self._machine.login_rejected and list(responses) == [self._machine.second_factor]

    def password_auth_supported(self) -> bool:
        return self._machine.password is not None and not self._has_shown_key

    def validate_password(self, username: str, password: str) -> bool:
        machine = self._machine
        return not machine.login_rejected and username == machine.user and password == machine.password

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return self._machine.lets_in(username, key)

    def validate_ca_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return self._machine.trusts(username, key)

    def session_requested(self) -> tuple[asyncssh.SSHServerChannel[bytes], Session]:
        assert self._connection is not None
        limit = self._machine.max_sessions
        if limit is not None and self.sessions >= limit:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, "open failed")
        return self._connection.create_server_channel(None, "strict"), Session(self._machine, self)

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> Awaitable[asyncssh.SSHTCPSession[bytes]]:
        if self._machine.forwarding_forbidden:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "open failed")
        if dest_host in _LOOPBACK:
            target = self._machine.services.get(dest_port)
        else:
            target = self._machine.neighbours.get((dest_host, dest_port))
        if target is None:
            words = "Connection refused" if dest_host in _LOOPBACK else "Name or service not known"
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, words)
        return self._forward(target)

    def unix_connection_requested(self, dest_path: str) -> bool:
        if self._machine.forwarding_forbidden:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "open failed")
        return False

    async def _forward(self, target: tuple[str, int]) -> asyncssh.SSHTCPSession[bytes]:
        try:
            _, near = await asyncio.get_running_loop().create_connection(lambda: _Near(self._machine), *target)
        except OSError as error:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, error.strerror or str(error)) from None
        return near.far


class _Near(asyncio.Protocol):
    """The connection to the service; `far` is the channel to the client."""

    def __init__(self, machine: SimulatedMachine) -> None:
        self.transport: asyncio.Transport | None = None
        self.far = _Far(machine, self)
        self._open = machine.open_forwards

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=_BUFFER_BYTES)
        self.transport.pause_reading()
        self._open.add(self.transport)

    def data_received(self, data: bytes) -> None:
        self.far.send(data)

    def eof_received(self) -> bool:
        self.far.end()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if self.transport is not None:
            self._open.discard(self.transport)
        self.transport = None
        self.far.close()

    def pause_writing(self) -> None:
        self.far.hold()

    def resume_writing(self) -> None:
        self.far.go_on()


class _Far(asyncssh.SSHTCPSession[bytes]):
    """The channel to the client. An exception in a callback would end the whole connection, so none leaves one."""

    def __init__(self, machine: SimulatedMachine, near: _Near) -> None:
        self._machine = machine
        self._near = near
        self._channel: asyncssh.SSHTCPChannel[bytes] | None = None
        self._heard_end = self._said_end = False

    def connection_made(self, chan: asyncssh.SSHTCPChannel[bytes]) -> None:
        self._channel = chan
        self._machine.forwards += 1
        self._machine.forwards_opened += 1
        self._machine.watch.note()

    def session_started(self) -> None:
        if self._near.transport is None:
            self.close()
        else:
            self._near.transport.resume_reading()

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        if self._near.transport is not None:
            self._near.transport.write(data)

    def eof_received(self) -> bool:
        self._heard_end = True
        near = self._near.transport
        if near is not None and not near.is_closing():
            if self._said_end:
                near.close()
            else:
                _quietly(near.write_eof)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._channel = None
        self._machine.forwards -= 1
        near = self._near.transport
        if near is not None:
            if exc is not None:
                near.abort()
            else:
                near.close()
        self._machine.watch.note()

    def pause_writing(self) -> None:
        if self._near.transport is not None:
            self._near.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._near.transport is not None and not self._near.transport.is_closing():
            self._near.transport.resume_reading()

    # called by the near side

    def send(self, data: bytes) -> None:
        if self._channel is not None:
            _quietly(self._channel.write, data)

    def end(self) -> None:
        self._said_end = True
        if self._channel is not None:
            _quietly(self._channel.write_eof)
            if self._heard_end and self._near.transport is not None:
                self._near.transport.close()

    def close(self) -> None:
        if self._channel is not None:
            _quietly(self._channel.close)

    def hold(self) -> None:
        if self._channel is not None:
            self._channel.pause_reading()

    def go_on(self) -> None:
        if self._channel is not None:
            self._channel.resume_reading()


def _quietly(call: Callable[..., object], *arguments: bytes) -> None:
    """A write on what has just died is no event: `connection_lost` follows and tidies up."""
    try:
        call(*arguments)
    except OSError:
        pass
