"""`hawser guard`: leases, budgets and unfinished ends of machines, looked after without a screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from console.events import Event
    from console.machines.standing import Report
    from console.runtime import Runtime
    from console.shell import Shell

HELP = "leases and budgets without a screen, until interrupted"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--once", action="store_true", help="one round, as for cron; exit 8 if an end is not confirmed")
    how.add_argument("--unit", action="store_true", help="print a systemd user unit that does this from boot on")
    how.add_argument(
        "--install", metavar="HOST", help="let another host of yours end machines too, with the keys of your accounts"
    )
    how.add_argument("--remove", metavar="HOST", help="take that away again")
    parser.add_argument("--yes", action="store_true", help="do not ask before keys are put on that host")
    parser.add_argument("--jsonl", action="store_true", help="each event as a line of JSON on stdout")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    if arguments.unit:
        from console.systemd import user_unit

        words = ["guard", *(["--jsonl"] if arguments.jsonl else [])]
        for line in user_unit("hawser-guard", "Hawser guard of rented machines", words, shell.environment):
            shell.say(line)
        return 0
    import asyncio

    if arguments.install or arguments.remove:
        return asyncio.run(_on_host(arguments, shell))
    return asyncio.run(_once(arguments, shell) if arguments.once else _until_interrupted(arguments, shell))


async def _on_host(arguments: argparse.Namespace, shell: Shell) -> int:
    from console.errors import UsageError
    from console.machines import host_guard

    host = arguments.install or arguments.remove
    async with shell.runtime() as runtime:
        store = await runtime.store()
        link = await runtime.links.link(host)
        if arguments.remove:
            await host_guard.remove(host, link.connection, store)
            shell.say(f"The guard and its keys are gone from {host}.")
            return 0
        accounts = host_guard.accounts_for(runtime.clouds.names(), runtime.clouds.gives_keys)
        question = host_guard.question(host, accounts)
        if not arguments.yes and not shell.confirm(question):
            raise UsageError(f"Nothing was put on {host}. {question}", hint="Say yes on a terminal, or --yes.")
        await host_guard.install(host, accounts, link.connection, store, runtime.clock)
        leases = await runtime.leases()
        for one in await runtime.hosts_that_guard():
            await one.round(await leases.keep_up())
        names = ", ".join(accounts)
        shell.say(f"{host} guards the machines of {names} from now on: each at the end of its lease, busy or not.")
    return 0


async def _once(arguments: argparse.Namespace, shell: Shell) -> int:
    from console.errors import Exit

    async with shell.runtime() as runtime:
        guard = await runtime.guard()
        teller = _Teller(arguments, shell, runtime)
        with runtime.bus.subscribe() as events:
            report: Report = await guard.once()
            runtime.bus.close()
            async for event in events:
                teller.tell(event)
        for trouble in report.troubles:
            teller.write(trouble.level, trouble.text, {"subject": trouble.subject})
    return int(Exit.MACHINE if report.unconfirmed else Exit.DONE)


async def _until_interrupted(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio
    import gc

    from console.history import roles
    from console.history.owner import this_process
    from console.interrupts import stop_on_signals
    from console.machines.protection import ROLE

    gc.enable()  # it may run for weeks
    stop_on_signals()
    async with shell.runtime() as runtime:
        runtime.stays = True
        guard = await runtime.guard()
        teller = _Teller(arguments, shell, runtime)
        store = await runtime.store()
        holder = await store.run(lambda c: roles.holder(c, ROLE), write=True)  # a store that cannot be written is told
        if holder is not None and holder[0] != this_process():
            number = holder[0].partition(":")[0]
            teller.write("waiting", f"Process {number} guards; this one takes over when it ends.", {"process": number})
        with runtime.bus.subscribe() as events:
            guarding = asyncio.create_task(guard.run(), name="guard")
            telling = asyncio.create_task(_tell_all(events, teller), name="tell")
            try:
                await asyncio.wait({guarding, telling}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (guarding, telling):
                    task.cancel()
                ended = await asyncio.gather(guarding, telling, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error
    return 0


async def _tell_all(events: Any, teller: _Teller) -> None:
    async for event in events:
        teller.tell(event)


class _Teller:
    """A line for each event that matters."""

    def __init__(self, arguments: argparse.Namespace, shell: Shell, runtime: Runtime) -> None:
        self._as_json = arguments.jsonl
        self._shell = shell
        self._clock = runtime.clock

    def tell(self, event: Event) -> None:
        from console.machines import events, guard
        from console.notify import AlertCleared, AlertRaised

        match event:
            case guard.GuardTook():
                self.write("guarding", "This process guards.", {})
            case guard.GuardLost():
                self.write("stepped-down", "This process does not guard any more.", {})
            case guard.GuardTrouble(part=part, text=text):
                self.write("trouble", f"The guard fails at {part}. {text}", {"part": part})
            case guard.LeaseWarned(name=name, text=text):
                self.write("lease-warning", text, {"machine": name})
            case guard.LeaseEnded(name=name, text=text):
                self.write("lease-end", text, {"machine": name})
            case events.MachineChanged(name=name, before=before, after=after, why=why):
                text = f"{name} is {after}.{f' {why}' if why else ''}"
                self.write("machine", text, {"machine": name, "before": before, "after": after, "why": why})
            case events.MachineFound(name=name, cloud=cloud, bills=bills):
                text = f"Found a machine of ours on {cloud} that was not known: {name}."
                self.write("found", text, {"machine": name, "cloud": cloud, "bills": bills})
            case events.DeedProved(name=name, what=what):
                self.write("proved", f"The {what} of {name} is proved.", {"machine": name, "what": what})
            case events.DeedEnded(name=name, what=what, how=how, text=text):
                told = f"The {what} of {name} was {how}.{f' {text}' if text else ''}"
                self.write("ended", told, {"machine": name, "what": what, "how": how})
            case events.AccountTrouble(cloud=cloud, text=text):
                self.write("account", f"{cloud} cannot be read: {text}", {"cloud": cloud})
            case AlertRaised(subject=subject, level=level, text=text):
                self.write("alert", text, {"subject": subject, "level": level})
            case AlertCleared(subject=subject, text=text):
                self.write("alert-over", f"Over: {text}", {"subject": subject})
            case _:
                pass

    def write(self, word: str, text: str, facts: dict[str, Any]) -> None:
        now = self._clock.now()
        if self._as_json:
            import json

            line = {"t": round(self._clock.monotonic(), 4), "at": now.isoformat(), "ev": word, "text": text, **facts}
            self._shell.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
        else:
            self._shell.say(f"{now.astimezone():%H:%M:%S} {text}")
        self._shell.stdout.flush()
