"""Pinned host keys: to whom they belong, that processes do not lose each other's, and what known_hosts files say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.errors import ConfigUnusable, HostKeyChanged
from console.links import known_hosts
from console.links.known_hosts import address_of, fingerprint, look_up, plain_key
from console.links.pins import Pins, alias_of, identity_of
from tests.console.ssh_kit import fingerprint_by_openssh, make_key, paths_in, program, public_line


def a_key(kind: str = "ssh-ed25519") -> str:
    return plain_key(asyncssh.generate_private_key(kind).export_public_key().decode())


@pytest.fixture
def pins(tmp_path: Path) -> Pins:
    return Pins(paths_in(tmp_path))


def test_a_pinned_key_is_kept_for_its_machine_only(pins: Pins) -> None:
    key = a_key()

    pins.pin("vast:1234", f"{key} root@somewhere")

    assert Pins(pins.paths).get("vast:1234") == (key,)
    assert pins.get("vast:1235") == ()
    assert pins.file.stat().st_mode & 0o777 == 0o600


def test_another_key_for_the_same_machine_is_refused_until_the_first_is_forgotten(pins: Pins) -> None:
    first, second = a_key(), a_key()
    pins.pin("ssh:lab", first)
    pins.pin("ssh:lab", first)

    with pytest.raises(HostKeyChanged) as caught:
        pins.pin("ssh:lab", second)

    assert (caught.value.expected, caught.value.seen) == ((fingerprint(first),), fingerprint(second))
    assert fingerprint(first) in caught.value.text
    assert fingerprint(second) in caught.value.text
    assert pins.get("ssh:lab") == (first,)
    assert pins.forget("ssh:lab") == (first,)
    pins.pin("ssh:lab", second)
    assert pins.get("ssh:lab") == (second,)


def test_a_machine_may_have_keys_of_several_types(pins: Pins) -> None:
    keys = (a_key(), a_key("ecdsa-sha2-nistp256"))

    pins.pin("vast:7", *keys)
    pins.pin("vast:7", keys[1])

    assert pins.get("vast:7") == keys


def test_forgetting_what_was_never_known_is_nothing(pins: Pins) -> None:
    assert pins.forget("ssh:nobody") == ()
    assert not pins.file.exists()


@pytest.mark.parametrize("line", ["ssh:lab", "ssh:lab ssh-ed25519 AAAA", "ssh:lab nonsense", "ssh+zz:lab {key}"])
def test_a_broken_line_is_told_with_its_number_and_makes_no_machine_unknown(pins: Pins, line: str) -> None:
    pins.pin("ssh:other", a_key())
    with pins.file.open("a") as file:
        file.write(line.format(key=a_key()) + "\n")

    with pytest.raises(ConfigUnusable, match=r"known_hosts:3: this is not a pinned key"):
        pins.get("ssh:lab")


def test_a_file_that_cannot_be_read_is_told(pins: Pins) -> None:
    pins.file.mkdir(parents=True)

    with pytest.raises(ConfigUnusable, match="cannot be read"):
        pins.get("ssh:lab")


def test_processes_that_pin_at_the_same_time_lose_nothing(pins: Pins) -> None:
    key = a_key()
    code = (
        "import sys; from pathlib import Path; from tests.console.ssh_kit import paths_in\n"
        "from console.links.pins import Pins\n"
        "pins = Pins(paths_in(Path(sys.argv[1])))\n"
        "for n in range(20): pins.pin(f'vast:{sys.argv[2]}-{n}', sys.argv[3])\n"
    )
    folder = str(pins.paths.data.parents[1])
    running = [subprocess.Popen([sys.executable, "-c", code, folder, str(who), key]) for who in range(3)]

    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert set(pins.all()) == {f"vast:{who}-{n}" for who in range(3) for n in range(20)}
    assert {each.name for each in pins.file.parent.iterdir()} == {"known_hosts", "known_hosts.lock"}


@given(st.text(min_size=1).filter(lambda text: not any(0xD800 <= ord(c) < 0xE000 for c in text)))
def test_every_identity_has_a_name_that_known_hosts_can_hold(identity: str) -> None:
    alias = alias_of(identity)

    assert identity_of(alias) == identity
    assert alias == alias.lower()
    assert not set(alias) & set(" \t\n*?!,|#")


def test_fingerprints_are_those_of_openssh(tmp_path: Path) -> None:
    for kind in ("ed25519", "ecdsa", "rsa"):
        key = public_line(make_key(tmp_path / kind, kind=kind))

        assert fingerprint(key) == fingerprint_by_openssh(key, tmp_path)


@pytest.mark.parametrize("line", ["", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-rsa {other}", "ssh-ed25519 ä{other}"])
def test_what_is_no_key_is_refused(line: str) -> None:
    with pytest.raises(ConfigUnusable, match="not the public key of a host"):
        plain_key(line.format(other=a_key().split()[1]))


# The user's known_hosts


def found(tmp_path: Path, written: str, host: str = "gpu.example", port: int = 22) -> known_hosts.Known:
    file = tmp_path / "user_known_hosts"
    file.write_text(written)
    return look_up([str(tmp_path / "missing"), str(file)], host, port)


@pytest.mark.parametrize(
    ("patterns", "port", "matches"),
    [
        ("gpu.example", 22, True),
        ("GPU.example", 22, True),
        ("other,gpu.example", 22, True),
        ("*.example", 22, True),
        ("gpu.exampl?", 22, True),
        ("*.example,!gpu.example", 22, False),
        ("!gpu.example", 22, False),
        ("[gpu.example]:2222", 2222, True),
        ("[gpu.example]:2222", 22, False),
        ("[gpu.example]:2222", 2223, False),
        ("gpu.example", 2222, True),
        ("other.example", 22, False),
        ("|1|nonsense", 22, False),
        ("|2|AAAA|AAAA", 22, False),
    ],
)
def test_names_match_as_openssh_matches_them(tmp_path: Path, patterns: str, port: int, matches: bool) -> None:
    key = a_key()

    assert found(tmp_path, f"{patterns} {key} a comment\n", port=port).keys == ((key,) if matches else ())


@pytest.mark.parametrize(("host", "port"), [("gpu.example", 22), ("gpu.example", 2222), ("::1", 22), ("::1", 4022)])
def test_hashed_names_are_read(tmp_path: Path, host: str, port: int) -> None:
    key, file = a_key(), tmp_path / "hashed"
    file.write_text(f"{address_of(host, port)} {key}\nother.example {a_key()}\n")
    subprocess.run([program("ssh-keygen"), "-Hf", str(file)], check=True, capture_output=True)

    assert "example" not in file.read_text()
    assert look_up([str(file)], host, port).keys == (key,)
    assert look_up([str(file)], "third.example", port).keys == ()


def test_revoked_keys_and_authorities_are_no_keys_of_the_host(tmp_path: Path) -> None:
    good, revoked, authority = a_key(), a_key(), a_key()
    written = f"# a comment\n\nbroken line\n@revoked * {revoked}\n@cert-authority * {authority}\ngpu.example {good}\n"

    assert found(tmp_path, written) == known_hosts.Known((good,), (revoked,))


def test_a_line_with_the_port_counts_before_one_without(tmp_path: Path) -> None:
    on_port, without = a_key(), a_key()

    assert found(tmp_path, f"gpu.example {without}\n[gpu.example]:2222 {on_port}\n", port=2222).keys == (on_port,)


def test_a_file_that_is_no_text_says_nothing(tmp_path: Path) -> None:
    file = tmp_path / "binary"
    file.write_bytes(bytes(range(256)) * 50)

    assert look_up([str(file), str(tmp_path)], "gpu.example", 22) == known_hosts.Known((), ())
