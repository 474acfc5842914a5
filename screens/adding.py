"""Adding documents, wherever it is asked for: what they are is looked at, what should be said first is said, and then
they are in the queue. Nobody waits for them to be read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from console.library.pages import is_page
from console.text import plural
from screens.dialogs.confirm import Choice, ChoiceDialog, ConfirmDialog
from screens.library_lines import tail_words
from screens.widgets.cells import clip

if TYPE_CHECKING:
    from console.library.library import Library
    from console.library.look import Looked
    from rag.documents import Added
    from screens.app import HawserApp

MOST_NAMED = 8


async def add_documents(
    hawser: HawserApp, library: Library, paths: Sequence[str | Path], collection: str, *, tags: Sequence[str] = ()
) -> Added | None:
    """None where there was nothing to add, or somebody said no. Raises ConsoleError."""
    addresses = [str(each) for each in paths if is_page(str(each))]
    if addresses:
        return await _add_pages(hawser, library, addresses, collection, tags)
    looked = await library.look_at(paths, collection)
    fine = [each for each in looked if each.looks not in ("missing", "other")]
    lost = [each for each in looked if each.looks in ("missing", "other")]
    if lost:
        told = [f"{clip(each.name, 40)}: {each.error or 'it cannot be read'}" for each in lost[:MOST_NAMED]]
        hawser.warn("\n".join(told), title="Not added")
    secrets = [each for each in fine if each.secret]
    allows = False
    if secrets:
        answer = await _ask_secrets(hawser, secrets, collection, is_all=len(secrets) == len(fine))
        if answer is None or answer == "none":
            return None
        allows = answer == "all"
        if not allows:
            fine = [each for each in fine if not each.secret]
    if not fine or not await agreed(hawser, library, collection):
        return None
    added = await library.add([each.path for each in fine], collection, tags=tags, allow_secrets=allows)
    _tell(hawser, added, fine, collection)
    return added


async def _add_pages(
    hawser: HawserApp, library: Library, addresses: Sequence[str], collection: str, tags: Sequence[str]
) -> Added | None:
    from rag.documents import Added

    if not await agreed(hawser, library, collection):
        return None
    found = [await library.add_page(each, collection, tags=tags) for each in addresses]
    added = Added(
        tuple(number for each in found for number in each.document_ids),
        tuple(skipped for each in found for skipped in each.skipped),
    )
    _tell(hawser, added, (), collection)
    return added


async def agreed(hawser: HawserApp, library: Library, collection: str) -> bool:
    """Whether the text of a collection may go to whoever embeds it; asked once for each collection."""
    service = await library.needs_agreement(collection)
    if service is None:
        return True
    lines = [
        f"The documents of {collection} are embedded by {service}, which is not on this computer.",
        "The text of every document in this collection is sent there, and every question to it.",
        "",
        "This is asked once for each collection. The model on this computer sends nothing anywhere:",
        "leave `embedder` out of [rag] in the settings to use it.",
    ]
    if not await hawser.push_screen_wait(ConfirmDialog("Text leaves this computer", lines, f"Send it to {service}")):
        return False
    await library.agree(collection)
    return True


async def _ask_secrets(hawser: HawserApp, secrets: Sequence[Looked], collection: str, *, is_all: bool) -> str | None:
    lines = [
        f"{'This looks' if len(secrets) == 1 else 'These look'} like something that is nobody else's business:",
        "",
    ]
    lines += [f"  {each.secret} in {tail_words(each.path, 40)}" for each in secrets[:MOST_NAMED]]
    if len(secrets) > MOST_NAMED:
        lines.append(f"  and {len(secrets) - MOST_NAMED} more")
    lines += ["", f"What is in {collection} can be found, and sent to whichever model answers."]
    choices = [Choice("n", "Add nothing", "none")]
    if not is_all:
        choices.insert(0, Choice("o", "Add only the others", "others"))
    choices.append(Choice("y", "Add all, these too", "all", dangerous=True))
    return await hawser.push_screen_wait(ChoiceDialog("Secrets", lines, choices))


def _tell(hawser: HawserApp, added: Added, looked: Sequence[Looked], collection: str) -> None:
    skipped = list(added.skipped)
    count = len(added.document_ids)
    known = [each for each in looked if each.known_as is not None and each.is_unchanged]
    words = []
    if count and not (looked and len(known) == len(looked) == count):
        words.append(f"{plural(count, 'document')} added to {collection}.")
    elif count:
        words.append(f"{'It is' if count == 1 else 'They are'} in {collection} already, unchanged.")
    if skipped:
        words.append(f"{plural(len(skipped), 'file')} left out:")
        words += [f"{clip(Path(path).name or path, 30)}: {why}" for path, why in skipped[:3]]
    (hawser.say if count else hawser.warn)("\n".join(words) or f"Nothing was found to add to {collection}.")
