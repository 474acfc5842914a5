"""The user's SSH configuration: as `ssh -G` tells it, and as asyncssh's parser does without it."""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from console.errors import ConfigUnusable
from console.links import ssh_config
from console.links.identity import Target, resolve
from console.links.ssh_config import Destination, HostConfig, parse_destination, read_config
from tests.console.ssh_kit import ISOLATED, paths_in, settings_of

ME = pwd.getpwuid(os.getuid()).pw_name
WITHOUT_SSH = {**ISOLATED, "PATH": "/nonexistent"}
BOTH = pytest.mark.parametrize("environment", [ISOLATED, WITHOUT_SSH], ids=["ssh -G", "asyncssh"])


def read(tmp_path: Path, written: str, name: str = "lab", environment: Mapping[str, str] = ISOLATED) -> HostConfig:
    file = tmp_path / "config"
    file.write_text(written)
    return read_config(parse_destination(name), file, environment)


def resolved(tmp_path: Path, written: str, name: str = "lab", environment: Mapping[str, str] = ISOLATED) -> Target:
    file, paths = tmp_path / "config", paths_in(tmp_path)
    file.write_text(written)
    return asyncio.run(resolve(name, settings_of(paths), paths, ssh_config=file, environment=environment))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("lab", Destination(None, "lab", None)),
        ("me@lab", Destination("me", "lab", None)),
        ("me@lab:2222", Destination("me", "lab", 2222)),
        ("10.1.2.3:1", Destination(None, "10.1.2.3", 1)),
        ("::1", Destination(None, "::1", None)),
        ("me@[::1]:22", Destination("me", "::1", 22)),
        ("[fe80::1%eth0]", Destination(None, "fe80::1%eth0", None)),
        ("ssh://me@lab:22/", Destination("me", "lab", 22)),
        ("DOMAIN\\me@lab", Destination("DOMAIN\\me", "lab", None)),
        ("a@b@lab", Destination("a@b", "lab", None)),
    ],
)
def test_destinations_are_read(written: str, expected: Destination) -> None:
    assert parse_destination(written) == expected


@pytest.mark.parametrize(
    "written",
    [
        "",
        "@",
        "me@",
        "lab:",
        "lab:0",
        "lab:65536",
        "lab:x",
        "lab:²",
        "[::1",
        "[::1]x",
        "[::1]22",
        "-oProxyCommand=x",
        "me@-x",
        "a b",
        "lab;id",
        "$(id)",
        "-l@lab",
        "m;e@lab",
        "m`e@lab",
        "lab\n",
        "\x1b[1m",
    ],
)
def test_what_is_no_destination_is_refused(written: str) -> None:
    with pytest.raises(ConfigUnusable, match="names no machine"):
        parse_destination(written)


@BOTH
def test_everything_that_a_login_needs_is_read(tmp_path: Path, environment: Mapping[str, str]) -> None:
    for name in ("key", "me-10.1.2.3", "cert.pub", "known one", "known"):
        (tmp_path / name).touch()
    (tmp_path / "included").write_text("Host lab\n  Port 2200\n")
    written = f"""
Include {tmp_path}/included
Host lab
  HostName 10.1.2.3
  User me
  Port 1
  HostKeyAlias the-lab
  IdentityFile {tmp_path}/key
  IdentityFile {tmp_path}/%r-%h
  IdentityFile {tmp_path}/missing
  CertificateFile {tmp_path}/cert.pub
  CertificateFile {tmp_path}/missing
  IdentityAgent {tmp_path}/agent
  IdentitiesOnly yes
  UserKnownHostsFile {tmp_path}/known {tmp_path}/missing
  GlobalKnownHostsFile none
"""

    assert read(tmp_path, written, environment=environment) == HostConfig(
        host="10.1.2.3",
        port=2200,
        user="me",
        host_key_alias="the-lab",
        key_files=(f"{tmp_path}/key", f"{tmp_path}/me-10.1.2.3"),
        certificate_files=(f"{tmp_path}/cert.pub",),
        agent=f"{tmp_path}/agent",
        identities_only=True,
        known_hosts_files=(f"{tmp_path}/known",),
    )


@BOTH
def test_what_was_typed_goes_before_the_file(tmp_path: Path, environment: Mapping[str, str]) -> None:
    config = read(tmp_path, "Host lab\n User me\n Port 2\n", "you@lab:3", environment)

    assert (config.host, config.user, config.port) == ("lab", "you", 3)


@BOTH
def test_a_host_of_which_nothing_is_said_has_the_usual_values(tmp_path: Path, environment: Mapping[str, str]) -> None:
    assert read(tmp_path, "", "gpu.example", environment) == HostConfig("gpu.example", 22, ME)


@BOTH
def test_a_proxy_command_has_its_tokens_filled_in(tmp_path: Path, environment: Mapping[str, str]) -> None:
    config = read(tmp_path, "Host lab\n HostName h\n ProxyCommand nc %h %p %r 100%%\n", "me@lab:5", environment)

    assert config.proxy_command == "nc h 5 me 100%"


@BOTH
def test_none_switches_things_off(tmp_path: Path, environment: Mapping[str, str]) -> None:
    written = "Host lab\n IdentityAgent none\n ProxyCommand none\n IdentityFile none\n UserKnownHostsFile none\n"
    config = read(tmp_path, written, environment={**environment, "SSH_AUTH_SOCK": "/agent"})

    assert (config.agent, config.proxy_command, config.jumps, config.key_files) == (None, None, (), ())
    assert config.known_hosts_files == ()


@pytest.mark.parametrize(
    ("written", "expected"),
    [("SSH_AUTH_SOCK", "/usual"), ("$OTHER", "/other"), ("${OTHER}-2", "/other-2"), ("$NO", None)],
)
def test_the_agent_may_be_named_by_a_variable(tmp_path: Path, written: str, expected: str | None) -> None:
    environment = {**ISOLATED, "SSH_AUTH_SOCK": "/usual", "OTHER": "/other"}

    assert read(tmp_path, f"Host lab\n IdentityAgent {written}\n", environment=environment).agent == expected


def test_the_agent_of_the_environment_is_taken_unless_isolated(tmp_path: Path) -> None:
    environment = {**ISOLATED, "SSH_AUTH_SOCK": "/usual"}

    assert read(tmp_path, "", environment=environment).agent is None
    assert read(tmp_path, "", environment={**environment, "HAWSER_ISOLATED": "0"}).agent == "/usual"


def test_tokens_are_filled_in_as_in_the_manual(tmp_path: Path) -> None:
    names = {
        "%u": ME,
        "%i": str(os.getuid()),
        "%n": "lab",
        "%p": "7",
        "%k": "other",
        "%L": socket.gethostname().split(".")[0],
    }
    lines = []
    for token, value in names.items():
        (tmp_path / f"{token[1]}-{value}").touch()
        lines.append(f" IdentityFile {tmp_path}/{token[1]}-{token}")

    config = read(tmp_path, "\n".join(["Host lab", " HostKeyAlias other", " Port 7", *lines]))

    assert config.key_files == tuple(f"{tmp_path}/{token[1]}-{value}" for token, value in names.items())


LENIENT = """
Host lab # a comment
  HostName 10.0.0.1 # another
  ConnectTimeout 10s
  ServerAliveInterval 1m
  IdentityFile ${NOT_SET}/key
  PubkeyAuthentication unbound
Match originalhost lab exec "test a = a"
  User matched
"""


def test_what_only_openssh_understands_is_read_by_it(tmp_path: Path) -> None:
    config = read(tmp_path, LENIENT)

    assert (config.host, config.user, config.key_files) == ("10.0.0.1", "matched", ())


def test_without_ssh_the_parsers_complaint_names_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigUnusable, match=r"config line \d+: ") as caught:
        read(tmp_path, LENIENT, environment=WITHOUT_SSH)

    assert "Install OpenSSH" in (caught.value.hint or "")


def test_a_line_that_openssh_refuses_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigUnusable, match="line 2: Bad configuration option: nonsense"):
        read(tmp_path, "Host lab\n Nonsense yes\n")


@BOTH
def test_a_configuration_that_is_not_there_is_told(tmp_path: Path, environment: Mapping[str, str]) -> None:
    with pytest.raises(ConfigUnusable, match="There is no SSH configuration"):
        read_config(parse_destination("lab"), tmp_path / "missing", environment)


def test_a_configuration_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_config, "LIMIT_S", 0.2)

    with pytest.raises(ConfigUnusable, match=r"took longer than 0\.2 s"):
        read(tmp_path, 'Match exec "sleep 600; true"\n User me\n')


def test_isolated_nothing_of_the_users_own_is_read(tmp_path: Path) -> None:
    config = read_config(parse_destination("localhost"), None, ISOLATED)

    assert config == HostConfig("localhost", 22, ME)


# Jump hosts

CHAIN = """
Host lab
  ProxyJump you@first:1,second
Host first
  HostName 10.0.0.1
  ProxyJump zeroth
Host second
  HostName 10.0.0.2
  ProxyCommand never %h
  ProxyJump never
Host zeroth
  HostName 10.0.0.3
  ProxyCommand nc %h %p
"""


@BOTH
def test_jump_hosts_are_resolved_in_the_order_of_the_way(tmp_path: Path, environment: Mapping[str, str]) -> None:
    target = resolved(tmp_path, CHAIN, environment=environment)

    assert [(jump.identity, jump.host, jump.port, jump.user) for jump in target.jumps] == [
        ("ssh:zeroth", "10.0.0.3", 22, ME),
        ("ssh:first:1", "10.0.0.1", 1, "you"),
        ("ssh:second", "10.0.0.2", 22, ME),
    ]
    assert [jump.proxy_command for jump in target.jumps] == ["nc 10.0.0.3 22", None, None]
    assert all(jump.jumps == () for jump in target.jumps)
    assert target.proxy_command is None


@BOTH
def test_jump_hosts_in_a_circle_are_found(tmp_path: Path, environment: Mapping[str, str]) -> None:
    with pytest.raises(ConfigUnusable, match="lead in a circle: a → b → a"):
        resolved(tmp_path, "Host a\n ProxyJump b\nHost b\n ProxyJump a\n", "a", environment)
