"""What a simulated machine does wrong from the start, for the command line; a test calls the machine's methods.

Loads no asyncssh, so that a help text costs nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Self, assert_never

if TYPE_CHECKING:
    from providers.simulated.machine import SimulatedMachine

_GARBAGE = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"


class MachineFaultKind(StrEnum):
    """The number in each meaning is the fault's `argument`; what stands in brackets is used without one."""

    meaning: str
    default: float | None

    def __new__(cls, word: str, meaning: str, default: float | None) -> Self:
        kind = str.__new__(cls, word)
        kind._value_ = word
        kind.meaning = meaning
        kind.default = default
        return kind

    REFUSE = "refuse", "lets nobody connect, from the start for N seconds (for good)", None
    FREEZE = "freeze", "falls silent with its sockets open, from the start for N seconds (for good)", None
    DROP = "drop", "resets all connections every N seconds (10)", 10
    CLOSE = "close", "ends all connections politely every N seconds (10)", 10
    LOSE = "lose", "lets the connections there are fall silent for ever, every N seconds (10)", 10
    NEW_HOST_KEY = "new-host-key", "has another host key after N seconds (10)", 10
    MOVE = "move", "answers on another port after N seconds (10); the old one refuses", 10
    REJECT_LOGIN = "reject-login", "lets nobody log in", None
    FORBID_FORWARDING = "forbid-forwarding", "forwards no ports", None
    SLOW_LOGIN = "slow-login", "takes N seconds to look at a login (5)", 5
    SLOW_BANNER = "slow-banner", "takes N seconds before it says a word (5)", 5
    MAX_SESSIONS = "max-sessions", "opens N sessions on one connection (1)", 1
    MAX_HANDSHAKES = "max-handshakes", "closes what connects beyond N that are not logged in (1)", 1
    GARBAGE = "garbage", "answers in HTTP", None
    LATENCY = "latency", "is N milliseconds away, each way (50)", 50


class MachineFault(NamedTuple):
    kind: MachineFaultKind
    argument: float | None = None

    @classmethod
    def parse(cls, text: str) -> MachineFault:
        """From the command line: KIND or KIND:ARGUMENT. Raises ValueError."""
        word, _, argument = text.partition(":")
        kind = next((kind for kind in MachineFaultKind if kind == word), None)
        if kind is None:
            raise ValueError(f"{word!r} is no fault of machines; there are {', '.join(MachineFaultKind)}")
        try:
            number = float(argument) if argument else kind.default
        except ValueError:
            raise ValueError(f"{text!r}: what follows the colon must be a number") from None
        if number is not None and not 0 <= number < float("inf"):
            raise ValueError(f"{text!r}: what follows the colon must be a number from 0 up")
        return cls(kind, number)


async def misbehave(machine: SimulatedMachine, fault: MachineFault) -> None:
    """Be wrong in that way for as long as it lasts; returns at once when it is a state."""
    number = fault.argument or 0.0
    match fault.kind:
        case MachineFaultKind.REFUSE:
            await machine.refuse()
            if fault.argument is not None:
                await machine.clock.sleep(number)
                await machine.accept()
        case MachineFaultKind.FREEZE:
            await machine.freeze()
            if fault.argument is not None:
                await machine.clock.sleep(number)
                await machine.thaw()
        case MachineFaultKind.DROP | MachineFaultKind.CLOSE | MachineFaultKind.LOSE:
            while True:
                await machine.clock.sleep(max(number, 0.1))
                if fault.kind is MachineFaultKind.DROP:
                    await machine.drop()
                elif fault.kind is MachineFaultKind.CLOSE:
                    await machine.close_connections()
                else:
                    await machine.lose_connections()
        case MachineFaultKind.NEW_HOST_KEY:
            await machine.clock.sleep(number)
            machine.new_host_key()
        case MachineFaultKind.MOVE:
            await machine.clock.sleep(number)
            await machine.move()
        case MachineFaultKind.REJECT_LOGIN:
            machine.reject_login()
        case MachineFaultKind.FORBID_FORWARDING:
            machine.forbid_forwarding()
        case MachineFaultKind.SLOW_LOGIN:
            machine.login_delay_s = number
        case MachineFaultKind.SLOW_BANNER:
            machine.banner_delay_s = number
        case MachineFaultKind.MAX_SESSIONS:
            machine.max_sessions = int(number)
        case MachineFaultKind.MAX_HANDSHAKES:
            machine.max_handshakes = int(number)
        case MachineFaultKind.GARBAGE:
            machine.garbage = _GARBAGE
        case MachineFaultKind.LATENCY:
            machine.conditions.latency_s = number / 1000
        case _:
            assert_never(fault.kind)
