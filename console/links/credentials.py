"""What we log in with: key files, certificates and the agent's keys, in the order in which they are offered.

Files come before the agent, so that an agent full of other keys does not use up the tries that a server grants. A key
that needs a passphrase is asked for only when nothing else was accepted, and once for the whole process.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from console.errors import KeyFileUnusable

if TYPE_CHECKING:
    import asyncssh

    from console.links.identity import Target
    from console.links.questions import Challenge

AGENT_LIMIT_S = 5.0
LARGEST_FILE = 1 << 20
PASSPHRASE_TRIES = 3


class Ask(Protocol):
    """Whoever can answer: a terminal, a dialog, or nobody."""

    async def passphrase(self, file: str) -> str | None:
        """The passphrase of a key file; None when there is nobody to ask or they will not say."""
        ...

    async def accept_host_key(self, target: Target, fingerprint: str) -> bool:
        """Whether a machine that was never met may be trusted to be the one."""
        ...

    def can_answer(self) -> bool:
        """Whether there is anybody for `answers`. Where not, a machine is not even let to begin with its questions."""
        ...

    async def answers(self, target: Target, challenge: Challenge) -> Sequence[str] | None:
        """One answer for each prompt of a login, or None when nobody gives them. They are never kept. Given up by
        being cancelled, when the machine no longer wants them."""
        ...


class Keychain:
    """An `Ask` that remembers, in memory only: what was unlocked once is not asked for again, and questions come one
    at a time."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._unlocked: dict[tuple[str, bytes], asyncssh.SSHKey] = {}
        self.one_at_a_time = asyncio.Lock()

    async def passphrase(self, file: str) -> str | None:
        return await self._ask.passphrase(file)

    async def accept_host_key(self, target: Target, fingerprint: str) -> bool:
        return await self._ask.accept_host_key(target, fingerprint)

    def can_answer(self) -> bool:
        return self._ask.can_answer()

    async def answers(self, target: Target, challenge: Challenge) -> Sequence[str] | None:
        return await self._ask.answers(target, challenge)

    def unlocked(self, locked: LockedKey) -> asyncssh.SSHKey | None:
        return self._unlocked.get((locked.file, locked.content))

    async def unlock(self, locked: LockedKey) -> asyncssh.SSHKey:
        """Ask for the passphrase of a key, up to three times; raises `KeyFileUnusable`."""
        import asyncssh

        async with self.one_at_a_time:
            if (known := self.unlocked(locked)) is not None:  # while we waited for our turn
                return known
            for _ in range(PASSPHRASE_TRIES):
                passphrase = await self.passphrase(locked.file)
                if passphrase is None:
                    raise KeyFileUnusable(
                        f"The key {locked.file} needs a passphrase, and nobody gave it.",
                        hint=f"Load it into an agent with: ssh-add {locked.file}",
                    )
                try:
                    key = await asyncio.to_thread(asyncssh.import_private_key, locked.content, passphrase)
                except (asyncssh.KeyEncryptionError, asyncssh.KeyImportError) as error:
                    if str(error).startswith(("Unknown", "Unsupported", "Passphrase must")) and passphrase:
                        raise KeyFileUnusable(f"The key {locked.file} cannot be used: {error}.") from error
                    continue  # each format says in other words that the passphrase is wrong
                self._unlocked[locked.file, locked.content] = key
                return key
        raise KeyFileUnusable(f"That is not the passphrase of the key {locked.file}.")


class LockedKey(NamedTuple):
    """A key file that needs a passphrase."""

    file: str
    content: bytes
    public: bytes | None
    """The public key, where the file or the one beside it tells."""


class Credentials(NamedTuple):
    """What can be offered at once, and what only a passphrase opens."""

    ready: Sequence[asyncssh.SSHKeyPair]
    locked: Sequence[LockedKey]
    certificates: Sequence[asyncssh.SSHCertificate]
    troubles: Sequence[str]
    """What of that which was configured cannot be used, as sentences."""

    def pairs(self, key: asyncssh.SSHKey) -> Sequence[asyncssh.SSHKeyPair]:
        """A key with the certificates that belong to it, then without."""
        import asyncssh

        ours = [each for each in self.certificates if each.key.public_data == key.public_data]
        return [
            *(pair for each in ours for pair in asyncssh.load_keypairs([(key, each)])[:1]),
            *asyncssh.load_keypairs([key]),
        ]


@asynccontextmanager
async def credentials(target: Target, files: Sequence[str], keychain: Keychain) -> AsyncIterator[Credentials]:
    """What there is to log in to a machine with; usable inside the block, while the agent is connected."""
    read = await asyncio.to_thread(_read_files, files, target.certificate_files)
    agent = await _open_agent(target.agent, read.troubles)
    try:
        from_agent = await _agent_keys(agent, read.certificates, read.troubles)
        yield _in_order(target, read, from_agent, keychain)
    finally:
        if agent is not None:
            agent.close()
            await agent.wait_closed()


class _PublicKey(NamedTuple):
    """A public key where a private one is expected: it says which of the agent's keys is meant."""

    file: str
    public: bytes


class _Read(NamedTuple):
    keys: list[asyncssh.SSHKey | LockedKey | _PublicKey]
    certificates: list[asyncssh.SSHCertificate]
    troubles: list[str]


def _in_order(
    target: Target, read: _Read, from_agent: Sequence[asyncssh.SSHKeyPair], keychain: Keychain
) -> Credentials:
    found = Credentials([], [], read.certificates, read.troubles)
    ready: list[asyncssh.SSHKeyPair] = []
    locked: list[LockedKey] = []
    meant: set[bytes] = set()
    for key in read.keys:
        match key:
            case LockedKey() | _PublicKey():
                held = [pair for pair in from_agent if pair.key_public_data == key.public]
                if held:
                    ready += held
                    meant.add(held[0].key_public_data)
                elif isinstance(key, _PublicKey):
                    read.troubles.append(f"{key.file} is a public key, and the agent does not hold its private one.")
                elif (known := keychain.unlocked(key)) is not None:
                    ready += found.pairs(known)
                else:
                    locked.append(key)
            case _:
                ready += found.pairs(key)
                meant.add(key.public_data)
    if not target.identities_only:
        ready += [pair for pair in from_agent if pair.key_public_data not in meant]
    return found._replace(ready=ready, locked=locked)


def _read_files(files: Sequence[str], certificate_files: Sequence[str]) -> _Read:
    import asyncssh

    read = _Read([], [], [])
    beside = [f"{file}-cert.pub" for file in files]
    for file in dict.fromkeys((*certificate_files, *(name for name in beside if Path(name).is_file()))):
        try:
            certificate = asyncssh.read_certificate(file)
        except (OSError, ValueError) as error:
            read.troubles.append(f"The certificate {file} cannot be used: {_reason(error)}.")
        else:
            read.certificates.append(certificate)
    for file in files:
        try:
            read.keys.append(_read_key(file))
        except (OSError, ValueError) as error:
            read.troubles.append(f"The key {file} cannot be used: {_reason(error)}.")
    return read


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error).rstrip(".") or type(error).__name__


def _read_key(file: str) -> asyncssh.SSHKey | LockedKey | _PublicKey:
    import asyncssh

    path = Path(file)
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError("it is too large for a key")
    content = path.read_bytes()
    encrypted, public = _locked(content)
    if encrypted:
        return LockedKey(file, content, public or _public_beside(path))
    try:
        return asyncssh.import_private_key(content)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
        try:
            return _PublicKey(file, asyncssh.import_public_key(content).public_data)
        except asyncssh.KeyImportError:
            pass
        raise


def _locked(content: bytes) -> tuple[bool, bytes | None]:
    """Whether a private key is encrypted and, where it says so in clear, which public key belongs to it."""
    begin, end = b"-----BEGIN OPENSSH PRIVATE KEY-----", b"-----END"
    if begin not in content:
        head = content[:2000]
        return b"PRIVATE KEY-----" in head and b"ENCRYPTED" in head, None
    body = content.partition(begin)[2].partition(end)[0]
    try:
        blob = base64.b64decode(b"".join(body.split()), validate=True).removeprefix(b"openssh-key-v1\0")
    except (ValueError, binascii.Error):
        return False, None
    cipher, blob = _string(blob)
    for _ in range(2):  # how the passphrase is turned into a key
        _, blob = _string(blob)
    public, _ = _string(blob[4:])
    return cipher not in (b"none", b""), public or None


def _string(blob: bytes) -> tuple[bytes, bytes]:
    end = 4 + int.from_bytes(blob[:4], "big")
    return blob[4:end], blob[end:]


def _public_beside(path: Path) -> bytes | None:
    import asyncssh

    try:
        return asyncssh.read_public_key(f"{path}.pub").public_data
    except (OSError, ValueError):
        return None


async def _open_agent(socket: str | None, troubles: list[str]) -> asyncssh.SSHAgentClient | None:
    if socket is None:
        return None
    import asyncssh

    try:
        return await asyncio.wait_for(asyncssh.connect_agent(socket), AGENT_LIMIT_S)
    except (OSError, TimeoutError) as error:
        troubles.append(f"The agent at {socket} does not answer: {_reason(error)}.")
        return None


async def _agent_keys(
    agent: asyncssh.SSHAgentClient | None, certificates: Sequence[asyncssh.SSHCertificate], troubles: list[str]
) -> list[asyncssh.SSHKeyPair]:
    """The agent's keys, each with the certificate for it, if there is one, before it."""
    if agent is None:
        return []
    try:
        plain = await asyncio.wait_for(agent.get_keys(), AGENT_LIMIT_S)
        twins = await asyncio.wait_for(agent.get_keys(), AGENT_LIMIT_S) if certificates else []
    except (OSError, ValueError, TimeoutError) as error:
        troubles.append(f"The agent does not tell its keys: {_reason(error)}.")
        return []
    keys: list[asyncssh.SSHKeyPair] = []
    for pair in plain:
        for twin in twins:
            for certificate in certificates:
                if certificate.key.public_data == pair.key_public_data == twin.key_public_data:
                    twin.set_certificate(certificate)
                    keys.append(twin)
        keys.append(pair)
    return keys
