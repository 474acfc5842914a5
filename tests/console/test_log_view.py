"""Our log file as entries."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from console.errors import UsageError
from console.log_view import LogView, chosen, write_entries
from console.logs import LARGEST_BYTES, start_log, stop_log

log = logging.getLogger("console.test")


def test_what_is_logged_is_read_as_it_comes(tmp_path: Path) -> None:
    file = tmp_path / "hawser.log"
    view = LogView(file)
    assert view.read() == []
    handler = start_log(file, "debug")
    try:
        log.info("one")
        log.warning("two\nand a half")
        first = view.read()
        log.error("three")
        second = view.read()
    finally:
        stop_log(handler)

    assert [(each.level, each.text) for each in first] == [("INFO", "one"), ("WARNING", "two\nand a half")]
    assert [each.text for each in second] == ["three"]
    assert [each.number for each in view.entries] == [0, 1, 2]
    assert first[0].who == "console.test"
    assert view.read() == []


def test_half_a_line_waits_for_its_end(tmp_path: Path) -> None:
    file = tmp_path / "hawser.log"
    file.write_bytes(b"2026-02-03T04:05:06.000Z INFO 7 console.x: be")
    view = LogView(file)
    assert view.read() == []

    with file.open("ab") as more:
        more.write(b"gun\n")

    assert [each.text for each in view.read()] == ["begun"]


def test_a_file_that_is_turned_over_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "hawser.log"
    view = LogView(file)
    handler = start_log(file, "debug")
    try:
        log.info("before")
        view.read()
        for _ in range(LARGEST_BYTES // 8000 + 1):
            log.info("x" * 8000)
        view.read()
        log.info("after")
        new = view.read()
    finally:
        stop_log(handler)

    assert [each.text for each in new] == ["after"]


def test_memory_is_bounded(tmp_path: Path) -> None:
    file = tmp_path / "hawser.log"
    head = "2026-02-03T04:05:06.000Z INFO 7 console.x: "
    file.write_text("".join(f"{head}{number} {'y' * 20_000}\n" for number in range(40)))
    view = LogView(file, kept=10)

    view.read()

    assert len(view.entries) == 10
    assert view.entries[-1].text.startswith("39 ")
    assert max(len(each.text) for each in view.entries) <= 4_000


def test_codes_and_broken_text_are_harmless(tmp_path: Path) -> None:
    file = tmp_path / "hawser.log"
    file.write_bytes(b"junk\n2026-02-03T04:05:06.000Z INFO 7 a: \x1b[31m\xff\n")

    (entry,) = LogView(file).read()

    assert "\x1b" not in entry.line


def test_filter_by_level_and_pattern(tmp_path: Path) -> None:
    file = tmp_path / "hawser.log"
    levels = ("DEBUG", "INFO", "WARNING", "ERROR")
    file.write_text("".join(f"2026-02-03T04:05:06.000Z {level} 7 a.b: Tunnel [{level}\n" for level in levels))
    entries = LogView(file).read()

    assert [each.level for each in chosen(entries, "WARNING", "")[0]] == ["WARNING", "ERROR"]
    assert [each.level for each in chosen(entries, "DEBUG", "tunnel .(debug|error)")[0]] == ["DEBUG", "ERROR"]
    found, wrong = chosen(entries, "DEBUG", "[warn")
    assert [each.level for each in found] == ["WARNING"]
    assert "Not a pattern" in wrong


def test_entries_are_written_to_a_file_that_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "hawser.log"
    file.write_text("2026-02-03T04:05:06.000Z INFO 7 a: one\n")
    entries = LogView(file).read()

    there = write_entries(str(tmp_path / "out.txt"), entries)

    assert there.read_text() == "2026-02-03T04:05:06Z INFO 7 a: one\n"
    with pytest.raises(UsageError, match="there already"):
        write_entries(str(there), entries)
