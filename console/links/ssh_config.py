"""What the user's SSH configuration says of a host.

`ssh -G` is asked where the program is there: only it reads the file exactly as OpenSSH does (Include, Match, `exec`).
asyncssh's own parser stands in without it, and its complaint is shown. Whatever concerns the checking of host keys is
not read, apart from the files that a first contact may be compared with: no configuration switches checking off.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from console.errors import ConfigUnusable

LIMIT_S = 5.0
"""How long `ssh -G` may take; a `Match exec` in the file can hang."""
_DEFAULT_KEYS = ("id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk")
_SYSTEM_CONFIG = Path("/etc/ssh/ssh_config")
_UNSAFE = frozenset("'`\"$\\;&<>|(){},")


class Destination(NamedTuple):
    """`[user@]host[:port]` as it was typed."""

    user: str | None
    host: str
    port: int | None


class HostConfig(NamedTuple):
    """What a configuration comes to for one destination: tokens filled in, files that are not there left out."""

    host: str
    port: int
    user: str
    host_key_alias: str | None = None
    key_files: tuple[str, ...] = ()
    certificate_files: tuple[str, ...] = ()
    agent: str | None = None
    identities_only: bool = False
    jumps: tuple[Destination, ...] = ()
    proxy_command: str | None = None
    known_hosts_files: tuple[str, ...] = ()


def parse_destination(written: str) -> Destination:
    """Read `[ssh://][user@]host[:port]`; an IPv6 address with a port stands in brackets."""
    user, _, place = written.removeprefix("ssh://").rstrip("/").rpartition("@")
    host, colon, port = place.rpartition(":")
    if place.startswith("["):
        host, closing, rest = place[1:].partition("]")
        colon, port = (rest[:1], rest[1:]) if closing else ("[", "")
    elif not colon or ":" in host:  # a bare IPv6 address has more than one
        host, colon, port = place, "", ""
    is_port = port.isdecimal() and port.isascii() and 0 < int(port) < 65536
    if (colon and (colon != ":" or not is_port)) or not _is_host(host) or (user and not _is_user(user)):
        raise ConfigUnusable(
            f"{written!r} names no machine.", hint="Write a machine's name, an ssh alias or user@host[:port]."
        )
    return Destination(user or None, host, int(port) if colon else None)


def _is_host(host: str) -> bool:
    """As OpenSSH has it: what may end up in a ProxyCommand holds nothing that a shell would act on."""
    return bool(host) and not host.startswith("-") and host.isprintable() and not _UNSAFE & {*host} and " " not in host


def _is_user(user: str) -> bool:
    return not user.startswith("-") and user.isprintable() and not _UNSAFE & {*user} - {"\\", ","} and " " not in user


def read_config(destination: Destination, file: Path | None, environment: Mapping[str, str]) -> HostConfig:
    """What the user's files, or one given file instead, say of a destination. It blocks: call it in a thread.

    With `HAWSER_ISOLATED=1` the user's own files and agent are left out; a given file counts all the same.
    """
    if file is not None and not file.is_file():
        raise ConfigUnusable(f"There is no SSH configuration {str(file)!r}.")
    program = shutil.which("ssh", path=environment.get("PATH"))
    if program is None:
        return _Reading(destination, environment, _by_parser(destination, file, environment)).config(file)
    return _Reading(destination, environment, _by_ssh(program, destination, file, environment)).config(file)


def _is_isolated(environment: Mapping[str, str]) -> bool:
    return environment.get("HAWSER_ISOLATED") == "1"


def _home() -> Path:
    """The home folder as `ssh` has it: from the list of users, not from HOME."""
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return Path.home()


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


_Options = dict[str, list[str]]
"""Options by their name in small letters, with their values in order."""


def _by_ssh(program: str, destination: Destination, file: Path | None, environment: Mapping[str, str]) -> _Options:
    words = [program, "-G"]
    if file is not None or _is_isolated(environment):
        words += ["-F", str(file.absolute()) if file is not None else "none"]
    if destination.user is not None:
        words += ["-l", destination.user]
    if destination.port is not None:
        words += ["-p", str(destination.port)]
    code, out, complaint = _run([*words, "--", destination.host], environment)
    if code is None:
        raise ConfigUnusable(
            f"Reading the SSH configuration for {destination.host!r} took longer than {LIMIT_S:g} s.",
            hint=f"A `Match exec` in it may hang. See: ssh -G {destination.host}",
        )
    if code != 0:
        reason = complaint.strip().splitlines()[0:1] or [f"ssh -G ended with {code}"]
        raise ConfigUnusable(
            f"ssh cannot read its configuration: {reason[0].rstrip('.')}.", hint=f"See: ssh -G {destination.host}"
        )
    options: _Options = {}
    for line in out.splitlines():
        name, _, value = line.partition(" ")
        options.setdefault(name.lower(), []).append(value)
    return options


def _run(words: list[str], environment: Mapping[str, str]) -> tuple[int | None, str, str]:
    """Run a program to its end or to the limit (None). Its output goes to files: a child that it leaves behind can
    hold a pipe open for ever, but not a file."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as complaint:
        try:
            process = subprocess.Popen(  # noqa: S603 - the system's own ssh, with a checked host name
                words,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=complaint,
                env=dict(environment),
                start_new_session=True,
            )
        except OSError as error:
            raise ConfigUnusable(f"{words[0]} cannot be run: {error.strerror or error}.") from error
        code: int | None
        try:
            code = process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            code = None
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for each in (out, complaint):
            each.seek(0)
        return code, out.read().decode("utf-8", "replace"), complaint.read().decode("utf-8", "replace")


def _by_parser(destination: Destination, file: Path | None, environment: Mapping[str, str]) -> _Options:
    from asyncssh.config import ConfigParseError, SSHClientConfig  # 140 ms; only where there is no ssh

    own = [] if _is_isolated(environment) else [_home() / ".ssh" / "config", _SYSTEM_CONFIG]
    files = [file] if file is not None else [each for each in own if each.is_file()]
    user, port = destination.user or (), destination.port or ()
    try:
        found: Any = SSHClientConfig.load(None, files, False, False, False, _user(), user, destination.host, port)
    except ConfigParseError as error:
        raise ConfigUnusable(
            f"The SSH configuration cannot be read: {error}.",
            hint="There is no `ssh` program here, and the reader that stands in for it knows less. Install OpenSSH.",
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigUnusable(f"The SSH configuration cannot be read: {error}.") from error
    options: _Options = {}
    for name, value in found.get_options(False).items():
        texts = [_as_written(each) for each in (value if isinstance(value, list) else [value])]
        if name in _FILLED_IN:
            texts = [each.replace("%", "%%") for each in texts]
        options[name.lower()] = [" ".join(texts)] if name.endswith("KnownHostsFile") else texts
    options.setdefault("identityfile", [f"~/.ssh/{name}" for name in _DEFAULT_KEYS])
    options.setdefault("userknownhostsfile", ["~/.ssh/known_hosts ~/.ssh/known_hosts2"])
    options.setdefault("globalknownhostsfile", ["/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"])
    return options


_FILLED_IN = ("CertificateFile", "IdentityAgent", "IdentityFile", "ProxyCommand")
"""Options in which asyncssh has filled in the tokens itself."""


def _as_written(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


class _Reading:
    """The options of one destination on their way to a `HostConfig`."""

    def __init__(self, destination: Destination, environment: Mapping[str, str], options: _Options) -> None:
        self._options = options
        self._environment = environment
        self._isolated = _is_isolated(environment)
        self._home = _home()
        self.host = self._first("hostname") or destination.host
        self.port = int(self._first("port") or destination.port or 22)
        self.user = self._first("user") or destination.user or _user()
        self._tokens = self._make_tokens(destination)

    def config(self, file: Path | None) -> HostConfig:
        jumps, proxy_command = self._first("proxyjump"), self._first("proxycommand")
        return HostConfig(
            self.host,
            self.port,
            self.user,
            (self._first("hostkeyalias") or "").lower() or None,  # as OpenSSH has it
            self._files("identityfile"),
            self._files("certificatefile"),
            self._agent(),
            self._first("identitiesonly") == "yes",
            tuple(parse_destination(each.strip()) for each in jumps.split(",")) if jumps else (),
            self._filled_in(proxy_command, "hnpr") if proxy_command and not jumps else None,
            (*self._known_hosts("userknownhostsfile"), *self._known_hosts("globalknownhostsfile")),
        )

    def _first(self, name: str) -> str | None:
        value = next(iter(self._options.get(name, ())), "")
        return None if value.lower() in ("", "none") else value

    def _make_tokens(self, destination: Destination) -> dict[str, str]:
        local, jumps = socket.gethostname(), self._first("proxyjump") or ""
        tokens = {
            "%": "%",
            "d": str(self._home),
            "h": self.host,
            "i": str(os.getuid()),
            "j": jumps,
            "k": self._first("hostkeyalias") or destination.host,
            "L": local.partition(".")[0],
            "l": local,
            "n": destination.host,
            "p": str(self.port),
            "r": self.user,
            "u": _user(),
        }
        together = "".join((local, self.host, tokens["p"], self.user, jumps))
        return {**tokens, "C": hashlib.sha1(together.encode(), usedforsecurity=False).hexdigest()}

    def _filled_in(self, written: str, known: str | None = None) -> str:
        def fill(match: re.Match[str]) -> str:
            letter = match[1]
            if letter not in self._tokens or (known is not None and letter not in f"%{known}"):
                raise ConfigUnusable(f"The SSH configuration has the unknown token %{letter} in {written!r}.")
            return self._tokens[letter]

        return re.sub(r"%(.?)", fill, written)

    def _path(self, written: str) -> Path | None:
        """A file as the configuration names it; None when it has a variable in it that is not set."""
        try:
            written = re.sub(r"\$\{([^}]*)\}", lambda match: self._environment[match[1]], written)
        except KeyError:
            return None
        written = self._filled_in(written.strip('"'))
        if written == "~" or written.startswith("~/"):
            return self._home / written[2:]
        with suppress(RuntimeError):  # the home folder of somebody who does not exist
            return Path(written).expanduser().absolute()
        return None

    def _files(self, name: str) -> tuple[str, ...]:
        paths = [self._path(each) for each in self._options.get(name, ()) if each.lower() != "none"]
        return tuple(dict.fromkeys(str(path) for path in paths if path is not None and self._may_read(path)))

    def _may_read(self, path: Path) -> bool:
        try:
            return path.is_file() and not (self._isolated and path.is_relative_to(self._home / ".ssh"))
        except OSError:
            return False

    def _known_hosts(self, name: str) -> tuple[str, ...]:
        paths = [self._path(each) for each in " ".join(self._options.get(name, ())).split() if each != "none"]
        return tuple(
            str(path)
            for path in paths
            if path is not None
            and self._may_read(path)
            and not (self._isolated and path.is_relative_to(_SYSTEM_CONFIG.parent))
        )

    def _agent(self) -> str | None:
        written = next(iter(self._options.get("identityagent", ())), None)
        if written is None and self._isolated:
            return None
        if written is None or written == "SSH_AUTH_SOCK":
            return self._environment.get("SSH_AUTH_SOCK") or None
        if written.lower() == "none":
            return None
        if written.startswith("$") and not written.startswith("${"):
            return self._environment.get(written[1:]) or None
        path = self._path(written)
        return None if path is None else str(path)
