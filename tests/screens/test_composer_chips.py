"""Pastes, drops and the chips they become."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.chat.drafts import AttachedFile, Draft, PastedText
from screens.widgets.composer import Composer
from tests.conftest import run
from tests.pictures import png
from tests.screens.composer_kit import ComposerApp, composing, paste, press, screen_of, type_text, until

LINES = "".join(f"line {number}\n" for number in range(412))


def test_a_short_paste_is_written_once_with_plain_newlines_and_without_control_codes(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path) as (app, composer, pilot):
            await type_text(pilot, "a")
            await paste(app, pilot, "one\r\ntwo\rthree\0\x1b[31m\tend")

            assert composer.text == "aone\ntwo\nthree[31m\tend"
            assert app.sent == []

    run(body())


def test_a_long_paste_is_a_chip_and_is_sent_whole(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path) as (app, composer, pilot):
            await type_text(pilot, "explain")
            await paste(app, pilot, LINES)
            assert composer.text == "explain"
            assert "pasted 412 lines" in screen_of(app)

            await press(pilot, "enter")
            (sent,) = app.of(Composer.Sent)
            assert sent.question.text == "explain"
            assert [attachment.text for attachment in sent.question.attachments] == [LINES]
            assert composer.chips == ()

    run(body())


def test_twenty_lines_are_written_and_one_more_is_a_chip(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path, size=(80, 40)) as (app, composer, pilot):
            await paste(app, pilot, "x\n" * 20)
            assert not composer.chips
            await paste(app, pilot, "x\n" * 21)
            assert composer.chips == (PastedText("x\n" * 21),)
            await paste(app, pilot, "y" * 20_001)
            assert "pasted 20,001 characters" in screen_of(app)

    run(body())


def test_many_short_pastes_do_not_make_the_text_slow(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path) as (app, composer, pilot):
            for _ in range(5):
                await paste(app, pilot, ("z" * 999 + "\n") * 15)
            assert len(composer.text) == 60_000
            assert composer.chips == (PastedText(("z" * 999 + "\n") * 15),)

            composer.set_draft(Draft())
            for _ in range(2):
                await paste(app, pilot, "z" * 7_000)
            assert len(composer.text) == 7_000
            assert composer.chips == (PastedText("z" * 7_000),)

    run(body())


def test_a_paste_can_be_unfolded_with_enter_on_its_chip(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path) as (app, composer, pilot):
            await paste(app, pilot, LINES)
            await press(pilot, "up")
            assert composer.row.has_focus
            await press(pilot, "enter")

            assert composer.text == LINES
            assert composer.chips == ()
            assert composer.area.has_focus

    run(body())


def test_a_paste_too_long_to_be_written_stays_a_chip_and_says_so(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path) as (app, composer, pilot):
            await paste(app, pilot, LINES * 40)
            await press(pilot, "up", "ctrl+e")

            assert composer.chips == (PastedText(LINES * 40),)
            assert "sent whole" in screen_of(app)

    run(body())


def test_keys_and_a_paste_keep_their_order(tmp_path: Path) -> None:
    from textual import events

    async def body() -> None:
        async with composing(tmp_path) as (app, composer, pilot):
            app.post_message(events.Key("a", "a"))
            app.post_message(events.Paste("/nowhere/at/all"))
            app.post_message(events.Key("b", "b"))
            await until(pilot, lambda: composer.text.endswith("b"))

            assert composer.text == "a/nowhere/at/allb"

    run(body())


def test_chips_are_removed_by_key(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path) as (app, composer, pilot):
            for letter in "abc":
                await paste(app, pilot, f"{letter}\n" * 30)
            await press(pilot, "ctrl+backspace")
            assert list(composer.chips) == [PastedText("a\n" * 30), PastedText("b\n" * 30)]

            await press(pilot, "up", "delete")
            assert list(composer.chips) == [PastedText("b\n" * 30)]
            await press(pilot, "backspace")
            assert list(composer.chips) == []
            assert composer.area.has_focus

    run(body())


def test_chips_are_removed_by_mouse(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path) as (app, composer, pilot):
            await paste(app, pilot, "a\n" * 30)
            await paste(app, pilot, "b\n" * 30)
            line = next(line for line in screen_of(app).splitlines() if "✕" in line)
            await pilot.click(offset=(line.index("✕"), screen_of(app).splitlines().index(line)))
            await pilot.pause()

            assert composer.chips == (PastedText("b\n" * 30),)

    run(body())


def test_many_chips_take_few_rows_and_tell_how_many_more_there_are(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path, size=(50, 24)) as (app, composer, pilot):
            for number in range(12):
                await paste(app, pilot, f"{number}\n" * 30)

            assert composer.row.size.height == 4
            assert "+8" in screen_of(app)

    run(body())


def test_a_dropped_file_asks_and_becomes_a_chip(tmp_path: Path) -> None:
    file = tmp_path / "the report.txt"
    file.write_text("rope " * 1000)

    async def body() -> None:
        async with composing(tmp_path) as (app, composer, pilot):
            await paste(app, pilot, f"'{file}' ")
            await until(pilot, lambda: composer.question.is_open)
            assert "the report.txt" in screen_of(app)
            assert "documents" not in screen_of(app)

            await press(pilot, "a")
            await until(pilot, lambda: composer.attachments)
            assert composer.text == ""
            assert composer.chips == (AttachedFile(str(file)),)
            assert "the report.txt · 5.0 kB · ~" in screen_of(app)

    run(body())


def test_the_path_can_be_inserted_instead(tmp_path: Path) -> None:
    file = tmp_path / "report.txt"
    file.write_text("rope")

    async def body() -> None:
        async with composing(tmp_path) as (app, composer, pilot):
            for keys in (["i"], ["tab", "enter"], ["right", "enter"], ["escape"]):
                await paste(app, pilot, str(file))
                await until(pilot, lambda: composer.question.is_open)
                await press(pilot, *keys)
                assert composer.draft() == Draft(str(file))
                composer.set_draft(Draft())

            await paste(app, pilot, str(file))
            await until(pilot, lambda: composer.question.is_open)
            await type_text(pilot, " is what?")
            assert composer.text == f"{file} is what?"

            composer.set_draft(Draft())
            await paste(app, pilot, str(file))
            await until(pilot, lambda: composer.question.is_open)
            await press(pilot, "i", "enter")
            await until(pilot, lambda: app.sent)
            assert app.sent == [str(file)]

    run(body())


def test_files_go_to_the_documents_where_there_is_a_library(tmp_path: Path) -> None:
    file = tmp_path / "report.txt"
    file.write_text("rope")
    heard: list[tuple[Path, ...]] = []

    async def body() -> None:
        async with composing(tmp_path, has_library=lambda: True) as (app, composer, pilot):
            app.hear_documents = heard.append
            await paste(app, pilot, str(file))
            await until(pilot, lambda: composer.question.is_open)
            await press(pilot, "d")
            await pilot.pause()

            assert heard == [(file,)]
            assert composer.draft() == Draft()

    run(body())


def test_the_question_can_be_answered_by_mouse(tmp_path: Path) -> None:
    file = tmp_path / "report.txt"
    file.write_text("rope")

    async def body() -> None:
        async with composing(tmp_path) as (app, composer, pilot):
            await paste(app, pilot, str(file))
            await until(pilot, lambda: composer.question.is_open)
            await pilot.pause()
            lines = screen_of(app).splitlines()
            row = next(number for number, line in enumerate(lines) if "Insert path" in line)
            await pilot.click(offset=(lines[row].index("Insert path") + 3, row))
            await pilot.pause()

            assert composer.text == str(file)

    run(body())


def test_a_path_that_was_typed_by_the_terminal_is_asked_about_when_it_is_sent(tmp_path: Path) -> None:
    file = tmp_path / "report.txt"
    file.write_text("rope")

    async def body() -> None:
        async with composing(tmp_path) as (app, composer, pilot):
            composer.area.type(f"{file} ")
            await pilot.pause()
            await press(pilot, "enter")
            await until(pilot, lambda: composer.question.is_open)
            await press(pilot, "enter")
            await until(pilot, lambda: composer.attachments)

            assert app.sent == []
            assert composer.draft() == Draft("", (AttachedFile(str(file)),))

    run(body())


def test_what_cannot_be_attached_stays_text_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF" + bytes(100))

    async def refused(app: ComposerApp, composer: Composer, path: Path, why: str, pilot: object) -> None:
        from textual.pilot import Pilot

        assert isinstance(pilot, Pilot)
        composer.set_draft(Draft())
        await paste(app, pilot, str(path))
        await until(pilot, lambda: composer.question.is_open)
        await press(pilot, "a")
        await until(pilot, lambda: why in screen_of(app))
        assert composer.draft() == Draft(str(path))

    async def body() -> None:
        async with composing(tmp_path, size=(100, 24)) as (app, composer, pilot):
            await refused(app, composer, tmp_path / "folder", "'folder' is a folder. Name the files in it.", pilot)
            await refused(app, composer, program, "'program' is a program, not text.", pilot)

    run(body())


def test_an_image_shows_its_pixels(tmp_path: Path) -> None:
    image = tmp_path / "chart.png"
    image.write_bytes(png(640, 480))

    async def body() -> None:
        async with composing(tmp_path) as (app, composer, pilot):
            composer.set_draft(Draft("what is it?", (AttachedFile(str(image)),)))
            await until(pilot, lambda: composer.attachments)
            await pilot.pause()

            assert "chart.png · 640×480 · " in screen_of(app)

    run(body())


def test_what_looks_like_a_key_is_marked(tmp_path: Path) -> None:
    secret = tmp_path / "id_ed25519"
    secret.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n")

    async def body() -> None:
        async with composing(tmp_path) as (app, composer, pilot):
            composer.set_draft(Draft("", (AttachedFile(str(secret)),)))
            await until(pilot, lambda: composer.attachments)
            await pilot.pause()
            assert "⚠ looks like a private key" in screen_of(app)

            await paste(app, pilot, "x\n" * 30 + "key = sk-ant-" + "a1B2" * 10 + "\n")
            assert "⚠ looks like an Anthropic key" in screen_of(app)

    run(body())


def test_a_short_paste_that_looks_like_a_key_is_marked_too(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path, size=(100, 24)) as (app, composer, pilot):
            await paste(app, pilot, "use sk-ant-" + "a1B2" * 10)

            assert "looks like an Anthropic key" in screen_of(app)
            assert composer.text.startswith("use sk-ant-")

    run(body())


def test_a_question_waits_for_its_attachments(tmp_path: Path) -> None:
    slow = tmp_path / "slow.txt"
    slow.write_text("rope")

    async def body() -> None:
        async with composing(tmp_path) as (app, composer, pilot):
            composer.set_draft(Draft("what?", (AttachedFile(str(slow)),)))
            composer.action_send()
            assert app.sent == []

            await until(pilot, lambda: app.sent)
            (sent,) = app.of(Composer.Sent)
            assert [attachment.text for attachment in sent.question.attachments] == ["rope"]
            assert composer.draft() == Draft()

    run(body())


def test_a_draft_whose_file_is_gone_says_so_and_keeps_the_path(tmp_path: Path) -> None:
    gone = tmp_path / "gone.txt"

    async def body() -> None:
        async with composing(tmp_path, size=(120, 24)) as (app, composer, pilot):
            composer.set_draft(Draft("about ", (AttachedFile(str(gone)),)))
            await until(pilot, lambda: "There is no file" in screen_of(app))

            assert composer.draft() == Draft(f"about {gone}")

    run(body())


def test_a_question_takes_only_so_much_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("screens.widgets.composer.shelf.LARGEST_BYTES", 1_000)
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("r" * 600)

    async def body() -> None:
        async with composing(tmp_path, size=(120, 24)) as (app, composer, pilot):
            composer.set_draft(
                Draft("", (AttachedFile(str(tmp_path / "a.txt")), AttachedFile(str(tmp_path / "b.txt"))))
            )
            await until(pilot, lambda: "one question takes up to 1.0 kB along" in screen_of(app))

            assert len(composer.attachments) == 1

    run(body())


def test_a_question_about_files_must_be_answered_before_anything_is_sent(tmp_path: Path) -> None:
    file = tmp_path / "report.txt"
    file.write_text("rope")

    async def body() -> None:
        async with composing(tmp_path) as (app, composer, pilot):
            await type_text(pilot, "what is ")
            await paste(app, pilot, str(file))
            await until(pilot, lambda: composer.question.is_open)
            await press(pilot, "ctrl+s")

            assert app.sent == []
            assert composer.question.is_open
            composer.set_draft(Draft())
            await pilot.pause()
            assert [each.draft.text for each in app.of(Composer.Changed)][-1] == f"what is {file}"

    run(body())


def test_a_paste_from_another_machine_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 50000 10.0.0.2 22")

    async def body() -> None:
        async with composing(tmp_path, size=(120, 24)) as (app, composer, pilot):
            await paste(app, pilot, "/Users/ann/report.pdf ")

            assert composer.text == "/Users/ann/report.pdf "
            assert "cannot be dropped over SSH" in screen_of(app)

    run(body())


def test_a_megabyte_is_a_chip_and_the_next_keys_are_written(tmp_path: Path) -> None:
    megabyte = "some words of a line\n" * 50_000

    async def body() -> None:
        async with composing(tmp_path) as (app, _composer, pilot):
            await paste(app, pilot, megabyte)
            await type_text(pilot, "what?")
            await press(pilot, "enter")
            await until(pilot, lambda: app.sent)

            (sent,) = app.of(Composer.Sent)
            assert sent.question.text == "what?"
            assert sent.question.attachments[0].text == megabyte

    run(body())
