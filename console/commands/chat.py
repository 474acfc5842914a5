"""`hawser chat`: the stored chats, to look at, search, carry elsewhere and remove."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator
    from pathlib import Path
    from typing import Any

    from console.history.chats import Chat
    from console.history.listing import ChatRow
    from console.history.search import Hit
    from console.history.store import Store
    from console.shell import Shell

HELP = "stored chats: ls, show, search, export, import, rm, restore"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from console.arguments import positive_count

    actions = parser.add_subparsers(dest="action", required=True, metavar="ls|show|search|export|import|rm|restore")
    listing = actions.add_parser("ls", help="the chats, the one that changed last first")
    listing.add_argument("-n", "--limit", type=positive_count, default=20, metavar="COUNT", help="at most so many (20)")
    listing.add_argument("--all", action="store_true", help="all of them")
    listing.add_argument(
        "--deleted",
        action="store_true",
        help="those deleted in the app, which `restore` brings back",
    )
    listing.add_argument("--json", action="store_true", help="as JSON")
    show = actions.add_parser("show", help="one chat as Markdown")
    show.add_argument("chat", nargs="?", help="its id, or the beginning of it; the latest chat without one")
    show.add_argument("--tree", action="store_true", help="an outline of all its branches")
    show.add_argument("--json", action="store_true", help="as JSON, with all branches")
    search = actions.add_parser("search", help="find words in titles, questions, answers and attachments")
    search.add_argument(
        "query", nargs="+", help='words that must all be there; "a phrase" stays together; the last word may be begun'
    )
    search.add_argument("-n", "--limit", type=positive_count, default=20, metavar="COUNT", help="at most so many (20)")
    search.add_argument("--chat", metavar="ID", help="only in this chat")
    search.add_argument("--json", action="store_true", help="as JSON")
    export = actions.add_parser("export", help="chats as lossless JSON or as Markdown")
    export.add_argument("chat", nargs="?", help="its id, or the beginning of it")
    export.add_argument("--all", action="store_true", help="every chat")
    export.add_argument("--format", choices=["json", "md"], default="json", help="json comes back with `import` (json)")
    export.add_argument("-o", "--output", metavar="FILE", help="write to this file and not to standard output")
    export.add_argument("--force", action="store_true", help="replace FILE if it is there")
    bring = actions.add_parser("import", help="chats from our own JSON, a ChatGPT or an Open WebUI export")
    bring.add_argument("file", help="a .json file, or the .zip that ChatGPT sends")
    bring.add_argument("--json", action="store_true", help="the counts as JSON")
    remove = actions.add_parser("rm", help="remove chats; what they cost stays in the books")
    remove.add_argument("chat", nargs="+", help="its id, or the beginning of it")
    remove.add_argument("-y", "--yes", action="store_true", help="do not ask")
    restore = actions.add_parser("restore", help="bring back chats that were deleted in the app")
    restore.add_argument("chat", nargs="+", help="its id, or the beginning of it")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    return asyncio.run(_run(arguments, shell))


async def _run(arguments: argparse.Namespace, shell: Shell) -> int:
    actions = {
        "ls": _list,
        "show": _show,
        "search": _search,
        "export": _export,
        "import": _import,
        "rm": _remove,
        "restore": _restore,
    }
    async with shell.runtime() as runtime:
        return await actions[arguments.action](arguments, shell, await runtime.store())


async def _list(arguments: argparse.Namespace, shell: Shell, store: Store) -> int:
    if arguments.deleted:
        return await _list_deleted(arguments, shell, store)
    chats = await store.chats(limit=None if arguments.all else arguments.limit)
    if arguments.json:
        from console.chat.export import moment

        shell.items(
            [
                {
                    "id": chat.id,
                    "title": chat.title,
                    "client": chat.client,
                    "model": chat.model,
                    "messages": chat.message_count,
                    "created_at": moment(chat.created_at),
                    "updated_at": moment(chat.updated_at),
                }
                for chat in chats
            ]
        )
        return 0
    if not chats:
        shell.note('There are no chats yet. Begin one with: hawser --prompt "…"')
        return 0
    from console.text import shorten

    short = _short_ids([chat.id for chat in chats])
    rows = [
        (
            short[chat.id],
            f"{chat.updated_at.astimezone():%Y-%m-%d %H:%M}",
            str(chat.message_count),
            chat.model or "-",
            shorten(chat.title or "untitled", 60),
        )
        for chat in chats
    ]
    shell.table(("CHAT", "CHANGED", "MESSAGES", "MODEL", "TITLE"), rows)
    return 0


async def _list_deleted(arguments: argparse.Namespace, shell: Shell, store: Store) -> int:
    from console.text import shorten

    chats = await _deleted(store, None if arguments.all else arguments.limit)
    if arguments.json:
        from console.chat.export import moment

        shell.items(
            [
                {
                    "id": chat.id,
                    "title": chat.title,
                    "model": chat.model,
                    "messages": chat.message_count,
                    "updated_at": moment(chat.updated_at),
                    "deleted_at": None if chat.deleted_at is None else moment(chat.deleted_at),
                }
                for chat in chats
            ]
        )
    elif not chats:
        shell.note("Nothing was deleted in the last week.")
    else:
        short = _short_ids([chat.id for chat in chats])
        rows = [
            (
                short[chat.id],
                f"{(chat.deleted_at or chat.updated_at).astimezone():%Y-%m-%d %H:%M}",
                str(chat.message_count),
                chat.model or "-",
                shorten(chat.title or "untitled", 60),
            )
            for chat in chats
        ]
        shell.table(("CHAT", "DELETED", "MESSAGES", "MODEL", "TITLE"), rows)
    return 0


async def _deleted(store: Store, limit: int | None = None) -> list[ChatRow]:
    """The chats that can be brought back, the latest deleted first."""
    from console.history import listing

    return await store.run(lambda c: listing.rows(c, listing.top(c, -1 if limit is None else limit, deleted=True)))


def _short_ids(ids: list[str]) -> dict[str, str]:
    """The beginning of each id that tells it from its neighbours here, and a little more for those not listed."""
    ordered = sorted(ids)
    short = {}
    for position, one in enumerate(ordered):
        near = ordered[max(position - 1, 0) : position] + ordered[position + 1 : position + 2]
        shared = max((_shared_length(one, other) for other in near), default=0)
        short[one] = one[: max(shared + 2, 10)]
    return short


def _shared_length(one: str, other: str) -> int:
    length = 0
    while length < len(one) and one[length] == other[length]:
        length += 1
    return length


async def _show(arguments: argparse.Namespace, shell: Shell, store: Store) -> int:
    from console.chat.export import as_document, to_markdown, to_outline
    from console.errors import NotFound

    chat = await store.chat(arguments.chat) if arguments.chat else await store.latest_chat()
    if chat is None:
        raise NotFound("There is no chat yet.", hint='Begin one with: hawser --prompt "…"')
    if arguments.json:
        shell.json({"schema": 1, **as_document(chat, await store.tree(chat.id))})
    elif arguments.tree:
        shell.say(to_outline(chat, await store.tree(chat.id, contents=False)))
    else:
        shell.say(to_markdown(chat, await store.path(chat.id, contents=False)).rstrip("\n"))
    return 0


async def _search(arguments: argparse.Namespace, shell: Shell, store: Store) -> int:
    chat_id = (await store.chat(arguments.chat)).id if arguments.chat else None
    hits = await store.search(" ".join(arguments.query), limit=arguments.limit, chat=chat_id)
    if arguments.json:
        shell.items([_hit(hit) for hit in hits])
    elif not hits:
        shell.note("Nothing was found.")
    for hit in hits if not arguments.json else ():
        what = hit.role or "title" if hit.kind != "attachment" else f"attached {hit.name}"
        shell.say(f"{hit.chat_id}  {hit.at.astimezone():%Y-%m-%d %H:%M}  {what}  {hit.chat_title}".rstrip())
        shell.say(f"    {hit.excerpt}")
    return 0


def _hit(hit: Hit) -> dict[str, Any]:
    from console.chat.export import moment

    return {
        "kind": hit.kind,
        "chat": hit.chat_id,
        "title": hit.chat_title,
        "message": hit.message_id,
        "role": hit.role,
        "attachment": hit.name,
        "at": moment(hit.at),
        "excerpt": hit.excerpt,
        "marks": [list(mark) for mark in hit.marks],
    }


async def _export(arguments: argparse.Namespace, shell: Shell, store: Store) -> int:
    from pathlib import Path

    from console.errors import UsageError
    from console.history import chats

    if bool(arguments.chat) == arguments.all:
        raise UsageError("Name one chat, or say --all.", hint="hawser chat ls shows what is there.")
    if arguments.all:
        found = await store.run(chats.every_id)
    else:
        found = [(await store.chat(arguments.chat)).id]
    parts = _json_parts(store, found) if arguments.format == "json" else _markdown_parts(store, found)
    if arguments.output is None:
        async for part in parts:
            shell.stdout.write(part)
    else:
        await _write(Path(arguments.output), parts, force=arguments.force)
        from console.text import plural

        shell.note(f"{plural(len(found), 'chat')} written to {arguments.output}.")
    return 0


async def _json_parts(store: Store, chat_ids: list[str]) -> AsyncIterator[str]:
    from console.chat.export import HEAD, TAIL, to_json

    yield HEAD
    for number, chat_id in enumerate(chat_ids):
        chat = await _or_none(store, chat_id)
        if chat is not None:
            yield ("\n" if number == 0 else ",\n") + to_json(chat, await store.tree(chat.id))
    yield "\n" + TAIL if chat_ids else TAIL


async def _markdown_parts(store: Store, chat_ids: list[str]) -> AsyncIterator[str]:
    from console.chat.export import to_markdown
    from console.text import neutralise

    for number, chat_id in enumerate(chat_ids):
        chat = await _or_none(store, chat_id)
        if chat is not None:
            path = await store.path(chat.id, contents=False)
            yield ("\n" if number else "") + neutralise(to_markdown(chat, path))


async def _or_none(store: Store, chat_id: str) -> Chat | None:
    """None if another process removed it since the list was made."""
    from console.errors import NotFound

    try:
        return await store.chat(chat_id)
    except NotFound:
        return None


async def _write(path: Path, parts: AsyncIterator[str], *, force: bool) -> None:
    from console.chat.export_file import whole_file

    with whole_file(path, force=force) as file:
        async for part in parts:
            file.write(part)


async def _import(arguments: argparse.Namespace, shell: Shell, store: Store) -> int:
    from collections import Counter
    from pathlib import Path

    from console.chat import importers
    from console.history import imports

    source = importers.read(Path(arguments.file))
    counts: Counter[str] = Counter()
    messages = 0
    for chat, tree in source.chats:
        counts[await store.run(lambda c, chat=chat, tree=tree: imports.bring_in(c, chat, tree), write=True)] += 1  # type: ignore[misc]
        messages += len(tree)
    if arguments.json:
        kinds = {kind: counts[kind] for kind in ("new", "grown", "known")}
        shell.json({"schema": 1, "source": source.kind, "chats": kinds, "messages": messages, "notes": source.left_out})
        return 0
    shell.say(importers.told(source, counts))
    for sentence in source.left_out[:10]:
        shell.note(sentence)
    if len(source.left_out) > 10:
        shell.note(f"And {len(source.left_out) - 10:,} more were left out.")
    return 0


async def _remove(arguments: argparse.Namespace, shell: Shell, store: Store) -> int:
    from console.errors import UsageError

    found = {chat.id: chat for chat in [await store.chat(each) for each in arguments.chat]}
    if not arguments.yes:
        if not shell.is_interactive():
            raise UsageError("Removing asks first, and there is no terminal to ask on.", hint="--yes does not ask.")
        titles = ", ".join(chat.title or chat.id for chat in found.values())
        if not shell.confirm(f"Remove {titles}? This cannot be undone."):
            shell.note("Nothing was removed.")
            return 0
    from console.text import plural

    for chat in found.values():
        shell.paths.last_screen.unlink(missing_ok=True)  # it may show what is removed
        count = await store.delete_chat(chat.id)
        shell.note(f"Removed {chat.title or chat.id} with {plural(count, 'message')}.")
    return 0


async def _restore(arguments: argparse.Namespace, shell: Shell, store: Store) -> int:
    from console.errors import NotFound

    deleted = await _deleted(store)
    found = []
    for wanted in arguments.chat:
        fitting = [chat for chat in deleted if chat.id.startswith(wanted.lower())]
        if len(fitting) != 1:
            what = "could be several deleted chats" if fitting else "is no deleted chat"
            raise NotFound(f"{wanted!r} {what}.", hint="hawser chat ls --deleted shows them.")
        found += fitting
    for chat in {chat.id: chat for chat in found}.values():
        await store.bring_back_chat(chat.id)
        shell.note(f"{chat.title or chat.id} is back.")
    return 0
