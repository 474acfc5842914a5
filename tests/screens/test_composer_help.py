"""The lists that open while one types: commands, files, collections, past prompts."""

from __future__ import annotations

from pathlib import Path

from console.chat.drafts import AttachedFile, Collection
from screens.widgets.composer import Composer
from tests.conftest import run
from tests.screens.composer_kit import composing, press, screen_of, type_text, until


def commands_of(app: object) -> list[tuple[str, str]]:
    from tests.screens.composer_kit import ComposerApp

    assert isinstance(app, ComposerApp)
    return [(message.name, message.rest) for message in app.of(Composer.Command)]


def test_a_slash_lists_the_commands_and_enter_runs_the_one_that_fits(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path) as (app, composer, pilot):
            await press(pilot, "slash")
            screen = screen_of(app)
            assert "/model NAME" in screen
            assert "Begin a chat" in screen

            await type_text(pilot, "ne")
            await press(pilot, "enter")
            assert commands_of(app) == [("new", "")]
            assert composer.text == ""
            assert not composer.choices.is_open

    run(body())


def test_tab_completes_a_command_and_then_its_argument(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path) as (app, composer, pilot):
            await type_text(pilot, "/mo")
            await press(pilot, "tab")
            assert composer.text == "/model "
            assert [choice.value for choice in composer.choices.rows] == ["general", "quick", "inference/qwen3:8b"]

            await type_text(pilot, "qw")
            await press(pilot, "tab")
            assert composer.text == "/model inference/qwen3:8b"

            await press(pilot, "enter")
            assert commands_of(app) == [("model", "inference/qwen3:8b")]

    run(body())


def test_enter_takes_an_argument_that_was_chosen_and_runs_the_command(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path) as (app, _composer, pilot):
            await type_text(pilot, "/model ")
            await press(pilot, "down", "enter")

            assert commands_of(app) == [("model", "quick")]

    run(body())


def test_a_command_that_is_written_out_is_run_as_it_stands(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path) as (app, _composer, pilot):
            await type_text(pilot, "/model")
            await press(pilot, "enter")
            await type_text(pilot, "/model ")
            await press(pilot, "enter")
            await type_text(pilot, "/rename A  better title ")
            await press(pilot, "enter")

            assert commands_of(app) == [("model", ""), ("model", ""), ("rename", "A  better title")]

    run(body())


def test_escape_closes_the_list_first_and_it_stays_closed_for_this_word(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path) as (app, composer, pilot):
            await type_text(pilot, "/m")
            await press(pilot, "escape")
            assert not composer.choices.is_open
            assert app.of(Composer.Left) == []

            await type_text(pilot, "o")
            assert not composer.choices.is_open

            await press(pilot, "escape")
            assert len(app.of(Composer.Left)) == 1

    run(body())


def test_an_unknown_command_is_questioned_once_and_then_sent_as_text(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path) as (app, composer, pilot):
            await type_text(pilot, "/modle x")
            await press(pilot, "enter")
            await app.workers.wait_for_complete()
            await pilot.pause()
            assert "no command /modle. Did you mean /model?" in screen_of(app)
            assert composer.text == "/modle x"

            await press(pilot, "enter")
            await until(pilot, lambda: app.sent)
            assert app.sent == ["/modle x"]

    run(body())


def test_chips_outlast_a_command(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("rope")

    async def body() -> None:
        async with composing(tmp_path) as (_app, composer, pilot):
            await type_text(pilot, "@a.t")
            await until(pilot, lambda: composer.choices.rows)
            await press(pilot, "enter", "ctrl+u")
            await type_text(pilot, "/new")
            await press(pilot, "enter")

            assert composer.chips == (AttachedFile(str(tmp_path / "a.txt")),)

    run(body())


def test_at_lists_files_but_not_those_that_git_ignores(tmp_path: Path) -> None:
    files = tmp_path / "work"
    (files / "docs").mkdir(parents=True)
    (files / ".gitignore").write_text("*.log\n")
    (files / "docs" / "rope.md").write_text("# Rope\n")
    (files / "rope.log").write_text("noise\n")

    async def body() -> None:
        async with composing(tmp_path, files=files) as (app, composer, pilot):
            await type_text(pilot, "see @rop")
            await until(pilot, lambda: composer.choices.rows)
            assert [choice.value for choice in composer.choices.rows] == ["docs/rope.md"]

            await press(pilot, "tab")
            assert composer.text == "see @docs/rope.md "
            await until(pilot, lambda: composer.attachments)
            assert composer.attachments[0].text == "# Rope\n"
            assert "rope.md · 7 B" in screen_of(app)

            await press(pilot, "enter")
            (sent,) = app.of(Composer.Sent)
            assert (sent.question.text, sent.question.attachments[0].name) == ("see @docs/rope.md ", "rope.md")

    run(body())


def test_at_lists_collections_too(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path, collections=lambda: ["ropes", "papers"]) as (app, composer, pilot):
            await type_text(pilot, "ask @pap")
            await press(pilot, "enter")
            assert composer.text == "ask @papers "
            assert composer.chips == (Collection("papers"),)

            await press(pilot, "enter")
            assert app.of(Composer.Sent)[0].collections == ("papers",)

    run(body())


def test_an_address_of_mail_opens_no_list(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path, collections=lambda: ["example"]) as (_app, composer, pilot):
            await type_text(pilot, "write to me@ex")

            assert not composer.choices.is_open

    run(body())


def test_the_list_closes_when_the_cursor_leaves_the_word(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path, collections=lambda: ["papers"]) as (_app, composer, pilot):
            await type_text(pilot, "see @p")
            assert composer.choices.is_open
            await press(pilot, "home")
            assert not composer.choices.is_open

    run(body())


def test_past_prompts_are_found_by_words_and_the_draft_is_kept_on_escape(tmp_path: Path) -> None:
    async def body() -> None:
        past = ["About ropes", "About knots\nand hitches", "Something else"]
        async with composing(tmp_path, past=past) as (app, composer, pilot):
            await type_text(pilot, "draft")
            await press(pilot, "ctrl+r")
            await until(pilot, lambda: len(composer.choices.rows) == 3)
            await type_text(pilot, "knot")
            await until(pilot, lambda: len(composer.choices.rows) == 1)
            assert "Past prompts: knot" in screen_of(app)

            await press(pilot, "escape")
            assert composer.text == "draft"

            await press(pilot, "ctrl+r")
            await until(pilot, lambda: len(composer.choices.rows) == 3)
            await press(pilot, "ctrl+r", "enter")
            assert composer.text == "About knots\nand hitches"
            assert app.sent == []

    run(body())


def test_nothing_found_keeps_the_search_open(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path, past=["About ropes"]) as (app, composer, pilot):
            await press(pilot, "ctrl+r")
            await type_text(pilot, "zzz")
            await until(pilot, lambda: composer.choices.is_open and not composer.choices.rows)
            await press(pilot, "enter")

            assert composer.text == ""
            assert app.sent == []
            assert not composer.choices.is_open

    run(body())


def test_a_row_can_be_taken_by_mouse(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path) as (app, composer, pilot):
            await press(pilot, "slash")
            await pilot.click(composer.choices, offset=(4, 2))
            await pilot.pause()

            assert commands_of(app) == [("new", "")]
            assert composer.area.has_focus

    run(body())


def test_names_of_files_cannot_control_the_terminal(tmp_path: Path) -> None:
    files = tmp_path / "work"
    files.mkdir()
    (files / "bad\x1b[31mname\n.txt").write_text("x")

    async def body() -> None:
        async with composing(tmp_path, files=files) as (app, composer, pilot):
            await type_text(pilot, "@bad")
            await until(pilot, lambda: composer.choices.rows)

            assert "\x1b" not in screen_of(app)
            assert "bad␛[31mname" in screen_of(app)

    run(body())


def test_keys_faster_than_the_list_still_mean_what_is_written(tmp_path: Path) -> None:
    from textual import events

    async def body() -> None:
        async with composing(tmp_path) as (app, _composer, pilot):
            for key, character in (("slash", "/"), ("n", "n"), ("e", "e"), ("enter", "\r")):
                app.post_message(events.Key(key, character))
            await until(pilot, lambda: commands_of(app))

            assert commands_of(app) == [("new", "")]

    run(body())


def test_the_list_stands_above_the_text_and_never_over_it(tmp_path: Path) -> None:
    files = tmp_path / "work"
    files.mkdir()
    for number in range(20):
        (files / f"file-{number:02}.txt").write_text("x")

    async def body() -> None:
        for size in ((80, 24), (44, 12), (30, 8)):
            async with composing(tmp_path, files=files, size=size) as (app, composer, pilot):
                await type_text(pilot, "@file")
                await until(pilot, lambda: composer.choices.rows)
                await pilot.pause()
                assert composer.choices.region.bottom == composer.region.y
                assert composer.choices.region.y >= 0
                assert composer.choices.region.width == composer.region.width

                await press(pilot, *["down"] * 12)
                assert "file-12.txt" in screen_of(app)

    run(body())


def test_what_commands_do_stands_in_a_column(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path) as (app, _composer, pilot):
            await press(pilot, "slash")
            lines = screen_of(app).splitlines()
            words = ("Choose who answers", "Begin a chat", "Another title")

            assert len({line.index(word) for word in words for line in lines if word in line}) == 1

    run(body())
