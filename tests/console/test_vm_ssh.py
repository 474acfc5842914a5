"""`hawser vm ssh`: the system's ssh with our settings and nothing else, or our own client without it."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console.links.identity import Target
from console.links.known_hosts import fingerprint
from console.links.openssh import ssh_words
from console.links.pins import Pins
from console.paths import find_paths
from tests.console.ssh_kit import OpenSshServer, agent_with, make_key, paths_in, program, public_line, sign_key
from tests.flows.kit import Done, Hawser, complaint, finish, read_until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OpenSshServer]:
    with OpenSshServer(tmp_path / "sshd") as running:
        yield running


class User(Hawser):
    def config(self, *blocks: str) -> None:
        (self.home / "ssh_config").write_text("".join(blocks))

    def ssh(self, name: str, *words: str, stdin: bytes | None = None) -> Done:
        given: dict[str, Any] = {} if stdin is None else {"stdin": stdin}
        return self.run("vm", "ssh", "--ssh-config", str(self.home / "ssh_config"), name, *words, **given)

    @property
    def pins(self) -> Pins:
        return Pins(find_paths(self.env))


BOTH = pytest.mark.parametrize("user", ["ssh", "our own client"], indirect=True)


@pytest.fixture
def user(tmp_path: Path, request: pytest.FixtureRequest) -> User:
    own = getattr(request, "param", "ssh") == "our own client"
    return User(tmp_path / "ha wser 100%", env={"PATH": "/nonexistent"} if own else {})


@BOTH
def test_a_command_runs_there_and_its_exit_code_is_ours(user: User, server: OpenSshServer) -> None:
    user.config(server.host("lab", f"IdentityFile {server.key_file}"))

    first = user.ssh("lab", "--", "echo", "out;", "echo err >&2; cat; exit 7", stdin=b"in\n")
    second = user.ssh("lab", "true")

    assert (first.code, first.out) == (7, b"out\nin\n")
    assert first.lines[-1] == "err"
    assert "is met for the first time" in first.lines[0]
    assert (second.code, second.out, second.err) == (0, b"", "")
    assert user.pins.get("ssh:lab") == (server.host_key,)


@BOTH
def test_bytes_go_both_ways_untouched(user: User, server: OpenSshServer) -> None:
    user.config(server.host("lab", f"IdentityFile {server.key_file}"))
    sent = bytes(range(256)) * 4000

    assert user.ssh("lab", "cat", stdin=sent).out == sent


@BOTH
def test_the_way_over_two_jump_hosts_is_taken(user: User, server: OpenSshServer, tmp_path: Path) -> None:
    with OpenSshServer(tmp_path / "first") as first, OpenSshServer(tmp_path / "second") as second:
        user.config(
            first.host("first", f"IdentityFile {first.key_file}"),
            second.host("second", f"IdentityFile {second.key_file}"),
            server.host("lab", f"IdentityFile {server.key_file}", "ProxyJump first,second"),
        )

        for _ in range(2):
            done = user.ssh("lab", "echo there")
            assert (done.code, done.out) == (0, b"there\n"), done.err
        assert set(user.pins.all()) == {"ssh:first", "ssh:second", "ssh:lab"}
        assert all("Accepted publickey" in each.log for each in (first, second, server))
        assert user.pins.file.read_text().count("\n") == 4, "ssh wrote nothing into the pins"


@BOTH
def test_a_changed_host_key_is_refused(user: User, server: OpenSshServer) -> None:
    user.config(server.host("lab", f"IdentityFile {server.key_file}", "StrictHostKeyChecking no"))
    user.pins.pin("ssh:lab", public_line(make_key(user.home / "another")))

    done = user.ssh("lab", "echo never")

    assert done.code in (3, 255)
    assert done.out == b""
    assert re.search("host key.*(differs|CHANGED|changed)|shows the host key", done.err, re.IGNORECASE)
    assert "Accepted" not in server.log


def test_an_unknown_machine_is_refused_where_that_is_wanted(user: User, server: OpenSshServer) -> None:
    user.config(server.host("lab", f"IdentityFile {server.key_file}"))

    done = user.run("vm", "ssh", "--known-only", "--ssh-config", str(user.home / "ssh_config"), "lab", "true")

    assert fingerprint(server.host_key) in complaint(done, 3)


@BOTH
def test_agent_certificate_and_proxy_command_are_used(user: User, server: OpenSshServer, tmp_path: Path) -> None:
    authority, key = make_key(tmp_path / "authority"), make_key(tmp_path / "key")
    with (
        OpenSshServer(tmp_path / "other", f"TrustedUserCAKeys {authority}.pub") as other,
        agent_with(tmp_path / "agent", server.key_file) as agent,
    ):
        certificate = sign_key(authority, key, other.user).rename(tmp_path / "certi ficate.pub")
        carrier = f"{program('ssh')} -F none -i {server.key_file} -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        user.config(
            server.host("agent", f"IdentityAgent {agent}"),
            other.host("certificate", f"IdentityFile {key}", f'CertificateFile "{certificate}"'),
            server.host(
                "proxy",
                f"IdentityFile {server.key_file}",
                f"ProxyCommand {carrier} -o StrictHostKeyChecking=no -p {server.port} -W 127.0.0.1:%p 127.0.0.1",
            ),
        )

        for name in ("agent", "certificate", "proxy"):
            done = user.ssh(name, "echo there")
            assert (done.code, done.out) == (0, b"there\n"), (name, done.err)


@BOTH
def test_a_shell_has_a_terminal_there(user: User, server: OpenSshServer) -> None:
    user.config(server.host("lab", f"IdentityFile {server.key_file}"))
    user.pins.pin("ssh:lab", server.host_key)
    user.env["TERM"] = "dumb"
    ours, its = pty.openpty()
    process = user.start(
        "vm", "ssh", "--ssh-config", str(user.home / "ssh_config"), "lab", stdin=its, stdout=its, stderr=its
    )
    os.close(its)
    try:
        os.write(ours, b"test -t 0 && echo is-$((40 + 2))-$TERM; exit 5\n")
        read_until(ours, lambda came: b"is-42-dumb" in came)
        assert finish(process).code == 5
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_the_call_reads_no_file_of_the_users_and_holds_no_secret(tmp_path: Path) -> None:
    pins = Pins(paths_in(tmp_path))
    jump = Target("near", "ssh:near", "10.0.0.1", 22, "me", ("/k",), proxy_command="nc 10.0.0.1 100%")
    target = Target(
        "gpu", "vast:1", "::1", 40022, "root", agent="/run/a b", jumps=(jump,), fleet_key=True, identities_only=True
    )

    words = ssh_words("/usr/bin/ssh", target, pins, ["nvidia-smi", "-L"], Path("/fleet"))

    assert words[:3] == ["/usr/bin/ssh", "-F", "none"]
    assert words[-4:] == ["--", "::1", "nvidia-smi", "-L"]
    settings = dict(word.split("=", 1) for word in words if "=" in word)
    assert settings["HostKeyAlias"] == "vast:1"
    assert settings["StrictHostKeyChecking"] == "yes"
    assert settings["UserKnownHostsFile"] == f'"{pins.file}"'
    assert settings["IdentitiesOnly"] == "yes"
    assert settings["IdentityFile"] == '"/fleet"'
    assert settings["IdentityAgent"] == '"/run/a b"'
    assert "HostKeyAlias=ssh:near" in settings["ProxyCommand"]
    assert "100%%%%" in settings["ProxyCommand"], "each ssh takes one half of the percent signs away"
    read = subprocess.run([*words[:1], "-G", *words[1:]], capture_output=True, text=True, check=True).stdout
    assert f"userknownhostsfile {pins.file}" in read
    assert "stricthostkeychecking true" in read
