"""`hawser vm logs`: what happened to a machine, what it said while it came up, and what its services say."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Sequence

    from console.machines.records import MachineRecord
    from console.runtime import Runtime
    from console.shell import Shell

HELP = "what a machine and its services said"
LINES = 200
PAUSE_S = 2.0
"""A log that comes as a stream is over, for who does not follow it, when nothing came for so long."""
AGAIN_S = 5.0
"""How often a log that comes at once is asked for anew while it is followed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from console.arguments import positive_count

    parser.add_argument("machine", metavar="NAME", help="a machine; with --service also an ssh alias or user@host")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--boot", action="store_true", help="only what it said while it came up, and its recipe")
    which.add_argument("--service", metavar="NAME", help="what a service there says, such as ollama or comfyui")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what comes, until interrupted")
    parser.add_argument("-n", "--lines", type=positive_count, default=LINES, metavar="N", help=f"the newest ({LINES})")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    return asyncio.run(_service(arguments, shell) if arguments.service else _machine(arguments, shell))


async def _machine(arguments: argparse.Namespace, shell: Shell) -> int:
    from console.errors import NotFound
    from providers.clouds.base import Capability

    async with shell.runtime() as runtime:
        fleet = await runtime.fleet()
        if not arguments.boot:
            for line in await fleet.log(arguments.machine, limit=arguments.lines):
                text = f"  {line.text}" if line.text else ""
                shell.say(f"{line.at.astimezone():%Y-%m-%d %H:%M:%S}  {line.what}{text}")
        try:
            record = await fleet.machine(arguments.machine)
        except NotFound:
            if arguments.boot:
                raise
            return 0  # it is gone; what happened to it is known all the same
        has_log = record.cloud_id is not None and Capability.LOGS in runtime.cloud(record.cloud).capabilities
        if has_log:
            shell.paragraph(f"hawser: {record.cloud} says of its boot:")
            await _cloud_log(record, arguments, runtime, shell)
        elif arguments.boot:
            await _recipe_log(record, arguments, runtime, shell)
    return 0


async def _cloud_log(record: MachineRecord, arguments: argparse.Namespace, runtime: Runtime, shell: Shell) -> None:
    cloud = runtime.cloud(record.cloud)
    before: list[str] = []
    assert record.cloud_id is not None
    while True:
        lines = cloud.logs(record.cloud_id, lines=arguments.lines)
        if not arguments.follow:
            for line in await _newest(lines, arguments.lines):
                shell.say(line)
            return
        seen = before
        before = []
        async for line in lines:
            before.append(line)
            # A log that is asked for again begins with what was shown already.
            if len(before) > _overlap(seen, before):
                shell.say(line)
                shell.stdout.flush()
        await runtime.clock.sleep(AGAIN_S)


def _overlap(seen: Sequence[str], lines: Sequence[str]) -> int:
    """How many of the first lines are the last ones that were seen."""
    for length in range(min(len(seen), len(lines)), 0, -1):
        if list(seen[-length:]) == list(lines[:length]):
            return length
    return 0


async def _newest(lines: AsyncIterator[str], most: int) -> list[str]:
    """The end of a log, as far as it is there."""
    import asyncio
    from collections import deque
    from contextlib import suppress

    newest: deque[str] = deque(maxlen=most)
    with suppress(TimeoutError, StopAsyncIteration):
        while True:
            newest.append(await asyncio.wait_for(anext(lines), PAUSE_S if newest else PAUSE_S * 10))
    return list(newest)


async def _recipe_log(record: MachineRecord, arguments: argparse.Namespace, runtime: Runtime, shell: Shell) -> None:
    """What its recipe said, on machines whose cloud shows no log."""
    from console.commands.vm_run import connected
    from console.commands.vm_sink import Sink
    from console.links.detached import Detached

    link = await connected(record.name, runtime)
    jobs = Detached(link.connection, machine=record.name)
    recipes = [job for job in await jobs.jobs() if job.id.startswith("recipe-")]
    if not recipes:
        shell.paragraph(f"hawser: {record.cloud} shows no boot log, and no recipe was run on {record.name} over SSH.")
        return
    sink = Sink(shell.stdout.buffer, shell.stdout.isatty())
    shell.paragraph(f"hawser: {recipes[0].id} on {record.name} ({recipes[0].state}):")
    if arguments.follow:
        async for piece in jobs.follow(recipes[0].id):
            sink(piece.content)
    else:
        content = (await jobs.log(recipes[0].id)).content
        sink(b"".join(content.splitlines(keepends=True)[-arguments.lines :]))
    sink.end()


async def _service(arguments: argparse.Namespace, shell: Shell) -> int:
    import re
    from contextlib import aclosing

    from console.commands.vm_run import connected
    from console.commands.vm_sink import Sink
    from console.errors import NotFound, UsageError
    from console.links.remote import RemoteCommand

    name = arguments.service
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        raise UsageError(f"{name!r} cannot be the name of a service.")
    async with shell.runtime() as runtime:
        link = await connected(arguments.machine, runtime)
        shell.stdout.flush()
        out = Sink(shell.stdout.buffer, shell.stdout.isatty())
        err = Sink(shell.stderr.buffer, shell.stderr.isatty())
        script = _SCRIPT % {"name": name, "lines": arguments.lines, "follow": "1" if arguments.follow else ""}
        async with RemoteCommand(link.connection, script, machine=arguments.machine) as running:
            async with aclosing(running.pieces()) as pieces:
                async for source, piece in pieces:
                    (out if source == "out" else err)(piece)
            out.end()
            ended = await running.ended()
        if ended.exit_code == _NO_LOG:
            raise NotFound(
                f"No log of {name!r} was found on {arguments.machine}.",
                hint="Looked for: ~/.hawser, a container, a unit of systemd, /var/log and /workspace.",
            )
        return ended.exit_code if ended.exit_code is not None else 0


_NO_LOG = 76
_SCRIPT = """\
name=%(name)s lines=%(lines)d follow=%(follow)s
show() {
    echo "hawser: $1" >&2
    if [ -n "$follow" ]; then exec tail -n "$lines" -f "$1"; else exec tail -n "$lines" "$1"; fi
}
[ -s "$HOME/.hawser/$name.log" ] && show "$HOME/.hawser/$name.log"
if command -v docker >/dev/null 2>&1; then
    container=$(docker ps -a --filter "name=$name" --format '{{.Names}}' 2>/dev/null | head -n 1)
    if [ -n "$container" ]; then
        echo "hawser: the container $container" >&2
        exec docker logs --tail "$lines" ${follow:+-f} "$container"
    fi
fi
if command -v journalctl >/dev/null 2>&1 && systemctl cat "$name.service" >/dev/null 2>&1; then
    echo "hawser: the unit $name.service" >&2
    exec journalctl --no-pager -o short-iso -n "$lines" ${follow:+-f} -u "$name.service"
fi
for file in "/var/log/$name.log" "/var/log/$name/$name.log" "/workspace/$name.log" "/workspace/logs/$name.log" \\
    "$HOME/.$name/logs/server.log"; do
    [ -s "$file" ] && show "$file"
done
exit 76
"""
