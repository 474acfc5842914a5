"""Keys: where they are looked for, in which order, and that no keyring can hold anything up."""

from __future__ import annotations

import io
import os
import pty
import stat
import subprocess
import sys
import threading
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from console import key_places
from console.arguments import new_parser
from console.commands import key as key_command
from console.errors import ConsoleError, KeyStoreError, NotFound, UsageError
from console.key_commands import first_line_of
from console.key_places import Keyring, NoKeyring
from console.keys import Keys, canonical, stored_names, variable_for
from console.paths import Paths, find_paths
from console.settings import Endpoint
from console.shell import Shell

SECRET = "sk-test-0123456789abcdef"


class SomeBackend:
    """A keyring in memory that can be told to misbehave."""

    name = "a test keyring"

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], str] = {}
        self.asked = 0
        self.trouble: Callable[[], None] = lambda: None

    def get_password(self, service: str, name: str) -> str | None:
        self.asked += 1
        self.trouble()
        return self.stored.get((service, name))

    def set_password(self, service: str, name: str, value: str) -> None:
        self.trouble()
        self.stored[service, name] = value

    def delete_password(self, service: str, name: str) -> None:
        self.trouble()
        del self.stored[service, name]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return find_paths({"HAWSER_HOME": str(tmp_path)})


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> SomeBackend:
    backend = SomeBackend()
    monkeypatch.setattr(key_places, "_backend", lambda: backend)
    return backend


@pytest.fixture
def hanging(backend: SomeBackend) -> Iterator[SomeBackend]:
    """A keyring that waits for something that never comes."""
    ended = threading.Event()
    backend.trouble = lambda: (ended.wait(), None)[1]
    yield backend
    ended.set()


def fail(error: BaseException) -> Callable[[], None]:
    def trouble() -> None:
        raise error

    return trouble


def endpoint(name: str, url: str = "http://gpu.example/v1", key: str | None = None) -> Endpoint:
    return Endpoint(name, "openai", url, key)


def test_the_environment_goes_before_the_keyring_and_that_before_the_file(paths: Paths, backend: SomeBackend) -> None:
    Keys(paths, {}).set("openai", "in-file", in_file=True)
    assert Keys(paths, {}).get("openai") == "in-file"

    backend.stored["hawser", "openai"] = "in-keyring"
    Keys(paths, {}).file.change(lambda kept: setattr(kept, "names_in_keyring", frozenset({"openai"})))
    assert Keys(paths, {}).get("openai") == "in-keyring"

    assert Keys(paths, {"OPENAI_API_KEY": "of-tools"}).get("openai") == "of-tools"
    assert Keys(paths, {"OPENAI_API_KEY": "of-tools", "HAWSER_KEY_OPENAI": "ours"}).get("openai") == "ours"


@pytest.mark.parametrize(
    ("written", "name"), [("openai", "openai"), ("OpenAI", "openai"), ("OPENAI_API_KEY", "openai"), (" box ", "box")]
)
def test_a_key_has_one_name_however_it_is_written(written: str, name: str) -> None:
    assert canonical(written) == name


@pytest.mark.parametrize("written", ["", "a b", "../x", "-x", "x" * 65, "ключ"])
def test_what_cannot_be_a_name_is_refused(written: str) -> None:
    with pytest.raises(KeyStoreError, match="cannot be the name"):
        canonical(written)


def test_the_variable_of_a_key_is_told_by_its_name() -> None:
    assert variable_for("my-box.2") == "HAWSER_KEY_MY_BOX_2"


def test_a_key_in_the_environment_or_the_file_costs_no_keyring(paths: Paths, backend: SomeBackend) -> None:
    Keys(paths, {}).set("box", SECRET, in_file=True)

    found = Keys(paths, {"VAST_API_KEY": "v"})

    assert (found.get("box"), found.get("vast")) == (SECRET, "v")
    assert backend.asked == 0


def test_a_keyless_endpoint_costs_no_keyring(paths: Paths, backend: SomeBackend) -> None:
    assert Keys(paths, {}).for_endpoint(endpoint("inference")) is None
    assert backend.asked == 0


def test_a_key_that_somebody_else_put_into_the_keyring_is_found_when_settings_name_it(
    paths: Paths, backend: SomeBackend
) -> None:
    backend.stored["hawser", "box"] = SECRET

    assert Keys(paths, {}).for_endpoint(endpoint("a", key="box")) == SECRET


def test_a_key_under_the_endpoints_own_name_is_used(paths: Paths, backend: SomeBackend) -> None:
    assert Keys(paths, {"HAWSER_KEY_VLLM_BOX": SECRET}).for_endpoint(endpoint("vllm.box")) == SECRET


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000/v1", "https://api.openai.com.evil.example/v1", "http://api.openai.com/v1"]
)
def test_a_services_key_does_not_go_to_another_address_unasked(paths: Paths, url: str) -> None:
    found = Keys(paths, {"OPENAI_API_KEY": SECRET})

    assert found.for_endpoint(endpoint("openai", url)) is None
    assert found.for_endpoint(endpoint("openai", "https://api.openai.com/v1")) == SECRET
    assert found.for_endpoint(endpoint("openai", url, key="openai")) == SECRET, "the settings say so"


def test_setting_puts_a_key_into_the_keyring_and_only_its_name_into_the_file(
    paths: Paths, backend: SomeBackend
) -> None:
    place, reason = Keys(paths, {}).set("OPENAI_API_KEY", f"  {SECRET}\n")

    assert (place, reason) == ("keyring", None)
    assert backend.stored == {("hawser", "openai"): SECRET}
    assert SECRET not in paths.keys_file.read_text()
    assert stored_names(paths) == {"openai"}
    assert Keys(paths, {}).get("openai") == SECRET


def test_moving_a_key_to_the_file_takes_it_out_of_the_keyring(paths: Paths, backend: SomeBackend) -> None:
    Keys(paths, {}).set("box", "older")

    Keys(paths, {}).set("box", SECRET, in_file=True)

    assert backend.stored == {}
    assert Keys(paths, {}).get("box") == SECRET


def test_without_a_keyring_the_file_takes_the_key_and_says_so(paths: Paths) -> None:
    place, reason = Keys(paths, {}).set("box", SECRET)

    assert (place, reason) == ("file", "There is no system keyring here.")
    assert stat.S_IMODE(paths.keys_file.stat().st_mode) == 0o600
    assert Keys(paths, {}).get("box") == SECRET


def test_a_keyring_that_keeps_nothing_is_found_out(paths: Paths, backend: SomeBackend) -> None:
    backend.get_password = lambda service, name: None  # type: ignore[method-assign]

    with pytest.raises(KeyStoreError, match="failed while writing"):
        Keys(paths, {}).set("box", SECRET)

    assert not paths.keys_file.exists()


def test_a_locked_keyring_refuses_in_words_without_a_secret(paths: Paths, backend: SomeBackend) -> None:
    backend.trouble = fail(RuntimeError(f"cannot unlock for {SECRET}"))

    with pytest.raises(KeyStoreError) as caught:
        Keys(paths, {}).set("box", SECRET)

    assert "RuntimeError" in caught.value.text
    assert SECRET not in f"{caught.value.text}{caught.value.hint}"
    assert "--file" in (caught.value.hint or "")
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), OSError("x")])
def test_whatever_a_keyring_raises_is_a_message(backend: SomeBackend, error: BaseException) -> None:
    backend.trouble = fail(error)

    with pytest.raises(KeyStoreError, match=type(error).__name__):
        Keyring().get("box")


def test_a_hanging_keyring_is_given_up_and_not_waited_for_twice(paths: Paths, hanging: SomeBackend) -> None:
    keyring = Keyring(limit_s=0.05)

    with pytest.raises(KeyStoreError, match="does not answer"):
        keyring.get("box")
    with pytest.raises(KeyStoreError, match="does not answer"):
        keyring.get("other")

    assert hanging.asked == 1


def test_a_hanging_keyring_is_a_note_when_the_file_has_the_key(paths: Paths, hanging: SomeBackend) -> None:
    keys = Keys(paths, {}, keyring=Keyring(limit_s=0.05))
    keys.set("box", SECRET, in_file=True)
    keys.file.change(lambda kept: setattr(kept, "names_in_keyring", frozenset({"box"})))

    found = Keys(paths, {}, keyring=Keyring(limit_s=0.05))

    assert found.get("box") == SECRET
    assert "does not answer" in found.notes[0]


def test_a_hanging_keyring_does_not_hold_up_the_end_of_the_process(tmp_path: Path) -> None:
    program = (
        "import threading\nfrom console import key_places as keys\n"
        "class Hanging:\n"
        "    def get_password(self, *_): threading.Event().wait()\n"
        "keys._backend = Hanging\n"
        "try: keys.Keyring(limit_s=0.05).get('x')\n"
        "except keys.KeyStoreError as error: print(error.text)\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True)

    assert "does not answer" in done.stdout


def test_the_real_library_without_a_keyring_is_told_apart_from_one_that_fails() -> None:
    with pytest.raises(NoKeyring, match="There is no system keyring here"):
        Keyring(limit_s=20).backend_name()


def test_the_isolated_world_sees_its_own_keys_only(paths: Paths, backend: SomeBackend) -> None:
    isolated = {"HAWSER_ISOLATED": "1", "OPENAI_API_KEY": SECRET, "HAWSER_KEY_SIM": "per-run"}
    backend.stored["hawser", "box"] = SECRET

    found = Keys(paths, isolated)

    assert (found.get("openai"), found.get("box"), found.get("sim")) == (None, None, "per-run")
    assert found.set("box", "x1")[0] == "file"
    assert backend.asked == 0


@pytest.mark.parametrize("value", ["", "  \n", "two words", "a\x1b[31mb", "ключ", "x" * 5000, "a\nb"])
def test_a_value_that_is_no_key_is_refused_and_not_repeated(paths: Paths, value: str) -> None:
    with pytest.raises(KeyStoreError) as caught:
        Keys(paths, {}).set("box", value, in_file=True)

    assert len(value.strip()) < 3 or value.strip() not in caught.value.text


def test_a_file_that_others_can_read_is_closed_to_them_and_said(paths: Paths) -> None:
    Keys(paths, {}).set("box", SECRET, in_file=True)
    paths.keys_file.chmod(0o644)

    found = Keys(paths, {})

    assert found.get("box") == SECRET
    assert "Others could read" in found.notes[0]
    assert stat.S_IMODE(paths.keys_file.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"not toml", b"keys = 3", b"\xff\xfe", b"keyring = {a = 1}"])
def test_a_broken_file_is_named_and_not_quoted(paths: Paths, content: bytes) -> None:
    paths.config.mkdir(parents=True)
    paths.keys_file.write_bytes(content)

    with pytest.raises(KeyStoreError) as caught:
        Keys(paths, {}).get("box")

    assert str(paths.keys_file) in caught.value.text
    assert "not toml" not in caught.value.text
    assert stored_names(paths) == frozenset()


def test_values_survive_the_file_however_odd_they_are(paths: Paths) -> None:
    odd = "a\"b\\c'd#e=f[g]{h}"

    Keys(paths, {}).set("box", odd, in_file=True)

    assert Keys(paths, {}).get("box") == odd


def test_no_key_shows_in_a_repr(paths: Paths) -> None:
    keys = Keys(paths, {"HAWSER_KEY_BOX": SECRET})
    keys.get("box")

    assert SECRET not in repr(keys)


def test_the_log_filter_is_told_of_keys_that_were_not_asked_for(paths: Paths) -> None:
    Keys(paths, {}).set("box", "in-file", in_file=True)
    keys = Keys(paths, {"HAWSER_KEY_A": " ours ", "VAST_API_KEY": "of-tools"})
    keys.places()

    assert {"in-file", "ours", "of-tools"} <= set(keys.secrets())


def test_two_writers_lose_nothing(paths: Paths) -> None:
    names = [f"key{number}" for number in range(12)]
    writers = [
        threading.Thread(target=lambda name=name: Keys(paths, {}).set(name, SECRET, in_file=True)) for name in names
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert stored_names(paths) == set(names)


# Keys that a command prints


def script(tmp_path: Path, body: str) -> str:
    file = tmp_path / "print key"
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o700)
    return f"'{file}'"


def test_the_first_line_of_a_command_is_the_key(paths: Paths, tmp_path: Path) -> None:
    command = script(tmp_path, f"echo {SECRET}; echo more")
    found = Keys(paths, dict(os.environ))

    assert found.for_endpoint(endpoint("a", key=f"cmd:{command}")) == SECRET
    assert SECRET in found.secrets()


def test_a_command_gets_no_shell(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match="printed nothing"):
        first_line_of(f"{script(tmp_path, 'test $# = 2 && exit 0; echo shell')} a;b $(c)", os.environ)


@pytest.mark.parametrize(
    ("body", "words"), [("exit 3", "exit code 3"), ("true", "printed nothing"), ("exec sleep 30", "took longer than")]
)
def test_a_command_that_fails_is_told_without_its_output(tmp_path: Path, body: str, words: str) -> None:
    command = script(tmp_path, f"echo {SECRET} >&2; {body}")

    with pytest.raises(KeyStoreError) as caught:
        first_line_of(command, os.environ, limit_s=0.3)

    assert words in caught.value.text
    assert SECRET not in caught.value.text


@pytest.mark.parametrize("command", ["/nonexistent/pass show x", "'unclosed", " "])
def test_a_command_that_cannot_run_is_told(command: str) -> None:
    with pytest.raises(KeyStoreError, match="key command"):
        first_line_of(command, os.environ)


# The command


class Streams:
    def __init__(self, paths: Paths, piped: str | None = None, environment: dict[str, str] | None = None) -> None:
        self.stdout, self.stderr = io.StringIO(), io.StringIO()
        home = {"HAWSER_HOME": str(paths.config.parent)}
        stdin = None if piped is None else io.StringIO(piped)
        self.shell = Shell(stdin, self.stdout, self.stderr, {**home, **(environment or {})})

    def run(self, *words: str) -> int:
        parser = new_parser("hawser key")
        key_command.add_arguments(parser)
        arguments: Namespace = parser.parse_args(words)
        return key_command.run(arguments, self.shell)

    @property
    def written(self) -> str:
        return self.stdout.getvalue() + self.stderr.getvalue()


def test_a_piped_key_is_stored_and_never_shown(paths: Paths) -> None:
    streams = Streams(paths, f"{SECRET}\nsecond line\n")

    assert streams.run("set", "openai") == 0
    assert Keys(paths, {}).get("openai") == SECRET
    assert SECRET not in streams.written
    assert "not encrypted" in streams.written


def test_a_key_on_the_command_line_is_refused(paths: Paths) -> None:
    with pytest.raises(UsageError, match="stays in the shell's history"):
        Streams(paths).run("set", "openai", SECRET)

    assert not paths.keys_file.exists()


def test_a_name_that_nothing_uses_is_allowed_with_a_note(paths: Paths) -> None:
    streams = Streams(paths, SECRET)

    streams.run("set", "opnai", "--file")

    assert "Nothing uses a key named 'opnai' yet. Did you mean 'openai'?" in streams.written


def test_setting_without_any_input_is_refused(paths: Paths) -> None:
    with pytest.raises(UsageError, match="no terminal and no standard input"):
        Streams(paths).run("set", "openai")


def test_a_silent_pipe_is_not_waited_for_without_end(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_command, "PIPE_LIMIT_S", 0.05)
    reading, writing = os.pipe()
    streams = Streams(paths)
    with os.fdopen(reading) as stdin, os.fdopen(writing, "w"):
        streams.shell.stdin = stdin

        with pytest.raises(ConsoleError, match="No key came"):
            streams.run("set", "openai")


def test_the_list_tells_places_and_users_and_no_values(paths: Paths) -> None:
    Keys(paths, {}).set("box", SECRET, in_file=True)
    streams = Streams(paths, environment={"OPENAI_API_KEY": SECRET, "HAWSER_KEY_BOX_2": SECRET})

    assert streams.run("ls") == 0
    assert streams.run("ls", "--json") == 0

    assert SECRET not in streams.written
    lines = [line.split() for line in streams.stdout.getvalue().splitlines()]
    assert ["openai", "environment", "OPENAI_API_KEY", "openai"] in lines
    assert ["box_2", "environment", "HAWSER_KEY_BOX_2"] in lines
    assert ["box", "file", str(paths.keys_file)] in lines


def test_removing_tells_from_where_and_what_is_left(paths: Paths) -> None:
    Keys(paths, {}).set("openai", SECRET, in_file=True)
    streams = Streams(paths, environment={"OPENAI_API_KEY": "x"})

    assert streams.run("rm", "openai") == 0

    assert "from the private file" in streams.written
    assert "OPENAI_API_KEY still holds one" in streams.written
    assert stored_names(paths) == frozenset()


def test_removing_what_is_not_there_names_the_nearest(paths: Paths) -> None:
    Keys(paths, {}).set("openai", SECRET, in_file=True)

    with pytest.raises(NotFound) as caught:
        Streams(paths).run("rm", "opena")

    assert caught.value.hint == "Did you mean 'openai'?"


def test_keys_can_be_kept_in_order_while_the_settings_are_broken(paths: Paths) -> None:
    paths.config.mkdir(parents=True)
    paths.config_file.write_text("[chat")
    streams = Streams(paths, SECRET)

    assert streams.run("set", "box", "--file") == 0
    assert streams.run("ls") == 0
    assert "this is not TOML" in streams.written


def test_the_command_line_knows_its_words(paths: Paths) -> None:
    parser = new_parser("hawser key")
    key_command.add_arguments(parser)
    known: Any = parser.parse_args(["set", "a", "--file"])

    assert (known.action, known.name, known.file) == ("set", "a", True)
    with pytest.raises(UsageError):
        parser.parse_args(["show"])


@pytest.mark.parametrize(("typed", "code"), [(f"{SECRET}\n", 0), ("\x04", 2), ("\x03", 130)])
def test_on_a_terminal_the_key_is_asked_for_and_not_echoed(paths: Paths, typed: str, code: int) -> None:
    program = (
        "import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); from console.cli import main\n"
        "sys.exit(main(['key', 'set', 'box', '--file']))"
    )
    terminal, side = pty.openpty()
    environment = {**os.environ, "HAWSER_HOME": str(paths.config.parent)}
    with os.fdopen(side, "r+b", buffering=0) as its:
        child = subprocess.Popen(
            [sys.executable, "-c", program], stdin=its, stdout=its, stderr=its, env=environment, start_new_session=True
        )
    seen = b""
    with os.fdopen(terminal, "r+b", buffering=0) as screen:
        while b"not be shown" not in seen:
            seen += screen.read(1000)
        screen.write(typed.encode())
        try:
            while piece := screen.read(1000):
                seen += piece
        except OSError:  # the child has ended and taken its side of the terminal along
            pass

    assert child.wait(20) == code
    assert SECRET.encode() not in seen
    assert Keys(paths, {}).get("box") == (SECRET if code == 0 else None)
