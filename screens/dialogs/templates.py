"""Take a template: a prompt, or a persona with its instruction, model and parameters; variables are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Input, Static

from console.chat.templates import Template
from console.paths import shown_path
from console.text import neutralise, plural
from screens.dialogs.base import Dialog
from screens.dialogs.pick import PickDialog
from screens.widgets.cells import clip, fit
from screens.widgets.fields import Fields
from screens.widgets.key_line import KeyLine


class TemplatesDialog(PickDialog[Template]):
    """Answers with the template that was chosen."""

    def __init__(self, title: str, templates: Sequence[Template], folder: Path) -> None:
        super().__init__(
            title,
            templates,
            self._paint,
            lambda template: template.name,
            text_of=lambda template: f"{template.name} {template.about}",
            empty=f"Nothing here yet. A file NAME.md or NAME.toml in {shown_path(folder)} is one.",
            about_lines=1,
        )

        self._folder = folder

    def on_mount(self) -> None:
        self.tell(f"They are files in {shown_path(self._folder)}")

    def _paint(self, template: Template, width: int, here: bool) -> Text:
        palette = self.hawser.palette
        marks = clip(_marks(template), width // 3)
        name = clip(template.name, width // 3)
        room = max(width - cell_len(name) - cell_len(marks) - 4, 0)
        return Text.assemble(
            (f" {name}  ", palette.text),
            (fit(template.about, room), palette.muted),
            (f" {marks}", palette.accent),
            no_wrap=True,
        )


def _marks(template: Template) -> str:
    """What it brings beside its words."""
    params = plural(len(template.params), "parameter") if template.params else ""
    return " · ".join(filter(None, (template.model, params)))


class VariablesDialog(Dialog[dict[str, str]]):
    """Answers with a value for each variable of a template."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "Save", show=False),
        Binding("down", "app.focus_next", "Down", show=False),
        Binding("up", "app.focus_previous", "Up", show=False),
    ]

    def __init__(self, template: Template) -> None:
        super().__init__()
        self.template = template

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog parameters") as box:
            box.border_title = Content(neutralise(self.template.name))
            if self.template.about:
                yield Static(neutralise(self.template.about), classes="lines", markup=False)
            with Fields(classes="scroll"):
                for number, name in enumerate(self.template.variables):
                    with Horizontal(classes="row"):
                        yield Static(neutralise(name), classes="label", markup=False)
                        yield Input(
                            self.template.defaults.get(name, ""), id=f"variable-{number}", select_on_focus=False
                        )
            yield KeyLine("Enter goes on · ^S takes it · Esc leaves it")

    def on_resize(self) -> None:
        """The fields get what frame, sentence and keys leave, and scroll."""
        self.query_one(".scroll").styles.max_height = max(self.size.height * 9 // 10 - 7, 2)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.input.id == f"variable-{len(self.template.variables) - 1}":
            self.action_save()
        else:
            self.app.action_focus_next()

    def action_save(self) -> None:
        self.dismiss(
            {
                name: self.query_one(f"#variable-{number}", Input).value
                for number, name in enumerate(self.template.variables)
            }
        )
