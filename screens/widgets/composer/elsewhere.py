"""Writing in one's own editor while the app gives the terminal away."""

from __future__ import annotations

from typing import Any

from textual.app import App, SuspendNotSupported

from console.editor import EditorFailed, edit, editor_command


async def write_in_editor(app: App[Any], text: str) -> str:
    """What the editor leaves of a text; raises `EditorFailed`. What arrives meanwhile is drawn afterwards."""
    command = editor_command()
    after, failure = text, None
    try:
        with app.suspend(), app.batch_update():  # nothing is drawn over the editor
            try:
                after = await edit(text, command)
            except BaseException as error:  # noqa: BLE001 - raised below: `suspend` takes the terminal back only without
                failure = error
    except SuspendNotSupported as error:
        raise EditorFailed("This terminal cannot be lent to an editor.") from error
    app.refresh(layout=True)
    if failure is not None:
        raise failure
    return after
