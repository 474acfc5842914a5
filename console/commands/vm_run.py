"""`hawser vm run`: a command on a machine. With `--detach` it goes on without us, and is taken up again by its id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.arguments import LateParser

if TYPE_CHECKING:
    import argparse

    from console.links.detached import Detached, RemoteJob
    from console.links.link import Link
    from console.links.remote import Ended
    from console.runtime import Runtime
    from console.shell import Shell

HELP = "a command on a machine, also one that goes on without us"
KILLED = 128
"""A command that a signal ended has this and the signal's number as its exit code, as shells say it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    if isinstance(parser, LateParser):
        parser.takes_rest = True
    parser.add_argument("machine", metavar="NAME", help="a machine, an ssh alias or user@host[:port]")
    parser.add_argument("words", nargs="*", metavar="CMD", help="what to run there, after --")
    parser.add_argument("-d", "--detach", action="store_true", help="start it and leave; prints its id")
    parser.add_argument("--job", metavar="ID", help="the id to start it under: the same id runs once only")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--attach", metavar="ID", help="the output of a detached command, from its beginning to its end")
    how.add_argument("--end", metavar="ID", help="end a detached command and all its processes")
    how.add_argument("--jobs", action="store_true", help="the detached commands that are kept there")
    parser.add_argument("--json", action="store_true", help="with --detach, --end and --jobs: as JSON")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    return asyncio.run(_run(arguments, shell))


async def _run(arguments: argparse.Namespace, shell: Shell) -> int:
    from console.errors import UsageError

    asks = arguments.attach or arguments.end or arguments.jobs
    if bool(arguments.words) == bool(asks):
        raise UsageError("Say what to run, after two dashes.", hint="As in: hawser vm run gpu1 -- nvidia-smi")
    async with shell.runtime() as runtime:
        link = await connected(arguments.machine, runtime)
        if not asks:
            await runtime.signals.note(arguments.machine, "user", "hawser vm run")
        if arguments.words and not arguments.detach:
            return await _in_front(" ".join(arguments.words), link, shell)
        from console.links.detached import Detached

        jobs = Detached(link.connection, machine=arguments.machine)
        if arguments.words:
            await _start(arguments, jobs, runtime, shell)
        elif arguments.attach:
            return await _follow(arguments.attach, jobs, shell)
        elif arguments.end:
            _show([await jobs.stop(arguments.end)], arguments, shell)
        else:
            _show(await jobs.jobs(), arguments, shell)
    return 0


async def connected(name: str, runtime: Runtime) -> Link:
    """The link to a machine, up; what prevents that is told with the first try."""
    await runtime.target(name)  # a name that leads nowhere is a mistake, and no outage to wait out
    link = await runtime.links.link(name)
    await link.wait_up(is_patient=False)
    return link


async def _in_front(command: str, link: Link, shell: Shell) -> int:
    from contextlib import aclosing

    from console.commands.vm_sink import Sink
    from console.links.remote import RemoteCommand

    write = {"out": Sink(shell.stdout.buffer, shell.stdout.isatty())}
    write["err"] = Sink(shell.stderr.buffer, shell.stderr.isatty())
    shell.stdout.flush()
    async with RemoteCommand(link.connection, command, machine=link.name) as running:
        async with aclosing(running.pieces()) as pieces:
            async for source, piece in pieces:
                write[source](piece)
        for last in write.values():
            last.end()
        return exit_code(await running.ended())


def exit_code(ended: Ended) -> int:
    import signal

    if ended.exit_code is not None:
        return ended.exit_code
    number = getattr(signal, f"SIG{ended.signal}", 0) if ended.signal else 0
    return KILLED + int(number) if number else 255


async def _start(arguments: argparse.Namespace, jobs: Detached, runtime: Runtime, shell: Shell) -> None:
    job_id = arguments.job or f"run-{runtime.clock.now():%Y%m%d-%H%M%S}"
    job = await jobs.start(job_id, " ".join(arguments.words))
    if arguments.json:
        _show([job], arguments, shell)
        return
    shell.say(job.id)
    shell.paragraph(
        f"It runs on {arguments.machine} without us. Its output: hawser vm run {arguments.machine} --attach {job.id}"
    )


async def _follow(job_id: str, jobs: Detached, shell: Shell) -> int:
    from contextlib import aclosing

    from console.commands.vm_sink import Sink
    from console.errors import MachineError

    write = Sink(shell.stdout.buffer, shell.stdout.isatty())
    shell.stdout.flush()
    async with aclosing(jobs.follow(job_id)) as pieces:
        async for piece in pieces:
            if piece.dropped:
                shell.paragraph(f"hawser: {piece.dropped:,} bytes of the output were not kept.")
            write(piece.content)
    write.end()
    job = await jobs.job(job_id)
    if job.exit_code is None:
        raise MachineError(f"The command {job_id!r} was {job.state} before its end.")
    return job.exit_code


def _show(found: list[RemoteJob], arguments: argparse.Namespace, shell: Shell) -> None:
    if arguments.json:
        shell.items(
            [
                {
                    "id": job.id,
                    "state": job.state,
                    "exit_code": job.exit_code,
                    "log_bytes": job.log_bytes,
                    "began_at": None if job.began is None else job.began.isoformat(),
                    "ended_at": None if job.ended is None else job.ended.isoformat(),
                }
                for job in found
            ]
        )
    elif found:
        rows = [
            (
                job.id,
                job.state,
                "-" if job.exit_code is None else str(job.exit_code),
                "-" if job.began is None else f"{job.began.astimezone():%Y-%m-%d %H:%M}",
                f"{job.log_bytes:,}",
            )
            for job in found
        ]
        shell.table(("JOB", "STATE", "EXIT CODE", "BEGAN", "BYTES SAID"), rows)
    else:
        shell.paragraph(f"No detached commands are kept on {arguments.machine}.")
