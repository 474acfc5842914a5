"""Writing in one's own editor while the app gives the terminal away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.app import App, SuspendNotSupported

from console.editor import EditorFailed, edit, editor_command

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


async def write_in_editor(app: App[Any], text: str) -> str:
    """What the editor leaves of a text; raises `EditorFailed`. What arrives meanwhile is drawn afterwards."""
    command = editor_command()
    lent: AbstractContextManager[None] = app.suspend()
    try:
        with lent, app.batch_update():  # nothing is drawn over the editor
            return await edit(text, command)
    except SuspendNotSupported as error:
        raise EditorFailed("This terminal cannot be lent to an editor.") from error
    finally:
        app.refresh(layout=True)
