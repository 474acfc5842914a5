"""What is chosen for a whole chat: parameters, the instruction, personas and templates, each by keys or mouse."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input, TextArea

from console.runtime import Runtime
from providers.simulated.services import SimulatedAnthropic
from screens.dialogs.parameters import ChoiceField, ParametersDialog
from screens.dialogs.system import SystemDialog
from screens.dialogs.templates import TemplatesDialog, VariablesDialog
from tests.conftest import run
from tests.screens.room_kit import RoomKit, box, room

PIRATE = """
about = "Talks as sailors do."
system = "You are a pirate from {{port}}."
prompt = "Say it to {{whom}}: {{input}}"
model = "claude/claude-sonnet-4-5"
[params]
temperature = 1.5
num_ctx = 4096
[defaults]
port = "Brest"
"""
LETTER = "+++\n[defaults]\ntone = 'kind'\n+++\nA {{tone}} letter to {{whom}} about: {{input}}"


def with_templates(runtime: Runtime) -> None:
    folder = runtime.paths.templates
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pirate.toml").write_text(PIRATE)
    (folder / "letter.md").write_text(LETTER)
    (folder / "broken.toml").write_text("system = ")


async def open_parameters(r: RoomKit) -> ParametersDialog:
    await r.press("ctrl+t")
    await r.until(lambda: isinstance(r.app.screen, ParametersDialog) and r.app.screen.query(Input))
    dialog = r.app.screen
    assert isinstance(dialog, ParametersDialog)
    return dialog


async def closed(r: RoomKit) -> None:
    await r.until(lambda: not r.app.screen.is_modal)


async def command(r: RoomKit, words: str) -> None:
    """Write a command and run it; with a list of completions open the first Enter takes one."""
    await r.write(words)
    await r.press("enter")
    if r.written:
        await r.press("enter")
    assert not r.written


def labels(dialog: ParametersDialog) -> list[str]:
    return [each.label for each in dialog.parameters]


@pytest.mark.parametrize("size", [(80, 24), (60, 15)])
def test_parameters_are_set_by_keys_in_a_small_terminal(tmp_path: Path, size: tuple[int, int]) -> None:
    async def body() -> None:
        ollama = box()
        async with room(tmp_path, ollama, model="box/qwen3:8b", size=size) as r:
            dialog = await open_parameters(r)
            assert "Parameters · box/qwen3:8b" in r.screen
            await r.sees("0 to 2 · as the model", "0 always takes the likeliest")
            await r.press("9", "enter")
            await r.sees("Temperature cannot be '9'. It may be 0 to 2.")
            await r.press("backspace", *"0,5")
            await r.sees("0 always takes the likeliest")
            for _ in range(len(dialog.parameters) - 1):
                await r.press("down")
            await r.sees("Thinking", "Ask for thinking before the answer")  # scrolled into sight
            await r.press("right", "right", "ctrl+s")
            await closed(r)
            await r.until(lambda: r.chat.params == {"temperature": 0.5, "thinking": "off"})

            await r.say("echo aye")
            sent = ollama.requests_to("/api/chat")[-1].json
            assert (sent["options"]["temperature"], sent["think"]) == (0.5, False)

            await open_parameters(r)
            await r.press("ctrl+r", "enter")
            await closed(r)
            await r.until(lambda: r.chat.params == {})
            assert r.rows("SELECT params FROM chats") in ([("{}",)], [(None,)])

    run(body())


def test_another_model_has_other_parameters_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    async def body() -> None:
        ollama, claude = box(), SimulatedAnthropic("claude")
        async with room(tmp_path, ollama, claude, prices=["claude"]) as r:
            await r.chat.set_params({"temperature": 1.5, "seed": 7})
            await command(r, "/model claude/claude-sonnet-4-5")
            await r.told("claude/claude-sonnet-4-5 does not have Seed; this is kept for models that do.")
            await r.told("Temperature goes as 1, the nearest that there is here.")

            dialog = await open_parameters(r)
            assert "Seed" not in labels(dialog)
            await r.sees("0 to 1 · as the model has it", "Temperature goes as 1", "not sent to this one: Seed.")
            field = dialog.query_one("#set-thinking", ChoiceField)
            await r.pilot.click(field, offset=(12, 0))  # unset  [on]  off
            await r.sees("Temperature is not sent: it does not go with thinking here.")
            assert field.value == "on"
            await r.press("escape")
            await closed(r)
            assert r.chat.params == {"temperature": 1.5, "seed": 7}

            await r.chat.set_model("auto")
            dialog = await open_parameters(r)
            await r.sees("The name stands for several; each gets what it has.")
            assert len(dialog.parameters) == 12
            await r.press("ctrl+c")
            await closed(r)

    run(body())


def test_a_persona_brings_instruction_model_and_parameters(tmp_path: Path) -> None:
    async def body() -> None:
        ollama, claude = box(), SimulatedAnthropic("claude")
        async with room(tmp_path, ollama, claude, prices=["claude"], before=with_templates) as r:
            await r.write("aye")
            await r.press("ctrl+y")
            await r.until(lambda: isinstance(r.app.screen, SystemDialog))
            await r.sees("Empty: no instruction is sent")
            await r.press("ctrl+t")
            await r.until(lambda: isinstance(r.app.screen, TemplatesDialog))
            await r.told("broken.toml' is not TOML")
            await r.sees("pirate", "Talks as sailors do.", "claude/claude-sonnet-")
            await r.sees_no("letter")  # which has no instruction
            await r.type("pira")
            await r.press("enter")
            await r.until(lambda: isinstance(r.app.screen, VariablesDialog))
            assert "whom" not in r.screen  # the prompt is not for a persona
            await r.press("end", "ctrl+u", *"Cork", "enter")
            await r.until(lambda: isinstance(r.app.screen, SystemDialog))
            await r.sees("You are a pirate from Cork.", "pirate: ~")
            r.app.screen.query_one(TextArea).insert(" Aye!")
            await r.press("ctrl+s")
            await closed(r)
            await r.told("pirate sets num_ctx, which chats here do not have.")

            await r.until(lambda: r.chat.system == "You are a pirate from Cork. Aye!")
            assert (r.chat.persona, r.chat.model) == ("pirate", "claude/claude-sonnet-4-5")
            assert r.chat.params == {"temperature": 1.5}
            assert r.written == "aye"
            await r.press("enter")
            await r.until(lambda: len(r.items) == 2)
            await r.answered()
            sent = claude.requests_to("/v1/messages")[-1].json
            assert (sent["system"], sent["temperature"]) == ("You are a pirate from Cork. Aye!", 1)

            # An empty one takes the instruction away.
            await r.press("ctrl+y")
            await r.until(lambda: isinstance(r.app.screen, SystemDialog))
            await r.sees("tokens with every question")
            r.app.screen.query_one(TextArea).clear()
            await r.press("ctrl+s")
            await r.until(lambda: r.chat.system is None)
            await r.until(lambda: r.chat.persona is None)

    run(body())


def test_a_template_asks_for_its_variables_and_fills_the_composer(tmp_path: Path) -> None:
    async def body() -> None:
        async with room(tmp_path, box(), before=with_templates, size=(80, 24)) as r:
            await command(r, "/template letter")
            await r.until(lambda: isinstance(r.app.screen, VariablesDialog))
            await r.sees("tone", "kind", "whom")
            await r.press("down", *"Ann", "ctrl+s")
            await closed(r)
            await r.until(lambda: r.written.startswith("A kind letter to Ann"))
            assert r.chat.system is None

            await r.press("ctrl+u")
            r.room.composer.area.clear()
            await command(r, "/persona xyz")
            await r.told("There is no template 'xyz'.")
            assert r.chat.system is None

    run(body())


def test_what_the_store_refuses_is_told_and_the_room_goes_on(tmp_path: Path) -> None:
    async def body() -> None:
        async with room(tmp_path, box()) as r:
            await r.say("echo one")
            chat_id = r.chat.id
            store = await r.store()
            await store.run(lambda c: c.execute("DELETE FROM chats WHERE id = ?", (chat_id,)), write=True)
            await command(r, "/model box/mistral:7b")
            await r.until(lambda: r.toasts)
            await r.told("There is no chat")
            await r.write("echo two")
            await r.press("enter")
            await r.until(lambda: r.texts == ["echo two", "two"])

            await r.answered()

    run(body())
