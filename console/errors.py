"""What can go wrong inside, and the one place that turns any error into words and an exit code.

    ConsoleError
    ├── UsageError           the command line does not make sense                                        2
    ├── SettingsError        config.toml, the environment or a flag holds something unusable             3
    ├── KeyStoreError        the keyring or the private file cannot be used                              3
    ├── NoModel              no model was named and none can be chosen, or the name fits nothing or two  3
    ├── StoreError           hawser.db cannot be used                                                    1
    │   ├── StoreLocked      another process holds it                                                    1
    │   ├── StoreReadOnly    it, or its folder, cannot be written                                        1
    │   ├── StoreFull        the disk is full                                                            1
    │   ├── StoreTooNew      a later version of the program made it                                      1
    │   └── StoreDamaged     its contents are not readable                                               1
    ├── NotFound             a chat, model or file that was named is not there                           2
    ├── AttachmentRefused    a file cannot be attached                                                   2
    ├── BudgetReached        the day, the month or the call has no money left                            6
    ├── PriceUnknown         a cost limit is set and the price is not known                              6
    ├── ContextOverflow      what is to be sent does not fit into the model's window                     7
    ├── NoUsableAnswer       empty, refused, or not what was asked for                                   7
    ├── TimeLimit            the whole call took longer than was allowed                                 5
    ├── LibraryError         the documents cannot be read or written                                     1
    │   ├── DocumentRefused  a document cannot be read                                                   2
    │   ├── EmbedderMissing  the model that embeds is not here                                           3
    │   ├── NotAgreed        nobody has agreed that text goes to the service that embeds it              3
    │   └── EmbedderDown     it does not answer, or not with vectors                                     4
    ├── WorkerFailed         the process that holds the documents cannot be started, or ends             1
    │   └── NoWorker         it is not up, and was not to be started                                     1
    ├── MachineError         a machine is not in a state for what was asked                              8
    │   ├── MachineBusy      something else is being done to it                                          8
    │   ├── CloudSilent      its account cannot be read, so that nothing is done to it                   4
    │   ├── CloudCannot      its cloud has no such action                                                8
    │   └── GivenUp          what was asked was tried and is not to be had                               8
    ├── PriceTooHigh         a machine costs more than its ceiling allows                                6
    ├── ChannelFailed        an alert could not be delivered on a channel                                4
    └── LinkError            a machine cannot be reached or logged in to over SSH                        4
        ├── LinkUnreachable  refused, unreachable, no such name, no answer in time, cut off              4
        ├── NotAnSshServer   something answered, but it does not speak SSH                               4
        ├── JumpRefused      a jump host does not let us through                                      *  4
        ├── NoCommonAlgorithm   the server speaks no algorithm that we accept                         *  4
        ├── HostKeyUnknown   its key is not pinned, and nobody accepted it                            *  3
        ├── HostKeyChanged   it shows another key than the pinned one                                 *  3
        ├── LoginRefused     no key of ours is accepted, or no code or password given                 *  3
        ├── KeyFileUnusable  a key file is missing, encrypted with nobody to ask, or no key           *  3
        ├── ConfigUnusable   the SSH configuration, or the name of the machine, cannot be used        *  3
        ├── ForwardRefused   the machine is there; the service, or the forwarding to it, is not          4
        ├── PortTaken        a local port that was asked for is in use                                *  3
        ├── LinkEnded        the link was closed while something waited for it                           4
        ├── LinkBroken       the connection broke while a command or a file went over it                 4
        ├── RemoteRefused    the machine does not do it: no session, no right, no room, no such file     8
        └── TransferFailed   a file cannot be kept here, or changed while it was on its way              1

A `NoWay` is a `LinkError` in the shape of a `ProviderError`, for those who ask a machine's service.
A * marks what only a person can mend: trying again changes nothing (`LinkError.is_permanent`).

Every error has a plain sentence and, where there is one, a hint that names the next step.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from providers import errors as outside


class Exit(IntEnum):
    """The exit codes of every command; documented in docs/headless.md and tested."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    SETTINGS = 3
    UNREACHABLE = 4
    TIME_LIMIT = 5
    BUDGET = 6
    NO_ANSWER = 7
    MACHINE = 8
    INTERRUPTED = 130


class ConsoleError(Exception):
    title = "Something went wrong"
    exit_code = Exit.FAILED

    def __init__(self, text: str, *, hint: str | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint


class UsageError(ConsoleError):
    title = "That command does not make sense"
    exit_code = Exit.USAGE


class SettingsError(ConsoleError):
    title = "The settings cannot be used"
    exit_code = Exit.SETTINGS


class KeyStoreError(ConsoleError):
    title = "The keys cannot be used"
    exit_code = Exit.SETTINGS


class NoModel(ConsoleError):
    title = "No model"
    exit_code = Exit.SETTINGS


class StoreError(ConsoleError):
    title = "The history cannot be used"


class StoreLocked(StoreError):
    pass


class StoreReadOnly(StoreError):
    pass


class StoreFull(StoreError):
    title = "The disk is full"


class StoreTooNew(StoreError):
    pass


class StoreDamaged(StoreError):
    pass


class NotFound(ConsoleError):
    title = "Not found"
    exit_code = Exit.USAGE


class AttachmentRefused(ConsoleError):
    title = "The file cannot be attached"
    exit_code = Exit.USAGE


class ChannelFailed(ConsoleError):
    title = "The alert was not delivered"
    exit_code = Exit.UNREACHABLE


class BudgetReached(ConsoleError):
    title = "The budget is reached"
    exit_code = Exit.BUDGET


class PriceUnknown(ConsoleError):
    title = "The price is unknown"
    exit_code = Exit.BUDGET


class ContextOverflow(ConsoleError):
    title = "The chat is too long for the model"
    exit_code = Exit.NO_ANSWER


class NoUsableAnswer(ConsoleError):
    title = "No usable answer"
    exit_code = Exit.NO_ANSWER


class TimeLimit(ConsoleError):
    title = "The time limit was reached"
    exit_code = Exit.TIME_LIMIT


class LibraryError(ConsoleError):
    title = "The documents cannot be used"


class DocumentRefused(LibraryError):
    title = "The document cannot be read"
    exit_code = Exit.USAGE


class EmbedderMissing(LibraryError):
    title = "The model that embeds is missing"
    exit_code = Exit.SETTINGS


class NotAgreed(LibraryError):
    title = "Text would leave this computer"
    exit_code = Exit.SETTINGS


class EmbedderDown(LibraryError):
    title = "The service that embeds does not answer"
    exit_code = Exit.UNREACHABLE


class WorkerFailed(ConsoleError):
    title = "The documents cannot be used"


class NoWorker(WorkerFailed):
    pass


class MachineError(ConsoleError):
    title = "That cannot be done with the machine"
    exit_code = Exit.MACHINE


class MachineBusy(MachineError):
    title = "Something else is being done to the machine"


class CloudSilent(MachineError):
    title = "The cloud does not answer"
    exit_code = Exit.UNREACHABLE


class CloudCannot(MachineError):
    title = "The cloud cannot do that"


class GivenUp(MachineError):
    title = "The machine is not to be had"


class PriceTooHigh(ConsoleError):
    title = "The machine costs too much"
    exit_code = Exit.BUDGET


class LinkError(ConsoleError):
    title = "The machine cannot be reached"
    exit_code = Exit.UNREACHABLE
    is_permanent = False
    """Whether only a person can mend it, so that trying again soon is of no use."""


class LinkUnreachable(LinkError):
    pass


class NotAnSshServer(LinkError):
    title = "That is not an SSH server"


class JumpRefused(LinkError):
    title = "The jump host refuses"
    is_permanent = True


class NoCommonAlgorithm(LinkError):
    title = "The server speaks other algorithms"
    is_permanent = True


class HostKeyUnknown(LinkError):
    title = "The host key is not known"
    exit_code = Exit.SETTINGS
    is_permanent = True

    def __init__(self, text: str, *, seen: str, hint: str | None = None) -> None:
        super().__init__(text, hint=hint)
        self.seen = seen
        """The fingerprint of the key that was shown."""


class HostKeyChanged(LinkError):
    title = "The host key has changed"
    exit_code = Exit.SETTINGS
    is_permanent = True

    def __init__(self, text: str, *, expected: tuple[str, ...], seen: str, hint: str | None = None) -> None:
        super().__init__(text, hint=hint)
        self.expected = expected
        """The fingerprints of the keys that it should have shown one of."""
        self.seen = seen
        """The fingerprint of the key that was shown."""


class LoginRefused(LinkError):
    title = "The login is refused"
    exit_code = Exit.SETTINGS
    is_permanent = True


class KeyFileUnusable(LinkError):
    title = "The key file cannot be used"
    exit_code = Exit.SETTINGS
    is_permanent = True


class ConfigUnusable(LinkError):
    title = "The SSH configuration cannot be used"
    exit_code = Exit.SETTINGS
    is_permanent = True


class ForwardRefused(LinkError):
    title = "The service cannot be reached"


class PortTaken(LinkError):
    title = "The local port is in use"
    exit_code = Exit.SETTINGS
    is_permanent = True

    def __init__(self, text: str, *, port: int, free_port: int, hint: str | None = None) -> None:
        super().__init__(text, hint=hint)
        self.port = port
        self.free_port = free_port
        """One near it that is free, to offer in its place."""


class LinkEnded(LinkError):
    title = "The link is closed"


class LinkBroken(LinkError):
    title = "The connection broke"


class NoWay(outside.Unreachable):
    """What keeps a machine from being asked, a `LinkError` above all, as whoever asks it meets it; it is told in the
    words of its cause."""

    def __init__(self, cause: ConsoleError) -> None:
        super().__init__(cause.text, hint=cause.hint)
        self.cause = cause
        # One that did not answer in time has had its time.
        is_slow = isinstance(cause.__cause__, TimeoutError)
        self.may_retry = isinstance(cause, LinkUnreachable | LinkBroken | LinkEnded) and not is_slow


class RemoteRefused(LinkError):
    title = "The machine refuses"
    exit_code = Exit.MACHINE


class TransferFailed(LinkError):
    title = "The file cannot be transferred"
    exit_code = Exit.FAILED


class Explanation(NamedTuple):
    title: str
    text: str
    hint: str | None
    exit_code: Exit


_OUTSIDE: tuple[tuple[type[outside.ProviderError], str, Exit, str | None], ...] = (
    (outside.TlsFailed, "The connection is not secure", Exit.UNREACHABLE, None),
    (outside.Unreachable, "The service cannot be reached", Exit.UNREACHABLE, "hawser doctor tests every endpoint."),
    (outside.TimedOut, "The service is too slow", Exit.TIME_LIMIT, None),
    (outside.KeyRefused, "The key is refused", Exit.SETTINGS, "Set another with: hawser key set {host}"),
    (outside.KeyMissing, "A key is missing", Exit.SETTINGS, "Set one with: hawser key set {host}"),
    (outside.RateLimited, "Too many requests", Exit.UNREACHABLE, None),
    (outside.OutOfCredit, "The account has no credit", Exit.BUDGET, None),
    (outside.ModelMissing, "The model is missing", Exit.SETTINGS, "hawser model ls shows what is there."),
    (outside.ContextTooLong, "The prompt is too long", Exit.NO_ANSWER, None),
    (outside.RequestRefused, "The request is refused", Exit.NO_ANSWER, None),
    (outside.ServiceFailed, "The service failed", Exit.UNREACHABLE, None),
    (outside.BadReply, "The reply makes no sense", Exit.UNREACHABLE, "Is this the right base_url and wire?"),
    (outside.StreamBroken, "The answer broke off", Exit.UNREACHABLE, None),
)


def explain(error: BaseException) -> Explanation:
    """Title, sentence, hint and exit code for any error; the only place that knows them all."""
    if isinstance(error, ConsoleError):
        return Explanation(error.title, error.text, error.hint, error.exit_code)
    if isinstance(error, NoWay):
        return explain(error.cause)
    if isinstance(error, outside.ProviderError):
        for kind, title, code, hint in _OUTSIDE:
            if isinstance(error, kind):
                hint = error.hint or hint
                if isinstance(error, outside.KeyTrouble) and hint is not None:
                    hint = hint.replace("{host}", error.host)
                return Explanation(title, error.text, hint, code)
        if isinstance(error, outside.MachineTrouble):
            return Explanation("The cloud refuses", error.text, error.hint, Exit.MACHINE)
        return Explanation("The service failed", error.text, error.hint, Exit.UNREACHABLE)
    if isinstance(error, KeyboardInterrupt) or _is_cancelled(error):
        return Explanation("Interrupted", "Interrupted.", None, Exit.INTERRUPTED)
    return Explanation(
        "This is a fault in Hawser",
        f"{type(error).__name__}: {error}" if str(error) else type(error).__name__,
        "Run again with --debug for the details, and please report it.",
        Exit.FAILED,
    )


def _is_cancelled(error: BaseException) -> bool:
    from asyncio import CancelledError  # loaded by now, unless it went wrong before there was anything to wait for

    return isinstance(error, CancelledError)
