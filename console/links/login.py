"""The way in: first contact, host key, login. The only place that calls `asyncssh.connect`.

A host key is checked against our pins and nothing else, before anything is offered to the machine. Every failure is a
`LinkError` that says whether trying again can help.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from console.errors import (
    HostKeyChanged,
    HostKeyUnknown,
    JumpRefused,
    KeyFileUnusable,
    LinkError,
    LinkUnreachable,
    LoginRefused,
    NoCommonAlgorithm,
    NotAnSshServer,
)
from console.links import known_hosts
from console.links.credentials import Ask, Keychain, credentials
from console.links.fleet_key import fleet_key
from console.links.pins import Pins, changed
from console.links.proxy import start_proxy
from console.links.questions import Interview, MayAsk
from console.text import neutralise

if TYPE_CHECKING:
    import asyncssh

    from console.links.identity import Target

FirstContact: TypeAlias = Literal["ask", "known-only"]
"""What to do with a machine that neither the pins, nor its cloud, nor the user's known_hosts know: ask whoever can
answer (without a terminal, that pins it and says so), or refuse."""
How: TypeAlias = Literal["cloud", "known_hosts", "rented", "accepted"]
"""Who vouched for a key: the cloud, the user's known_hosts, our having rented the machine, or a person."""

LIMIT_S = 5.0
"""How long connecting may take, from the first packet to the end of the login."""
GREETING_LIMIT_S = 2.0
WINDOW = 16 << 20
"""Bytes on the way in one channel: the default of 2 MiB allows 20 MB/s at 50 ms."""
CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes256-ctr")
"""The fastest first; asyncssh would take chacha20."""
_SIGNATURES = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),
}
"""The types of host keys that we take, each with the names it has while connecting. Host certificates are not among
them: whoever has one has a plain key as well, and that is what is pinned."""


class Met(NamedTuple):
    """A machine's key was pinned: who vouched for it."""

    target: Target
    fingerprint: str
    how: How


async def connect(
    target: Target,
    pins: Pins,
    *,
    ask: Ask,
    first: FirstContact = "ask",
    tunnel: asyncssh.SSHClientConnection | None = None,
    extra: Mapping[str, Any] | None = None,
    told: Callable[[Met], None] | None = None,
    may_ask: MayAsk | None = None,
) -> asyncssh.SSHClientConnection:
    """Log in to a machine, over its jump hosts or over `tunnel`; raises a `LinkError`.

    Each hop takes at most 5 s, and longer only while somebody is asked. Jump hosts are closed with the connection; a
    `tunnel` stays. `ask` may be a `Keychain`, which remembers answers for the other calls that share it. `told` hears
    of every key that is pinned, and `may_ask` of every machine that asks for a code or a password, before anybody is
    asked. `extra` goes to asyncssh as it is. There is no keepalive until `set_keepalive`. A machine that cannot be
    reached in one way is tried in its others; the error is that of the first.
    """
    keychain = ask if isinstance(ask, Keychain) else Keychain(ask)
    try:
        return await _connect(target, pins, keychain, first, tunnel, extra, told, may_ask)
    except LinkUnreachable:
        for way in target.others:
            with contextlib.suppress(LinkUnreachable):
                return await _connect(way, pins, keychain, first, tunnel, extra, told, may_ask)
        raise


async def _connect(
    target: Target,
    pins: Pins,
    keychain: Keychain,
    first: FirstContact,
    tunnel: asyncssh.SSHClientConnection | None,
    extra: Mapping[str, Any] | None,
    told: Callable[[Met], None] | None,
    may_ask: MayAsk | None,
) -> asyncssh.SSHClientConnection:
    below = tunnel
    try:
        for hop in (*target.jumps, target):
            who = repr(hop.name) if hop is target else f"The jump host {hop.name!r}"
            door = _Door(hop, who, pins, below, extra or {})
            await _meet(door, keychain, first, told)
            upper = await _log_in(door, keychain, may_ask)
            if below is not tunnel:
                upper.set_tunnel(below)
            below = upper
    except BaseException:
        if below is not None and below is not tunnel:
            await _end(below)
        raise
    assert below is not None
    return below


async def meet(
    target: Target,
    pins: Pins,
    *,
    ask: Ask,
    first: FirstContact = "ask",
    told: Callable[[Met], None] | None = None,
) -> None:
    """See to it that a key of the machine is pinned, without logging in to it. A jump host on the way to one that is
    not known is logged in to."""
    keychain = ask if isinstance(ask, Keychain) else Keychain(ask)
    if await asyncio.to_thread(pins.get, target.identity):
        return
    way: asyncssh.SSHClientConnection | None = None
    if target.jumps and target.key_from_cloud is None:
        *before, last = target.jumps
        way = await connect(last._replace(jumps=tuple(before)), pins, ask=keychain, first=first, told=told)
    try:
        await _meet(_Door(target, repr(target.name), pins, way, {}), keychain, first, told)
    finally:
        if way is not None:
            await _end(way)


async def _end(connection: asyncssh.SSHClientConnection) -> None:
    """End a connection at once; returns when it and what it goes over are gone, so that the loop may be closed."""
    connection.abort()
    await connection.wait_closed()


async def _known_to_user(target: Target) -> known_hosts.Known:
    """What the user's known_hosts say of a machine."""
    alias = target.host_key_alias
    host, port = (alias, known_hosts.DEFAULT_PORT) if alias is not None else (target.host, target.port)
    return await asyncio.to_thread(known_hosts.look_up, target.known_hosts_files, host, port)


def _is_vouched_for(name: str, seen: str, known: known_hosts.Known) -> bool:
    """Whether the user's known_hosts has the key that a machine shows; raises when it has another one for it."""
    shown = known_hosts.fingerprint(seen)
    if seen in known.revoked:
        raise HostKeyUnknown(
            f"{name!r} shows the host key {shown}, which your known_hosts marks as revoked.", seen=shown
        )
    if known.keys and seen not in known.keys:
        expected = tuple(known_hosts.fingerprint(key) for key in known.keys)
        raise HostKeyChanged(
            f"{name!r} shows the host key {shown}, but your known_hosts has {' or '.join(expected)} for it.",
            expected=expected,
            seen=shown,
            hint="Nothing was sent to it. If it was made anew, take the old key out with: ssh-keygen -R HOST",
        )
    return bool(known.keys)


async def _meet(door: _Door, keychain: Keychain, first: FirstContact, told: Callable[[Met], None] | None) -> None:
    """See to it that a key of the machine is pinned."""
    target, pins = door.target, door.pins
    if await asyncio.to_thread(pins.get, target.identity):
        return
    how: How = "accepted"
    if target.key_from_cloud is not None:
        seen, how = known_hosts.plain_key(target.key_from_cloud), "cloud"
    else:
        known = await _known_to_user(target)
        seen = await door.look([known_hosts.kind_of(key) for key in known.keys])
        if _is_vouched_for(target.name, seen, known):
            how = "known_hosts"
        elif target.is_ours and first == "ask":
            how = "rented"  # it opens to a key that only we have, and that our order brought there
    async with keychain.one_at_a_time:
        if await asyncio.to_thread(pins.get, target.identity):  # met by another link while we waited
            return
        if how == "accepted":
            await _accept(door, seen, keychain, first)
        await asyncio.to_thread(pins.pin, target.identity, seen)
    if told is not None:
        told(Met(target, known_hosts.fingerprint(seen), how))


async def _accept(door: _Door, seen: str, keychain: Keychain, first: FirstContact) -> None:
    shown = known_hosts.fingerprint(seen)
    if first == "known-only":
        raise HostKeyUnknown(
            f"{door.who} is not known; it shows the host key {shown}.",
            seen=shown,
            hint=f"If that is right, run: hawser link pin {door.target.name}",
        )
    if not await keychain.accept_host_key(door.target, shown):
        raise HostKeyUnknown(f"The host key {shown} of {door.target.name!r} was not accepted.", seen=shown)


async def _log_in(door: _Door, keychain: Keychain, may_ask: MayAsk | None) -> asyncssh.SSHClientConnection:
    """Offer what is at hand; then, while the machine wants more, what only a passphrase opens; then ask a person."""
    import asyncssh

    target = door.target
    pinned = await asyncio.to_thread(door.pins.get, target.identity)
    files = target.key_files
    if target.fleet_key:
        files = (str((await asyncio.to_thread(fleet_key, door.pins.paths)).file), *files)
    connection: asyncssh.SSHClientConnection | None = None
    try:
        async with credentials(target, files, keychain) as ours:
            locked = list(ours.locked)
            keys = ours.ready
            had_keys = bool(keys or locked)
            if not keys and locked:
                keys = ours.pairs(await keychain.unlock(locked.pop(0)))
            while connection is None:
                interview = Interview(target, keychain, is_last=not locked, may_ask=may_ask)
                try:
                    connection = await door.enter(pinned, keys, interview)
                except asyncssh.PermissionDenied as error:
                    if interview.has_begun or not locked:
                        raise _login_refused(door, ours.troubles, had_keys, interview) from error
                    keys = ours.pairs(await keychain.unlock(locked.pop(0)))
    except BaseException:
        if connection is not None:  # called off after the login, while the agent is let go
            await _end(connection)
        raise
    return connection


def _login_refused(door: _Door, troubles: Sequence[str], had_keys: bool, interview: Interview) -> LinkError:
    target = door.target
    refusal = interview.refusal(door.who)
    if refusal is not None and (had_keys or interview.has_begun or not troubles):
        return refusal
    if not had_keys and troubles:
        return KeyFileUnusable(f"There is no key to log in to {target.name!r} with. {troubles[0]}")
    hint = troubles[0] if troubles else f"Try by hand: ssh -p {target.port} {target.user}@{target.host}"
    if not had_keys:
        return LoginRefused(f"There is no key to log in to {target.name!r} with.", hint="Name one as IdentityFile.")
    return LoginRefused(f"{door.who} accepts no key of ours for the user {target.user!r}.", hint=hint)


class _Door:
    """One host, seen from what the connection to it goes over."""

    def __init__(
        self,
        target: Target,
        who: str,
        pins: Pins,
        tunnel: asyncssh.SSHClientConnection | None,
        extra: Mapping[str, Any],
    ) -> None:
        self.target = target
        self.who = who
        self.pins = pins
        self._tunnel = tunnel
        self._extra = extra

    async def look(self, prefer: Sequence[str] = ()) -> str:
        """The host key that is shown, of a preferred type where there is one; nothing is offered for it."""
        _, seen = await self._dial((), prefer, (), None)
        assert seen is not None
        return seen

    async def enter(
        self, pinned: Sequence[str], keys: Sequence[asyncssh.SSHKeyPair], interview: Interview
    ) -> asyncssh.SSHClientConnection:
        """Log in with these keys and what the interview brings; raises asyncssh's `PermissionDenied` when that is not
        enough, else a `LinkError`."""
        prefer = [known_hosts.kind_of(key) for key in pinned]
        try:
            connection, seen = await self._dial(pinned, prefer, keys, interview)
        except LinkError as error:
            if (meant := interview.failure(self.who, error)) is error:
                raise
            raise meant from error
        if connection is None:
            assert seen is not None
            raise changed(self.target.name, tuple(pinned), seen)
        return connection

    async def _dial(
        self,
        pinned: Sequence[str],
        prefer: Sequence[str],
        keys: Sequence[asyncssh.SSHKeyPair],
        interview: Interview | None,
    ) -> tuple[asyncssh.SSHClientConnection | None, str | None]:
        """The connection, or the key that was shown where that is not a pinned one."""
        import asyncssh

        shown: list[asyncssh.SSHKey] = []

        class Witness(asyncssh.SSHClient):
            def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
                shown.append(key)
                return False

            def public_key_auth_requested(self) -> None:
                if interview is not None:
                    interview.keys_are_used_up()

            def kbdint_auth_requested(self) -> str | None:
                return None if interview is None else interview.begin_keyboard()

            async def kbdint_challenge_received(
                self, name: str, instructions: str, lang: str, prompts: Sequence[tuple[str, bool]]
            ) -> list[str] | None:
                return None if interview is None else await interview.challenge(name, instructions, prompts)

            async def password_auth_requested(self) -> str | None:
                return None if interview is None else await interview.password()

            def password_change_requested(self, prompt: str, lang: str) -> tuple[str, str]:
                if interview is not None:
                    interview.password_has_expired()
                return NotImplemented  # type: ignore[no-any-return]

        target = self.target
        trusted = [asyncssh.import_public_key(key) for key in pinned]
        options: dict[str, Any] = {
            "config": None,
            "known_hosts": (trusted, [], []),
            "x509_trusted_certs": None,
            "server_host_key_algs": _algorithms(prefer),
            "username": target.user,
            "client_keys": list(keys) or None,
            "agent_path": None,
            "password_auth": interview is not None,
            "kbdint_auth": interview is not None,
            "host_based_auth": False,
            "gss_kex": False,
            "gss_auth": False,
            "encryption_algs": list(CIPHERS),
            "window": WINDOW,
            "connect_timeout": None,  # the limit is ours, because it stands still while somebody is asked
            "login_timeout": 0,
            "keepalive_interval": 0,
            **self._extra,
            "client_factory": Witness,
        }
        try:
            async with asyncio.timeout(LIMIT_S) as limit:
                if interview is not None:
                    interview.limit = limit
                return await self._open(options), None
        except asyncssh.HostKeyNotVerifiable as error:
            if not shown:
                raise LinkUnreachable(f"{self.who} shows a host key that cannot be read: {error.reason}.") from error
            return None, known_hosts.plain_key(shown[0].export_public_key().decode())
        except (asyncssh.PermissionDenied, LinkError):
            raise
        except (ConnectionResetError, asyncssh.ConnectionLost) as error:
            raise await self._strange_answer() or self._failure(error) from error
        except (OSError, ValueError, asyncssh.Error) as error:
            raise self._failure(error) from error

    async def _open(self, options: Mapping[str, Any]) -> asyncssh.SSHClientConnection:
        import asyncssh

        target = self.target
        if self._tunnel is not None:
            return await asyncssh.connect(target.host, target.port, tunnel=self._tunnel, **options)
        if target.proxy_command is None:
            return await asyncssh.connect(target.host, target.port, **options)
        proxy = await start_proxy(target.proxy_command)
        try:
            connection = await asyncssh.connect(target.host, target.port, sock=proxy.socket, **options)
        except BaseException as error:
            said = proxy.complaint() if isinstance(error, OSError | asyncssh.ConnectionLost) else None
            proxy.socket.close()
            proxy.close()
            await proxy.wait_closed()
            if said:
                raise LinkUnreachable(f"The ProxyCommand for {target.name!r} failed: {said.rstrip('.')}.") from error
            raise
        connection.set_tunnel(proxy)
        return connection

    async def _strange_answer(self) -> LinkError | None:
        """What hung up on us may not be an SSH server at all: then it answers a greeting with something else."""
        if self._tunnel is not None or self.target.proxy_command is not None:
            return None
        try:
            async with asyncio.timeout(GREETING_LIMIT_S):
                reader, writer = await asyncio.open_connection(self.target.host, self.target.port)
                try:
                    writer.write(b"SSH-2.0-Hawser\r\n")
                    answer = await reader.read(400)
                finally:
                    writer.transport.abort()
        except (OSError, TimeoutError):
            return None
        lines = answer.decode("utf-8", "replace").splitlines()
        if not lines or any(line.startswith("SSH-") for line in lines):
            return None
        return NotAnSshServer(
            f"{self.who} at {self.target.address} does not speak SSH; it says {neutralise(lines[0])[:60]!r}.",
            hint="Is that its SSH port?",
        )

    def _failure(self, error: Exception) -> LinkError:
        import asyncssh

        who, at = self.who, self.target.address
        match error:
            case TimeoutError():
                return LinkUnreachable(f"{who} at {at} did not answer within {LIMIT_S:g} s.")
            case socket.gaierror():
                return LinkUnreachable(
                    f"The name {self.target.host!r} does not resolve.", hint="Is it spelled right? Are you online?"
                )
            case ConnectionRefusedError():
                return LinkUnreachable(
                    f"{who} at {at} refuses connections.", hint="Is the machine up, and is that its SSH port?"
                )
            case asyncssh.KeyExchangeFailed():
                return NoCommonAlgorithm(f"{who} and we have no algorithm in common: {error.reason.rstrip('.')}.")
            case asyncssh.ChannelOpenError(code=1):
                return JumpRefused(f"The jump host does not let us through to {who} at {at}: {error.reason}.")
            case asyncssh.ChannelOpenError():
                return LinkUnreachable(f"The jump host cannot reach {who} at {at}: {error.reason}.")
            case asyncssh.ProtocolError() if "authentication failures" in error.reason:
                return LoginRefused(
                    f"{who} gave up before all of our keys were tried.",
                    hint="Name the right one: IdentityFile, with IdentitiesOnly yes.",
                )
            case asyncssh.ProtocolError() | asyncssh.ProtocolNotSupported():
                return NotAnSshServer(f"{who} at {at} does not speak SSH as we know it: {error.reason.rstrip('.')}.")
            case ConnectionResetError() | BrokenPipeError() | asyncssh.ConnectionLost():
                return LinkUnreachable(
                    f"{who} at {at} closed the connection before the login was done.",
                    hint="It may be starting, or busy; or what listens there is not an SSH server.",
                )
            case OSError():
                return LinkUnreachable(f"{who} at {at} cannot be reached: {error.strerror or error}.")
            case asyncssh.DisconnectError():
                return LinkUnreachable(f"{who} ended the connection: {error.reason.rstrip('.')}.")
            case _:
                return LinkUnreachable(f"Connecting to {who} at {at} failed: {error}.")


def _algorithms(prefer: Sequence[str]) -> list[str]:
    kinds = dict.fromkeys((*(kind for kind in prefer if kind in _SIGNATURES), *_SIGNATURES))
    return [name for kind in kinds for name in _SIGNATURES[kind]]
