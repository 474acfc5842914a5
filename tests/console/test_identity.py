"""Who a machine is and how to log in: against the simulated machine, a real OpenSSH server, and whatever goes wrong."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import socket
import stat
import warnings
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from console.errors import (
    ConfigUnusable,
    Exit,
    HostKeyChanged,
    HostKeyUnknown,
    JumpRefused,
    KeyFileUnusable,
    LinkError,
    LinkUnreachable,
    LoginRefused,
    NoCommonAlgorithm,
    NotAnSshServer,
    SettingsError,
    explain,
)
from console.links import login
from console.links.credentials import Credentials, Keychain, credentials
from console.links.fleet_key import fleet_key
from console.links.identity import Met, Pins, Target, connect, meet, resolve
from console.links.known_hosts import fingerprint
from console.links.proxy import start_proxy
from console.paths import Paths
from providers.simulated.machine import SimulatedMachine
from tests.conftest import run
from tests.console.ssh_kit import (
    ISOLATED,
    OpenSshServer,
    ScriptedAsk,
    agent_with,
    block,
    machine_block,
    make_key,
    paths_in,
    public_line,
    serving,
    settings_of,
    sign_key,
)


class User:
    """Somebody with a folder, pins, and an SSH configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths = paths_in(folder)
        self.pins = Pins(self.paths)
        self.config_file = folder / "ssh_config"
        self.known_hosts = folder / "user_known_hosts"

    def config(self, *blocks: str) -> None:
        self.config_file.write_text("".join(blocks))

    async def target(self, name: str, *, settings: str = "", environment: Mapping[str, str] = ISOLATED) -> Target:
        file = self.config_file if self.config_file.exists() else None
        loaded = settings_of(self.paths, settings)
        return await resolve(name, loaded, self.paths, ssh_config=file, environment=environment)

    @asynccontextmanager
    async def connected(self, name: str | Target, **how: Any) -> AsyncIterator[asyncssh.SSHClientConnection]:
        target = await self.target(name) if isinstance(name, str) else name
        connection = await connect(target, self.pins, **{"ask": ScriptedAsk(), **how})
        try:
            yield connection
        finally:
            connection.close()
            await connection.wait_closed()

    async def refusal(self, name: str | Target, **how: Any) -> LinkError:
        with pytest.raises(LinkError) as caught:
            async with self.connected(name, **how):
                pass
        return caught.value


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


async def said(connection: asyncssh.SSHClientConnection, command: str = "echo hello") -> str:
    done = await connection.run(command, check=True)
    assert isinstance(done.stdout, str)
    return done.stdout.strip()


# Who it is


def identity(user: User, name: str, config: str = "", settings: str = "") -> str:
    user.config(config)
    return run(user.target(name, settings=settings)).identity


def test_a_machine_of_ours_is_its_name_whatever_its_address(user: User) -> None:
    def settings(host: str) -> str:
        return f'[machines.box]\ncloud = "ssh"\nhost = "{host}"\n'

    assert identity(user, "box", settings=settings("me@10.0.0.1:22")) == "ssh:box"
    assert identity(user, "box", "Host lab\n HostName 10.0.0.2\n", settings("lab")) == "ssh:box"
    target = run(user.target("box", settings=settings("lab")))
    assert (target.name, target.host, target.port) == ("box", "10.0.0.2", 22)


def test_an_alias_is_its_name_and_a_host_key_alias_goes_before(user: User) -> None:
    assert identity(user, "lab", "Host lab\n HostName 10.0.0.1\n") == "ssh:lab"
    assert identity(user, "me@lab", "Host lab\n HostName 10.0.0.1\n") == "ssh:lab"
    assert identity(user, "lab:2222", "Host lab\n HostName 10.0.0.1\n") == "ssh:lab:2222"
    assert identity(user, "lab", "Host lab\n HostName 10.0.0.1\n HostKeyAlias Box-7\n") == "ssh:box-7"


@pytest.mark.parametrize(
    ("name", "expected", "address"),
    [
        ("me@10.0.0.1", "ssh:10.0.0.1:22", "10.0.0.1"),
        ("you@10.0.0.1:2222", "ssh:10.0.0.1:2222", "10.0.0.1:2222"),
        ("GPU.example", "ssh:gpu.example:22", "GPU.example"),
        ("me@[::1]:2222", "ssh:[::1]:2222", "[::1]:2222"),
        ("::1", "ssh:[::1]:22", "[::1]"),
    ],
)
def test_a_bare_address_is_itself_whoever_logs_in(user: User, name: str, expected: str, address: str) -> None:
    target = run(user.target(name))

    assert target.identity == expected
    assert target.address.lower() == address.lower()


def test_a_machine_that_nobody_knows_a_host_of_is_told(user: User) -> None:
    with pytest.raises(SettingsError, match="Nothing is known of where 'gpu' is"):
        run(user.target("gpu", settings='[machines.gpu]\ncloud = "vast"\n'))


# Getting in


def test_the_simulated_machine_lets_us_in_and_its_key_is_pinned(user: User) -> None:
    async def body() -> None:
        ask, met = ScriptedAsk(), list[Met]()
        async with SimulatedMachine() as machine:
            user.config(machine_block("berth", machine))

            async with user.connected("berth", ask=ask, told=met.append) as connection:
                assert await said(connection) == "hello"
                assert connection.get_extra_info("send_cipher") == "aes128-gcm@openssh.com"
            async with user.connected("berth", ask=ask, told=met.append):
                pass

            assert user.pins.get("ssh:berth") == (machine.host_key,)
            assert ask.met == [("berth", fingerprint(machine.host_key))]
            assert [(each.target.name, each.fingerprint, each.how) for each in met] == [
                ("berth", fingerprint(machine.host_key), "accepted")
            ]
            await machine.until(lambda: machine.connections == 0)

    run(body())


def test_a_real_openssh_lets_us_in(user: User) -> None:
    async def body(server: OpenSshServer) -> None:
        user.config(server.host("lab", f"IdentityFile {server.key_file}"))

        async with user.connected("lab") as connection:
            assert await said(connection) == "hello"
        assert user.pins.get("ssh:lab") == (server.host_key,)

    with OpenSshServer(user.folder / "sshd") as server:
        run(body(server))


def test_jump_hosts_are_gone_through_and_closed_with_the_connection(user: User) -> None:
    async def body() -> None:
        async with SimulatedMachine("near") as near, SimulatedMachine("mid") as mid, SimulatedMachine("far") as far:
            near.services[mid.port] = (mid.host, mid.port)
            mid.services[far.port] = (far.host, far.port)
            user.config(
                machine_block("near", near),
                machine_block("mid", mid),
                machine_block("far", far, "ProxyJump near,mid"),
            )

            async with user.connected("far") as connection:
                assert await said(connection) == "hello"
                assert (near.connections, mid.connections, far.connections) == (1, 1, 1)

            await near.until(lambda: near.connections == 0)
            await mid.until(lambda: mid.connections == 0)
            assert set(user.pins.all()) == {"ssh:near", "ssh:mid", "ssh:far"}

    run(body())


def test_a_tunnel_of_the_callers_stays(user: User) -> None:
    async def body() -> None:
        async with SimulatedMachine("near") as near, SimulatedMachine("far") as far:
            near.services[far.port] = (far.host, far.port)
            user.config(machine_block("near", near), machine_block("far", far))

            async with user.connected("near") as tunnel:
                async with user.connected("far", tunnel=tunnel) as connection:
                    assert await said(connection) == "hello"
                assert await said(tunnel) == "hello"

    run(body())


def test_a_jump_host_that_fails_is_named_and_nothing_is_left_open(user: User) -> None:
    async def body() -> None:
        async with SimulatedMachine("near") as near, SimulatedMachine("far") as far:
            user.config(machine_block("near", near), machine_block("far", far, "ProxyJump near"))

            unreachable = await user.refusal("far")  # near knows no way to it
            near.forbid_forwarding()
            forbidden = await user.refusal("far")
            near.reject_login()
            rejected = await user.refusal("far")
            await near.refuse()
            refused = await user.refusal("far")
            await near.until(lambda: near.connections == 0)

        assert isinstance(unreachable, LinkUnreachable)
        assert "The jump host cannot reach 'far'" in unreachable.text
        assert isinstance(forbidden, JumpRefused)
        assert isinstance(rejected, LoginRefused)
        assert "The jump host 'near' accepts no key of ours" in rejected.text
        assert isinstance(refused, LinkUnreachable)
        assert "The jump host 'near' at 127.0.0.1" in refused.text

    run(body())


def test_a_proxy_command_carries_the_connection_and_ends_with_it(user: User) -> None:
    async def body(server: OpenSshServer) -> None:
        carrier = user.folder / "carrier.py"
        carrier.write_text(
            "import os, pathlib, socket, sys, threading\n"
            "pathlib.Path(__file__).with_suffix('.pid').write_text(str(os.getpid()))\n"
            "print('a word of complaint', file=sys.stderr, flush=True)\n"
            "way = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
            "def back():\n"
            "    while piece := way.recv(65536): os.write(1, piece)\n"
            "    os._exit(0)\n"
            "threading.Thread(target=back, daemon=True).start()\n"
            "while piece := os.read(0, 65536): way.sendall(piece)\n"
        )
        command = f"python3 {carrier} %h %p"
        user.config(server.host("lab", f"IdentityFile {server.key_file}", f"ProxyCommand {command}"))

        async with user.connected("lab") as connection:
            assert await said(connection) == "hello"
            pid = int(carrier.with_suffix(".pid").read_text())
            assert _is_running(pid)
        async with asyncio.timeout(30):
            while _is_running(pid):
                await asyncio.sleep(0.01)

    with OpenSshServer(user.folder / "sshd") as server:
        run(body(server))


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_proxy_command_that_fails_says_why(user: User) -> None:
    user.config(block("lab", 22, "me", "ProxyCommand echo no way through >&2"))

    refused = run(user.refusal("lab"))

    assert isinstance(refused, LinkUnreachable)
    assert refused.text == "The ProxyCommand for 'lab' failed: no way through."


def test_a_proxy_command_that_is_called_off_as_it_starts_leaves_nothing() -> None:
    async def body() -> list[warnings.WarningMessage]:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            starting = asyncio.create_task(start_proxy("sleep 1000"))
            await asyncio.sleep(0)
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
            del starting
            gc.collect()
        return told

    assert [str(warning.message) for warning in run(body())] == []


# Keys


def test_a_login_that_is_called_off_at_its_end_leaves_no_connection(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            user.config(machine_block("lab", machine))
            at_the_end = asyncio.Event()

            @asynccontextmanager
            async def slow_to_leave(*given: Any) -> AsyncIterator[Credentials]:
                async with credentials(*given) as ours:
                    yield ours
                    at_the_end.set()
                    await asyncio.Event().wait()  # as an agent that takes its time

            monkeypatch.setattr(login, "credentials", slow_to_leave)
            target = await user.target("lab")
            entering = asyncio.create_task(connect(target, user.pins, ask=ScriptedAsk()))
            await at_the_end.wait()
            assert machine.connections == 1
            entering.cancel()
            with pytest.raises(asyncio.CancelledError):
                await entering

            async with asyncio.timeout(30):
                while machine.connections:
                    await asyncio.sleep(0.01)

    run(body())


def test_the_agents_keys_are_offered_after_the_files(user: User, tmp_path: Path) -> None:
    async def body(agent: str) -> None:
        async with SimulatedMachine() as machine:
            machine.authorise(public_line(held))
            lines = (f"IdentityAgent {agent}",)
            user.config(
                block("agent", machine.port, machine.user, *lines),
                block("named", machine.port, machine.user, *lines, f"IdentityFile {held}.pub", "IdentitiesOnly yes"),
                block("other", machine.port, machine.user, *lines, f"IdentityFile {other}", "IdentitiesOnly yes"),
                block("gone", machine.port, machine.user, f"IdentityAgent {agent}-gone"),
            )
            for name in ("agent", "named"):
                async with user.connected(name) as connection:
                    assert await said(connection) == "hello"

            assert isinstance(await user.refusal("other"), LoginRefused)
            gone = await user.refusal("gone")
            assert isinstance(gone, KeyFileUnusable)
            assert "The agent at" in gone.text

    held, other = make_key(tmp_path / "held"), make_key(tmp_path / "other")
    with agent_with(tmp_path / "a", held) as agent:
        run(body(agent))


def test_an_encrypted_key_is_asked_for_once_and_only_when_it_is_needed(user: User, tmp_path: Path) -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            machine.authorise(public_line(locked))
            user.config(
                block("locked", machine.port, machine.user, f"IdentityFile {locked}"),
                machine_block("open", machine, f"IdentityFile {locked}"),
            )
            ask = ScriptedAsk("wrong", "right")
            keychain = Keychain(ask)

            async with user.connected("open", ask=keychain):
                pass
            assert ask.files == []
            target = await user.target("locked")
            both = await asyncio.gather(*(connect(target, user.pins, ask=keychain) for _ in range(2)))
            for connection in both:
                connection.close()
                await connection.wait_closed()
            assert ask.files == [str(locked)] * 2

    locked = make_key(tmp_path / "locked", passphrase="right")
    run(body())


def test_a_passphrase_that_nobody_knows_is_told(user: User, tmp_path: Path) -> None:
    async def body() -> tuple[LinkError, LinkError, int]:
        async with SimulatedMachine() as machine:
            user.config(block("locked", machine.port, machine.user, f"IdentityFile {locked}"))
            nobody = await user.refusal("locked")
            wrong = ScriptedAsk("a", "b", "", "d")
            return nobody, await user.refusal("locked", ask=wrong), len(wrong.files)

    locked = make_key(tmp_path / "locked", passphrase="right")
    nobody, wrong, asked = run(body())

    assert isinstance(nobody, KeyFileUnusable)
    assert f"{locked} needs a passphrase, and nobody gave it" in nobody.text
    assert nobody.hint == f"Load it into an agent with: ssh-add {locked}"
    assert isinstance(wrong, KeyFileUnusable)
    assert "not the passphrase" in wrong.text
    assert asked == 3


def test_an_encrypted_key_that_the_agent_holds_is_not_asked_for(user: User, tmp_path: Path) -> None:
    async def body(agent: str) -> None:
        async with SimulatedMachine() as machine:
            machine.authorise(public_line(locked))
            user.config(block("lab", machine.port, machine.user, f"IdentityFile {locked}", f"IdentityAgent {agent}"))
            ask = ScriptedAsk()
            async with user.connected("lab", ask=ask) as connection:
                assert await said(connection) == "hello"
            assert ask.files == []

    locked, plain = make_key(tmp_path / "locked", passphrase="right"), tmp_path / "plain"
    asyncssh.read_private_key(locked, "right").write_private_key(plain)
    plain.chmod(0o600)
    with agent_with(tmp_path / "a", plain) as agent:
        run(body(agent))


@pytest.mark.parametrize("where", ["beside", "named", "agent"])
def test_a_user_certificate_opens_a_server_that_knows_only_the_authority(user: User, where: str) -> None:
    async def body(server: OpenSshServer, agent: str) -> None:
        lines = {
            "beside": [f"IdentityFile {key}"],
            "named": [f"IdentityFile {key}", f"CertificateFile {certificate}"],
            "agent": [f"IdentityAgent {agent}", f"CertificateFile {certificate}"],
        }[where]
        user.config(server.host("lab", *lines))
        async with user.connected("lab") as connection:
            assert await said(connection) == "hello"

    authority, key = make_key(user.folder / "authority"), make_key(user.folder / "key")
    plain = make_key(user.folder / "agents") if where != "agent" else key
    with (
        OpenSshServer(user.folder / "sshd", f"TrustedUserCAKeys {authority}.pub") as server,
        agent_with(user.folder / "a", plain) as agent,
    ):
        certificate = sign_key(authority, key, server.user)
        if where != "beside":
            certificate = certificate.rename(user.folder / "elsewhere.pub")
        run(body(server, agent))


@pytest.mark.parametrize("content", ["", "nonsense", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END"])
def test_a_file_that_is_no_key_is_told_when_there_is_no_other(user: User, content: str) -> None:
    async def body() -> LinkError:
        async with SimulatedMachine() as machine:
            user.config(block("lab", machine.port, machine.user, f"IdentityFile {file}"))
            return await user.refusal("lab")

    file = user.folder / "no_key"
    file.write_text(content)
    refused = run(body())

    assert isinstance(refused, KeyFileUnusable)
    assert f"The key {file} cannot be used" in refused.text


def test_a_missing_key_file_is_told(user: User) -> None:
    async def body() -> LinkError:
        async with SimulatedMachine() as machine:
            return await user.refusal(Target("lab", "ssh:lab", machine.host, machine.port, "root", ("/no/key",)))

    refused = run(body())

    assert isinstance(refused, KeyFileUnusable)
    assert "The key /no/key cannot be used: No such file or directory" in refused.text


def test_the_fleet_key_is_made_once_and_opens_rented_machines(user: User) -> None:
    async def body() -> None:
        key = fleet_key(user.paths)
        async with SimulatedMachine() as machine:
            machine.authorise(key.public_line)
            target = Target(
                "gpu", "vast:1", machine.host, machine.port, "root", fleet_key=True, key_from_cloud=machine.host_key
            )
            async with user.connected(target, first="known-only") as connection:
                assert await said(connection) == "hello"
        assert fleet_key(user.paths) == key
        assert stat.S_IMODE(key.file.stat().st_mode) == 0o600
        assert key.public_line.startswith("ssh-ed25519 ")

    run(body())


def test_processes_that_make_the_fleet_key_at_the_same_time_get_the_same(user: User) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        keys = pool.map(_public_line, [user.paths] * 6)

    assert len(set(keys)) == 1
    assert [each.name for each in user.paths.data.iterdir()] == ["fleet_ed25519"]


def _public_line(paths: Paths) -> str:
    return fleet_key(paths).public_line


def test_a_fleet_key_that_is_broken_is_not_replaced(user: User) -> None:
    file = fleet_key(user.paths).file
    file.write_text("nonsense")

    with pytest.raises(KeyFileUnusable, match="not the key for rented machines"):
        fleet_key(user.paths)
    assert file.read_text() == "nonsense"


# Host keys


def test_a_changed_key_stops_everything_and_shows_both_fingerprints(user: User) -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            user.config(machine_block("lab", machine))
            async with user.connected("lab"):
                before = machine.host_key
            after, logins = machine.new_host_key(), machine.logins

            refused = await user.refusal("lab")

            assert isinstance(refused, HostKeyChanged)
            assert (refused.expected, refused.seen) == ((fingerprint(before),), fingerprint(after))
            assert all(each in refused.text for each in (fingerprint(before), fingerprint(after)))
            assert machine.logins == logins
            user.pins.forget("ssh:lab")
            async with user.connected("lab") as connection:
                assert await said(connection) == "hello"

    run(body())


def test_a_key_of_another_type_is_a_changed_key(user: User) -> None:
    async def body() -> None:
        async with SimulatedMachine(host_key="ecdsa-sha2-nistp256") as machine:
            user.config(machine_block("lab", machine))
            user.pins.pin("ssh:lab", asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode())

            assert isinstance(await user.refusal("lab"), HostKeyChanged)

    run(body())


def test_an_address_that_another_machine_has_now_neither_nags_nor_matches(user: User) -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            first = Target("one", "vast:1", machine.host, machine.port, "root", (str(machine.key_file),))
            async with user.connected(first._replace(key_from_cloud=machine.host_key)):
                pass
            second = first._replace(name="two", identity="vast:2", key_from_cloud=machine.new_host_key())
            ask = ScriptedAsk()

            async with user.connected(second, ask=ask) as connection:
                assert await said(connection) == "hello"
            assert ask.met == []
            assert isinstance(await user.refusal(first), HostKeyChanged)

    run(body())


def test_a_machine_that_moved_is_the_same_machine(user: User) -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            user.config(machine_block("lab", machine))
            async with user.connected("lab"):
                pass
            await machine.move()
            user.config(machine_block("lab", machine))

            async with user.connected("lab", first="known-only") as connection:
                assert await said(connection) == "hello"

    run(body())


def test_the_clouds_word_on_the_key_counts(user: User) -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            keys = (str(machine.key_file),)
            target = Target("gpu", "vast:9", machine.host, machine.port, "root", keys, key_from_cloud=machine.host_key)
            machine.new_host_key()

            assert isinstance(await user.refusal(target), HostKeyChanged)

    run(body())


def _with_known_hosts(machine: SimulatedMachine, user: User, *lines: str) -> str:
    return machine_block("lab", machine, f"UserKnownHostsFile {user.known_hosts}", *lines)


@pytest.mark.parametrize("alias", [None, "the-lab"])
def test_a_key_in_the_users_known_hosts_is_taken_over_and_the_file_left_alone(user: User, alias: str | None) -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            line = f"{alias} {machine.host_key}\n" if alias else machine.known_hosts_line
            user.known_hosts.write_text(line)
            user.config(_with_known_hosts(machine, user, *([f"HostKeyAlias {alias}"] if alias else [])))
            met: list[Met] = []

            async with user.connected("lab", first="known-only", told=met.append):
                pass

            assert [each.how for each in met] == ["known_hosts"]
            assert user.known_hosts.read_text() == line

    run(body())


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256"])
def test_a_contradiction_to_the_users_known_hosts_is_refused(user: User, kind: str) -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            other = asyncssh.generate_private_key(kind).export_public_key().decode()
            user.known_hosts.write_text(f"[127.0.0.1]:{machine.port} {other}")
            user.config(_with_known_hosts(machine, user))
            ask = ScriptedAsk()

            refused = await user.refusal("lab", ask=ask)

            assert isinstance(refused, HostKeyChanged)
            assert "your known_hosts has" in refused.text
            assert (ask.met, user.pins.all()) == ([], {})

    run(body())


def test_a_revoked_key_is_refused(user: User) -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            user.known_hosts.write_text(f"@revoked * {machine.host_key}\n")
            user.config(_with_known_hosts(machine, user))

            refused = await user.refusal("lab")

            assert isinstance(refused, HostKeyUnknown)
            assert "marks as revoked" in refused.text

    run(body())


def test_a_machine_that_is_not_known_is_refused_where_that_is_wanted(user: User) -> None:
    async def body() -> tuple[LinkError, LinkError, str]:
        async with SimulatedMachine() as machine:
            user.config(machine_block("lab", machine))
            known_only = await user.refusal("lab", first="known-only")
            declined = await user.refusal("lab", ask=ScriptedAsk(accepts=False))
            assert machine.logins == 0
            return known_only, declined, fingerprint(machine.host_key)

    known_only, declined, shown = run(body())

    for refused in (known_only, declined):
        assert isinstance(refused, HostKeyUnknown)
        assert refused.seen == shown
        assert shown in refused.text
    assert known_only.hint == "If that is right, run: hawser link pin lab"
    assert user.pins.all() == {}


CARELESS = (
    "StrictHostKeyChecking no",
    "UserKnownHostsFile none",
    "CheckHostIP no",
    "NoHostAuthenticationForLocalhost yes",
)


def test_no_configuration_switches_the_check_off(user: User) -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            user.config(machine_block("lab", machine, *CARELESS))
            assert isinstance(await user.refusal("lab", first="known-only"), HostKeyUnknown)
            async with user.connected("lab"):
                pass
            machine.new_host_key()

            assert isinstance(await user.refusal("lab"), HostKeyChanged)

    run(body())


def test_a_server_with_a_host_certificate_is_met_by_its_plain_key(user: User) -> None:
    async def body(server: OpenSshServer) -> None:
        user.config(server.host("lab", f"IdentityFile {server.key_file}"))
        for _ in range(2):
            async with user.connected("lab") as connection:
                assert await said(connection) == "hello"
        assert user.pins.get("ssh:lab") == (server.host_key,)

    with OpenSshServer(user.folder / "sshd", with_host_certificate=True) as server:
        run(body(server))


def test_meeting_a_machine_pins_its_key_without_logging_in(user: User) -> None:
    async def body() -> None:
        async with SimulatedMachine("near") as near, SimulatedMachine("far") as far:
            near.services[far.port] = (far.host, far.port)
            user.config(machine_block("near", near), machine_block("far", far, "ProxyJump near"))

            await meet(await user.target("far"), user.pins, ask=ScriptedAsk())

            assert user.pins.all() == {"ssh:near": (near.host_key,), "ssh:far": (far.host_key,)}
            assert (near.logins, far.logins) == (1, 0)
            await near.until(lambda: near.connections == 0)

    run(body())


# What goes wrong


def test_a_login_that_is_refused_says_for_whom(user: User) -> None:
    async def body() -> tuple[LinkError, LinkError]:
        async with SimulatedMachine() as machine:
            user.config(machine_block("lab", machine), block("bare", machine.port, "me"))
            machine.reject_login()
            return await user.refusal("lab"), await user.refusal("bare")

    refused, bare = run(body())

    assert isinstance(refused, LoginRefused)
    assert refused.text == "'lab' accepts no key of ours for the user 'root'."
    assert isinstance(bare, LoginRefused)
    assert bare.text == "There is no key to log in to 'bare' with."


def test_a_server_that_gives_up_before_all_keys_are_tried_is_told(user: User) -> None:
    async def body(server: OpenSshServer) -> LinkError:
        keys = [make_key(user.folder / f"key{number}") for number in range(4)]
        user.config(server.host("lab", *(f"IdentityFile {key}" for key in keys)))
        return await user.refusal("lab")

    with OpenSshServer(user.folder / "sshd", "MaxAuthTries 2") as server:
        refused = run(body(server))

    assert isinstance(refused, LoginRefused), refused.text
    assert "IdentitiesOnly" in (refused.hint or "")


def test_links_that_meet_a_machine_together_ask_once(user: User) -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            user.config(machine_block("lab", machine))
            ask, met = ScriptedAsk(), list[Met]()
            target, keychain = await user.target("lab"), Keychain(ask)

            both = await asyncio.gather(*(connect(target, user.pins, ask=keychain, told=met.append) for _ in range(4)))

            for connection in both:
                connection.close()
                await connection.wait_closed()
            assert len(ask.met) == 1
            assert len(met) == 1

    run(body())


def test_a_machine_that_refuses_is_told(user: User) -> None:
    async def body() -> LinkError:
        async with SimulatedMachine() as machine:
            user.config(machine_block("lab", machine))
            await machine.refuse()
            return await user.refusal("lab")

    refused = run(body())

    assert isinstance(refused, LinkUnreachable)
    assert "refuses connections" in refused.text


def test_a_machine_that_falls_silent_is_given_up_in_time(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> LinkError:
        async with SimulatedMachine() as machine:
            user.config(machine_block("lab", machine))
            await machine.freeze()
            return await user.refusal("lab")

    monkeypatch.setattr(login, "LIMIT_S", 0.3)
    refused = run(body())

    assert isinstance(refused, LinkUnreachable)
    assert "did not answer within 0.3 s" in refused.text


def test_a_machine_that_hangs_up_is_told(user: User) -> None:
    async def body() -> LinkError:
        async with SimulatedMachine() as machine:
            machine.max_handshakes = 0
            user.config(machine_block("lab", machine))
            return await user.refusal("lab")

    refused = run(body())

    assert isinstance(refused, LinkUnreachable)
    assert "closed the connection before the login was done" in refused.text


@pytest.mark.parametrize(
    "garbage", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-1.0-old\r\n", b"\x15\x03\x01\x00\x02" * 3000]
)
def test_what_is_no_ssh_server_is_told(user: User, garbage: bytes) -> None:
    async def body() -> LinkError:
        async with SimulatedMachine() as machine:
            machine.garbage = garbage
            user.config(machine_block("lab", machine))
            return await user.refusal("lab")

    refused = run(body())

    assert isinstance(refused, NotAnSshServer), refused.text
    assert not refused.is_permanent


def test_a_name_that_does_not_resolve_is_told(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    refused = run(user.refusal(Target("lab", "ssh:lab", "gpu.invalid", 22, "me")))

    assert isinstance(refused, LinkUnreachable)
    assert refused.text == "The name 'gpu.invalid' does not resolve."


def test_a_server_that_speaks_other_algorithms_is_told(user: User) -> None:
    # Not OpenSSH: it hangs up, and that may come before what it speaks.
    async def body() -> LinkError:
        async with serving(encryption_algs=["aes192-ctr"]) as (port, _):
            return await user.refusal(Target("lab", "ssh:lab", "127.0.0.1", port, "me"))

    refused = run(body())

    assert isinstance(refused, NoCommonAlgorithm), refused.text


@pytest.mark.parametrize(
    ("kind", "code", "is_permanent"),
    [
        (LinkUnreachable, Exit.UNREACHABLE, False),
        (NotAnSshServer, Exit.UNREACHABLE, False),
        (JumpRefused, Exit.UNREACHABLE, True),
        (NoCommonAlgorithm, Exit.UNREACHABLE, True),
        (LoginRefused, Exit.SETTINGS, True),
        (KeyFileUnusable, Exit.SETTINGS, True),
        (ConfigUnusable, Exit.SETTINGS, True),
    ],
)
def test_every_cause_has_its_exit_code_and_says_whether_to_go_on(
    kind: type[LinkError], code: Exit, is_permanent: bool
) -> None:
    error = kind("No.", hint="Do this.")

    assert explain(error) == (kind.title, "No.", "Do this.", code)
    assert error.is_permanent is is_permanent


def test_errors_of_host_keys_hold_the_fingerprints() -> None:
    changed = HostKeyChanged("No.", expected=("SHA256:a",), seen="SHA256:b")
    unknown = HostKeyUnknown("No.", seen="SHA256:b")

    assert (changed.expected, changed.seen, unknown.seen) == (("SHA256:a",), "SHA256:b", "SHA256:b")
    assert {explain(changed).exit_code, explain(unknown).exit_code} == {Exit.SETTINGS}
    assert changed.is_permanent
    assert unknown.is_permanent
