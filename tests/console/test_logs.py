"""The log: private, bounded, shared by processes, without secrets and without control codes."""

from __future__ import annotations

import base64
import json
import logging
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from console import logs
from console.logs import KEPT_FILES, LARGEST_BYTES, LONGEST_ENTRY, LogFile, Redactor, start_log, stop_log

SECRET = "zq/7+very=secret'value\\1"
log = logging.getLogger("console.tests")


@pytest.fixture
def handler(tmp_path: Path) -> Iterator[LogFile]:
    handler = start_log(tmp_path / "state" / "hawser.log", "debug", lambda: [SECRET, "x1"])
    yield handler
    stop_log(handler)


def written(handler: LogFile) -> str:
    return handler.file.read_text()


def test_nothing_is_made_before_the_first_line(handler: LogFile) -> None:
    assert not handler.file.exists()

    log.info("up")

    assert written(handler).endswith("console.tests: up\n")
    assert stat.S_IMODE(handler.file.stat().st_mode) == 0o600


def test_our_level_is_as_set_and_libraries_speak_from_warnings_on(tmp_path: Path) -> None:
    handler = start_log(tmp_path / "hawser.log", "info")
    try:
        log.debug("quiet")
        log.info("told")
        logging.getLogger("httpx").info("GET somewhere")
        logging.getLogger("httpx").warning("careful")
    finally:
        stop_log(handler)

    assert "told" in written(handler)
    assert "careful" in written(handler)
    assert "quiet" not in written(handler)
    assert "somewhere" not in written(handler)


class Holder:
    def __repr__(self) -> str:
        return f"Holder({SECRET})"


def raised(error: Exception) -> Exception:
    try:
        try:
            raise ValueError(f"inner {SECRET}")
        except ValueError as inner:
            raise error from inner
    except Exception as caught:
        return caught


@pytest.mark.parametrize(
    ("message", "arguments", "error"),
    [
        (f"the key is {SECRET}", (), None),
        ("the key is %s", (SECRET,), None),
        ("the key is %r", (SECRET,), None),
        ("the bytes are %r", (SECRET.encode(),), None),
        ("a table %s", ({"key": SECRET},), None),
        ("an object %s", (Holder(),), None),
        ("an address http://h/%s", (quote(SECRET, safe=""),), None),
        ("a document %s", (json.dumps({"k": SECRET}),), None),
        ("encoded %s", (base64.b64encode(SECRET.encode()).decode(),), None),
        ("it broke", (), raised(RuntimeError("outer"))),
        ("it broke", (), raised(RuntimeError(f"outer {SECRET}"))),
        ("two %s and %s", (SECRET, SECRET), None),
    ],
)
def test_a_known_key_gets_through_in_no_way(
    handler: LogFile, message: str, arguments: tuple[object, ...], error: Exception | None
) -> None:
    log.error(message, *arguments, exc_info=error)

    found = written(handler)
    encoded = base64.b64encode(SECRET.encode()).decode()
    for form in (SECRET, repr(SECRET)[1:-1], quote(SECRET, safe=""), quote(SECRET), encoded, "very=secret"):
        assert form not in found
    assert "[removed]" in found


def test_a_stack_is_cleaned_as_well(handler: LogFile) -> None:
    log.error("where", stack_info=True, extra={"key": SECRET})

    assert SECRET not in written(handler)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("key sk-proj-abcdefgh12345678 refused", "abcdefgh12345678"),
        ("Authorization: Bearer abc.def-ghi_jkl", "abc.def"),
        ("{'authorization': 'Bearer abc.def-ghi'}", "abc.def"),
        ("[(b'Authorization', b'Bearer abcdefghi')]", "abcdefghi"),
        ("authorization: token-value-1234", "token-value-1234"),
        ("GET https://h/v1?api_key=abcdef123&x=1", "abcdef123"),
        ("GET https://h/v1?x=1&key=abcdef123", "abcdef123"),
        ("https://user:hunter22@h/v1", "hunter22"),
        ("x-api-key: abcdef123", "abcdef123"),
        ("{'x-api-key': 'abcdef123'}", "abcdef123"),
        ('{"api_key": "abcdef123"}', "abcdef123"),
        ("OPENAI_API_KEY=abcdef123", "abcdef123"),
        ("password=hunter22", "hunter22"),
        ("hf_abcdefghijkl", "abcdefghijkl"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nabcdef\n-----END OPENSSH PRIVATE KEY-----", "abcdef"),
    ],
)
def test_what_looks_like_a_key_is_taken_out_though_unknown(text: str, secret: str) -> None:
    cleaned = Redactor()(text)

    assert secret not in cleaned
    assert "[removed]" in cleaned


@pytest.mark.parametrize(
    "text", ["task-manager and risk-averse", "max_tokens=4096", "the key is missing", "http://127.0.0.1:11434/api/chat"]
)
def test_ordinary_words_stay(text: str) -> None:
    assert Redactor(lambda: ["x1"])(text) == text


def test_control_codes_do_nothing_and_no_entry_can_be_forged(handler: LogFile) -> None:
    log.info("a\x1b[31mred\x07\nERROR 1 console: forged\r\n\u202eback")

    found = written(handler)
    assert "\x1b" not in found
    assert "\x07" not in found
    assert "\u202e" not in found
    assert "\n  | ERROR 1 console: forged\n" in found


def test_a_record_that_cannot_be_shown_neither_fails_nor_shows_its_arguments(
    handler: LogFile, capsys: pytest.CaptureFixture[str]
) -> None:
    log.info("%d", SECRET)

    assert "cannot be shown" in written(handler)
    assert SECRET not in written(handler) + capsys.readouterr().err


def test_an_enormous_entry_is_cut_in_the_middle(handler: LogFile) -> None:
    log.info("%s end", "x" * 1_000_000)

    assert len(written(handler)) < LONGEST_ENTRY + 200
    assert written(handler).endswith(" end\n")


def test_the_files_stay_within_their_bound(handler: LogFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LARGEST_BYTES", 4000)
    for number in range(400):
        log.info("line %d", number)

    files = sorted(handler.file.parent.iterdir())
    assert len(files) == 1 + KEPT_FILES
    assert all(file.stat().st_size <= 4000 for file in files)
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    assert "line 399" in written(handler)


def test_two_processes_write_to_one_file_and_one_turns_it_over(handler: LogFile) -> None:
    log.info("from the first")
    program = (
        "import logging, sys; from pathlib import Path; from console import logs\n"
        "logs.LARGEST_BYTES = 100\n"
        "logs.start_log(Path(sys.argv[1]), 'info'); logging.getLogger('console.x').info('from the second' + '.' * 90)\n"
    )

    subprocess.run([sys.executable, "-c", program, str(handler.file)], check=True, timeout=20)
    log.info("again from the first")

    everything = "".join(file.read_text() for file in handler.file.parent.iterdir())
    assert all(text in everything for text in ("from the first", "from the second", "again from the first"))
    assert "from the second" in written(handler)


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "state").write_text("a file in the way")
    handler = start_log(tmp_path / "state" / "hawser.log", "info")
    try:
        log.info("one")
        log.info("two")
    finally:
        stop_log(handler)

    assert handler.failure is not None
    assert capsys.readouterr().err == ""


def test_the_bound_is_sane() -> None:
    assert LARGEST_BYTES * (KEPT_FILES + 1) <= 4 * 1024 * 1024
