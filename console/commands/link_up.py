"""`hawser link up`: keep a link and its local ports up until interrupted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from console.errors import LinkError
    from console.events import Event
    from console.links.link import Link
    from console.links.login import FirstContact
    from console.links.offers import Offers
    from console.links.shared import Published
    from console.links.tunnels import Forward, Tunnel
    from console.machines.guard import Guard
    from console.machines.services import Service
    from console.runtime import Runtime
    from console.settings import Machine
    from console.shell import Shell
    from console.terminal_ask import TerminalAsk

HELP = "keep a link up until interrupted"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help="a machine of yours, an ssh alias, or user@host[:port]")
    parser.add_argument(
        "--forward",
        action="append",
        default=[],
        metavar="LPORT:RPORT",
        help="a local port that leads to one of the machine; 0:RPORT for any that is free (repeatable)",
    )
    parser.add_argument("--ssh-config", metavar="FILE", help="read this in place of your own SSH configuration")
    parser.add_argument("--jsonl", action="store_true", help="each event as a line of JSON on stdout")
    parser.add_argument("--known-only", action="store_true", help="refuse a machine that was never met")
    parser.add_argument("--unit", action="store_true", help="print a systemd user unit that does this from boot on")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    forwards = [_forward(written) for written in arguments.forward]
    if arguments.unit:
        return _print_unit(arguments, shell)
    import asyncio
    import gc
    from pathlib import Path

    gc.enable()  # a link may be up for weeks
    # Bytes on their way are many short-lived objects: looking for circles among them as often as usual costs an eighth.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    ssh_config = Path(arguments.ssh_config).expanduser() if arguments.ssh_config else None
    return asyncio.run(_keep_up(arguments, forwards, ssh_config, shell))


def _forward(written: str) -> Forward:
    from console.errors import UsageError
    from console.links.tunnels import Forward

    parts = written.split(":")
    numbers = [part for part in (parts[0], parts[-1]) if part.isascii() and part.isdecimal() and int(part) < 65536]
    host = parts[1] if len(parts) == 3 else "127.0.0.1"
    if len(parts) not in (2, 3) or len(numbers) != 2 or int(parts[-1]) == 0 or not host:
        raise UsageError(
            f"{written!r} is not a forward.",
            hint="Write LPORT:RPORT, as in 11434:11434, or LPORT:HOST:RPORT.",
        )
    return Forward(int(parts[-1]), local_port=int(parts[0]), remote_host=host)


async def _keep_up(
    arguments: argparse.Namespace, forwards: Sequence[Forward], ssh_config: Path | None, shell: Shell
) -> int:
    import asyncio

    from console.interrupts import stop_on_signals
    from console.links.connector import LoginManners
    from console.terminal_ask import TerminalAsk

    stop_on_signals()
    async with shell.runtime() as runtime:
        name = arguments.target
        # A name that leads nowhere is a mistake to be told at once, not an outage to wait out.
        await runtime.target(name, ssh_config=ssh_config)
        ask = TerminalAsk(shell)
        first: FirstContact = "known-only" if arguments.known_only else "ask"
        runtime.login_manners = lambda: LoginManners(ask, first, ssh_config)
        with runtime.bus.subscribe() as events:
            link = runtime.links.make(name)
            services: Mapping[str, Service] = {}
            if not forwards and name in runtime.settings.machines:
                forwards, services = _of_machine(runtime.settings.machines[name])
            offers = await _offers(runtime, shell) if forwards else None
            if offers is not None:
                offers.know(services)
            tunnels, elsewhere = await _open_tunnels(link, forwards, runtime, shell, offers)
            teller = _Teller(arguments, shell, runtime, tunnels)
            teller.tell_listening()
            _kick_on_enter(link, ask, shell)
            if tunnels or not forwards:
                await link.start()
            if offers is not None:
                await offers.offer(link, tunnels)
            beside = [
                asyncio.create_task(_succeed(forward, there, link, offers, runtime, teller))
                for forward, there in elsewhere
                if offers is not None
            ]
            guard = await _guard_of(runtime, name)
            if guard is not None:
                beside.append(asyncio.create_task(guard.run(), name="guard"))
            try:
                async for event in events:
                    teller.tell(event)
            finally:
                for task in beside:
                    task.cancel()
                await asyncio.gather(*beside, return_exceptions=True)
    return 0


async def _guard_of(runtime: Runtime, name: str) -> Guard | None:
    """Whoever keeps a link to a machine that costs money is there to end it as well, if no other process is."""
    from console.errors import StoreError

    machine = runtime.settings.machines.get(name)
    try:
        if machine is None and all(record.name != name for record in await (await runtime.fleet()).machines()):
            return None
        if machine is not None and machine.cloud == "ssh" and machine.at_end in (None, "nothing"):
            return None
        return await runtime.guard()
    except StoreError:
        return None


def _of_machine(machine: Machine) -> tuple[list[Forward], Mapping[str, Service]]:
    """What a machine of ours offers, each at the local port that the settings give it."""
    from console.links.tunnels import Forward
    from console.machines.services import services_of

    services = services_of(machine.services, machine.ports)
    forwards = [
        Forward(service.port, local_port=machine.ports.get(name, 0), service=name) for name, service in services.items()
    ]
    return forwards, services


async def _offers(runtime: Runtime, shell: Shell) -> Offers | None:
    """What processes share; without a store that can be used, a link works as well, but alone."""
    from console.errors import StoreError

    try:
        return await runtime.offers()
    except StoreError as error:
        shell.note(f"hawser: {error.text} Other processes will not find these ports.")
        return None


async def _open_tunnels(
    link: Link, forwards: Sequence[Forward], runtime: Runtime, shell: Shell, offers: Offers | None
) -> tuple[list[Tunnel], list[tuple[Forward, Published]]]:
    """All ports, with another one for each that is taken if the user likes, and those that another Hawser serves.

    Where another one of us has the same tunnel on the same port, its port is used, and taken over when it ends.
    """
    from console.errors import PortTaken

    wanted = list(forwards)
    elsewhere: list[tuple[Forward, Published]] = []
    if offers is not None:
        wanted = [each._replace(remembered_port=await offers.remembered_port(link.name, each)) for each in wanted]
    while True:
        try:
            return await runtime.tunnels.open(link, wanted), elsewhere
        except PortTaken as taken:
            forward = next(each for each in wanted if each.local_port == taken.port)
            there = await offers.taken(link.name, forward) if offers is not None else None
            if there is not None:
                wanted.remove(forward)
                elsewhere.append((forward, there))
                continue
            if not shell.is_interactive() or not shell.confirm(f"{taken.text} Use {taken.free_port} instead?"):
                raise
            wanted = [
                each._replace(local_port=taken.free_port) if each.local_port == taken.port else each for each in wanted
            ]


async def _succeed(
    forward: Forward, there: Published | None, link: Link, offers: Offers, runtime: Runtime, teller: _Teller
) -> None:
    """Wait for the end of who has the port, and take it over."""
    from console.errors import LinkError, PortTaken

    while there is not None:
        teller.tell_elsewhere(there)
        await offers.until_gone(there)
        try:
            (tunnel,) = await runtime.tunnels.open(link, [forward])
        except PortTaken as taken:
            there = await offers.taken_soon(link.name, forward)
            if there is None:
                teller.tell_trouble(taken)
        except LinkError as error:
            teller.tell_trouble(error)
            return
        else:
            await link.start()
            teller.took_over(tunnel)
            await offers.offer(link, [tunnel])
            return


class _Teller:
    """Turns events into sentences or lines of JSON."""

    def __init__(
        self, arguments: argparse.Namespace, shell: Shell, runtime: Runtime, tunnels: Sequence[Tunnel]
    ) -> None:
        self._as_json = arguments.jsonl
        self._name = arguments.target
        self._shell = shell
        self._clock = runtime.clock
        self._forwards = [{"local_port": each.local_port, "remote_port": each.remote_port} for each in tunnels]
        self._tunnels = list(tunnels)
        self._was_up = False
        self._last_reason = ""

    def tell_listening(self) -> None:
        ports = ", ".join(
            f"{each.local_port} → {each.forward.remote_host}:{each.remote_port}" for each in self._tunnels
        )
        self._write(
            "listening",
            f"Connecting to {self._name}." + (f" Local ports: {ports}." if ports else ""),
            {"forwards": self._forwards},
        )

    def tell_elsewhere(self, there: Published) -> None:
        self._write(
            "elsewhere",
            f"Local port {there.local_port} leads there already, held by Hawser's process {there.pid};"
            " this one takes over when that one ends.",
            {"local_port": there.local_port, "remote_port": there.remote_port, "pid": there.pid},
        )

    def took_over(self, tunnel: Tunnel) -> None:
        self._tunnels.append(tunnel)
        self._forwards.append({"local_port": tunnel.local_port, "remote_port": tunnel.remote_port})
        self._write("taken-over", f"Local port {tunnel.local_port} is taken over.", {"forwards": self._forwards})

    def tell_trouble(self, error: LinkError) -> None:
        self._shell.note(f"hawser: {error.text}{' ' + error.hint if error.hint else ''}")

    def tell(self, event: Event) -> None:
        """One event; raises when the first contact was refused, because nothing but the user can change that."""
        from console.errors import HostKeyUnknown
        from console.links import events
        from console.links.connector import HostKeyPinned

        name = self._name
        match event:
            case events.LinkUp(resumed=resumed):
                self._was_up = True
                self._last_reason = ""
                text = f"{name} answers again." if resumed else f"{name} is up."
                self._write("up", text, {"forwards": self._forwards, "resumed": resumed})
            case events.LinkSuspect():
                self._write("suspect", f"{name} is late with an answer; opening a second connection.", {})
            case events.LinkSwitched(kept=kept):
                streams = f" Streams kept on the first one: {kept}." if kept else ""
                self._write(
                    "switched",
                    f"{name} is up over a second connection.{streams}",
                    {"kept": kept, "forwards": self._forwards},
                )
            case events.LinkLost(reason=reason):
                self._write("lost", f"{name} is lost: {reason}. Trying again.", {"reason": reason})
            case events.LinkBlocked(reason=reason, hint=hint):
                self._write("blocked", f"{reason}{' ' + hint if hint else ''}", {"reason": reason, "hint": hint})
                refusal = event.error
                if isinstance(refusal, HostKeyUnknown) and not self._was_up:
                    raise refusal
            case events.LinkAsks(question=question):
                if self._as_json or not self._shell.is_interactive():
                    self._write("asking", f"{name} asks: {question}", {"question": question})
            case events.LinkWaiting(reason=reason, next_try_s=next_try_s):
                if reason != self._last_reason or self._as_json:
                    self._write("waiting", f"{reason} Trying again.", {"reason": reason, "next_try_s": next_try_s})
                self._last_reason = reason
            case events.StreamRefused(local_port=port, reason=reason, hint=hint):
                self._write(
                    "refused",
                    f"Local port {port}: {reason}{' ' + hint if hint else ''}",
                    {"local_port": port, "reason": reason, "hint": hint},
                )
            case events.StreamsReset(count=count, reason=reason):
                self._write("reset", f"Streams reset: {count}. {reason}.", {"count": count, "reason": reason})
            case HostKeyPinned(fingerprint=fingerprint, how=how):
                pinned = f"Pinned the host key of {name}: {fingerprint} ({_HOW[how]})."
                if how != "accepted":  # then it was told when it was asked for
                    self._shell.note(f"hawser: {pinned}")
                if self._as_json:
                    self._write("pinned", pinned, {"fingerprint": fingerprint, "how": how})
            case _:
                pass

    def _write(self, word: str, text: str, facts: dict[str, Any]) -> None:
        if self._as_json:
            import json

            line = {"t": round(self._clock.monotonic(), 4), "ev": word, **facts}
            self._shell.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
        else:
            self._shell.say(text)
        self._shell.stdout.flush()


_HOW = {"cloud": "told by its cloud", "known_hosts": "as in your known_hosts", "accepted": "first contact"}


def _kick_on_enter(link: Link, ask: TerminalAsk, shell: Shell) -> None:
    """Whoever presses Enter does not want to wait for the next try."""
    import asyncio

    def pressed() -> None:
        assert shell.stdin is not None
        if not shell.stdin.readline():
            asyncio.get_running_loop().remove_reader(shell.stdin)
            ask.otherwise = None
        link.kick()

    ask.listen(pressed)


def _print_unit(arguments: argparse.Namespace, shell: Shell) -> int:
    """A unit for systemd's user manager. It refuses strangers: nobody would be there to look at a fingerprint."""
    from pathlib import Path

    from console.systemd import user_unit

    words = ["link", "up", arguments.target, "--known-only"]
    for forward in arguments.forward:
        words += ["--forward", forward]
    if arguments.ssh_config:
        words += ["--ssh-config", str(Path(arguments.ssh_config).expanduser().absolute())]
    name = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in arguments.target)
    first = [f"hawser link pin {arguments.target}"]
    description = f"Hawser link to {arguments.target}"
    for line in user_unit(f"hawser-{name}", description, words, shell.environment, first=first):
        shell.say(line)
    return 0
