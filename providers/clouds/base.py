"""What a cloud can do, what it says of a machine, and the promises that every adapter keeps.

* An answer to `start`, `stop` or `destroy` is an acceptance, never a proof. The proof is a later reading.
* A reading says what the cloud's words come to (`State`) and what is paid for (`Bills`). Words that nobody knows are
  `State.UNKNOWN`, never an error. What bills is told from the cloud's rules, not from the state alone.
* `create` returns as soon as there is an id. If it fails and something was created all the same, the error carries the
  id (`CloudError.leftover`), so that it can be destroyed before anything is tried again.
* `destroy` of something that is gone is a success, and so is `stop` of something stopped. Calls may be repeated.
* All that is created carries the label of its order, and `machines` tells that label: it is how a machine is found
  again when an answer, or the whole store, was lost.
* An adapter keeps to its cloud's limits by itself: it waits its turn, and raises `RateLimited` only when the cloud asks
  for a wait longer than `PATIENCE_S`. Readings and deeds that may be repeated are asked again when the network or the
  cloud fails; a creation is sent once, and again only after a plain "too many requests", which has made nothing.
* A creation whose answer did not come, or makes no sense, is `AnswerLost`: it may have made a machine. Its label tells.
* No secret is in a label, a start script, an error or a log line.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

from providers.errors import MachineTrouble

PATIENCE_S = 30.0
"""The longest wait that an adapter takes upon itself when a cloud asks for one."""


class State(StrEnum):
    """What the words of a cloud come to."""

    STARTING = "starting"
    """On its way up: provisioning, pulling, booting."""
    RUNNING = "running"
    """The cloud says that it runs. Whether it can be reached is found out over SSH."""
    STOPPING = "stopping"
    STOPPED = "stopped"
    """Stopped, and wanted so. What it still costs is another matter, see `Bills`."""
    QUEUED = "queued"
    """A start was accepted and waits for a GPU: it may come up at any time, unattended."""
    OUTBID = "outbid"
    """Stopped by the cloud for a higher bid, or preempted."""
    DIED = "died"
    """What ran on it ended by itself. One reading of it proves nothing."""
    BROKEN = "broken"
    """It will never run; destroy it."""
    LOST = "lost"
    """The cloud has no contact with the host. It may return."""
    DESTROYING = "destroying"
    GONE = "gone"
    """The cloud still names it, as destroyed."""
    UNKNOWN = "unknown"


class Bills(StrEnum):
    """What a machine costs at this moment."""

    NOTHING = "nothing"
    DISK = "disk"
    EVERYTHING = "everything"
    """The GPU, and all else."""
    UNKNOWN = "unknown"


class Capability(StrEnum):
    """What a cloud has beyond renting, listing and destroying. A claimed one is true; the contract suite tests it."""

    STOP = "stop"
    """A machine can be stopped and started again."""
    STOP_FREES_GPU = "stop-frees-gpu"
    """The GPU of a stopped machine may be another's when it is wanted back."""
    QUEUED_START = "queued-start"
    """A refused start stays in force and may fire hours later; a stop cancels it."""
    OFFERS = "offers"
    CREATE = "create"
    DESTROY = "destroy"
    SPOT = "spot"
    """Machines can be rented at a bid, and lost to a higher one."""
    BID = "bid"
    """The bid of a running machine can be changed."""
    IMAGE = "image"
    """The order names a container image; else it is a virtual machine with the cloud's own system."""
    START_SCRIPT = "start-script"
    """The order may carry a script that runs when the machine comes up."""
    SCOPED_KEY = "scoped-key"
    """A machine gets a key of its own with which it can stop or destroy itself and nothing else."""
    BALANCE = "balance"
    CHARGES = "charges"
    """What each machine was charged can be read back."""
    LOGS = "logs"
    REBOOT = "reboot"
    ATTACH_KEY = "attach-key"
    """An SSH key can be put onto a machine that is there already."""


class Address(NamedTuple):
    """One way to the SSH server of a machine."""

    host: str
    port: int
    user: str
    forwards: bool = True
    """Whether connections can be forwarded there; a mere shell proxy cannot."""


class Reading(NamedTuple):
    """What a cloud says of one machine, once."""

    id: str
    label: str
    state: State
    bills: Bills
    words: str = ""
    """The cloud's own words for the state, as they came."""
    message: str = ""
    """What the cloud adds in a sentence, such as why a container does not start."""
    usd_per_hour: Decimal | None = None
    """Everything, while it runs."""
    usd_per_hour_stopped: Decimal | None = None
    """What goes on while it is stopped; None where nobody says."""
    addresses: tuple[Address, ...] = ()
    """Ways to its SSH server in the order to try them; empty while there is none."""
    host_key: str | None = None
    """Its SSH host key, where the cloud tells it."""
    gpu: str = ""
    gpu_count: int = 0
    vram_gb: Decimal | None = None
    """Of each GPU."""
    disk_gb: Decimal | None = None
    region: str = ""
    host: str = ""
    """The physical machine at the cloud, where it is told; other rentals may be on the same."""
    spot: bool = False
    bid_usd_per_hour: Decimal | None = None
    market_usd_per_hour: Decimal | None = None
    """The bid that is needed at this moment."""
    created_at: datetime | None = None
    ends_at: datetime | None = None
    """When the rental ends by itself."""
    usd_per_gb_up: Decimal | None = None
    usd_per_gb_down: Decimal | None = None
    raw: Mapping[str, Any] = {}
    """The answer it was read from, without secrets."""


class Offer(NamedTuple):
    """A machine that can be rented now."""

    id: str
    gpu: str
    gpu_count: int
    vram_gb: Decimal
    """Of each GPU."""
    usd_per_hour: Decimal
    """Everything, with the disk that was asked for; the least bid for one that is rented at a bid."""
    disk_usd_per_hour: Decimal = Decimal(0)
    """The part of it that goes on while the machine is stopped."""
    disk_gb: Decimal | None = None
    """The most that there is room for."""
    cpus: Decimal | None = None
    ram_gb: Decimal | None = None
    down_mbps: Decimal | None = None
    up_mbps: Decimal | None = None
    usd_per_gb_down: Decimal | None = None
    usd_per_gb_up: Decimal | None = None
    reliability: Decimal | None = None
    """The share of the time that the host was there, 0 to 1."""
    region: str = ""
    host: str = ""
    spot: bool = False
    ends_at: datetime | None = None
    available: int | None = None
    """How many of these there are, where the cloud says."""
    raw: Mapping[str, Any] = {}


class Search(NamedTuple):
    """Which offers are wanted. What is not named does not matter."""

    gpu: str | None = None
    """As people write it: `RTX 4090`, `rtx_4090`, `4090`, `h100`."""
    gpu_count: int = 1
    disk_gb: Decimal = Decimal(40)
    min_vram_gb: Decimal | None = None
    """Of all GPUs together."""
    max_usd_per_hour: Decimal | None = None
    min_down_mbps: Decimal | None = None
    min_reliability: Decimal | None = None
    region: str | None = None
    """A part of the region's name, or a country code."""
    spot: bool = False
    limit: int = 100


class Order(NamedTuple):
    """What to rent. The offer is one that the same cloud made."""

    offer: Offer
    label: str
    public_key: str
    """The SSH key that opens the machine, as one line of authorized_keys."""
    disk_gb: Decimal = Decimal(40)
    image: str | None = None
    start_script: str = ""
    environment: Mapping[str, str] = {}
    ports: Sequence[int] = ()
    """Ports beyond SSH that are to be reachable from outside; ours go through the tunnel and need none."""
    bid_usd_per_hour: Decimal | None = None


class Created(NamedTuple):
    id: str
    scoped_key: str | None = None
    """A key that can stop or destroy this machine and nothing else; a secret."""

    def __repr__(self) -> str:
        return f"Created(id={self.id!r})"


class Account(NamedTuple):
    """How an account stands; None for what the cloud does not say."""

    balance_usd: Decimal | None = None
    """What can still be spent."""
    usd_per_hour: Decimal | None = None
    """What the cloud says that everything together costs now."""
    name: str = ""


ChargeKind: TypeAlias = Literal["gpu", "disk", "transfer", "other"]


class Charge(NamedTuple):
    """What a cloud says that it charged for a machine in a span."""

    machine_id: str | None
    kind: ChargeKind
    usd: Decimal
    since: datetime
    until: datetime


class CloudError(MachineTrouble):
    """Something about a machine that the cloud refused or could not do."""

    def __init__(self, text: str, *, hint: str | None = None, leftover: str | None = None) -> None:
        super().__init__(text, hint=hint)
        self.leftover = leftover
        """The id of what was created all the same, and may cost money until it is destroyed."""


class NoCapacity(CloudError):
    """The GPU or the offer is not to be had now. After a refused start it may be `queued`."""

    def __init__(
        self, text: str, *, hint: str | None = None, leftover: str | None = None, queued: bool = False
    ) -> None:
        super().__init__(text, hint=hint, leftover=leftover)
        self.queued = queued
        """The start stays in force and may fire later, unattended, until a stop is sent."""


class NotThere(CloudError):
    """The cloud knows no machine of this id in this answer. That alone does not prove that it is gone."""


class AnswerLost(CloudError):
    """An order was sent, and whether it made a machine is unknown. Look for its label before ordering again."""


class CannotDo(CloudError):
    """The cloud has no such action, or not in the machine's present state."""


class OrderRefused(CloudError):
    """The order itself is wrong: an image, a disk size, a name that the cloud does not take."""


class Cloud(Protocol):
    """One account at one cloud."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What all of its machines can."""
        ...

    def capabilities_of(self, id: str) -> frozenset[Capability]:  # noqa: A002 - the cloud's own word
        """What this one can; more than `capabilities` only where machines differ, as those of the user's own do."""
        ...

    async def machines(self) -> list[Reading]:
        """Everything on the account, ours or not, in as few calls as the cloud has for it."""
        ...

    async def machine(self, id: str) -> Reading | None:  # noqa: A002
        """One machine; None if this answer does not have it."""
        ...

    async def offers(self, search: Search) -> list[Offer]:
        """What can be rented, the cheapest first."""
        ...

    async def create(self, order: Order) -> Created: ...

    async def start(self, id: str) -> None:  # noqa: A002
        """Accepted, or `NoCapacity`, which says whether the start stays queued."""
        ...

    async def stop(self, id: str) -> None:  # noqa: A002
        ...

    async def destroy(self, id: str) -> None:  # noqa: A002
        ...

    async def reboot(self, id: str) -> None:  # noqa: A002
        ...

    async def bid(self, id: str, usd_per_hour: Decimal) -> None:  # noqa: A002
        ...

    async def attach_key(self, id: str, public_key: str) -> None:  # noqa: A002
        """Let this SSH key in as well. The order's key is there by itself."""
        ...

    async def account(self) -> Account: ...

    async def charges(self, since: datetime, until: datetime) -> list[Charge]: ...

    def logs(self, id: str, *, lines: int = 200) -> AsyncIterator[str]:  # noqa: A002
        """The newest lines of what the machine printed while it came up; those that have a stream go on with it."""
        ...

    async def close(self) -> None: ...


class Clock(Protocol):
    """The time, as an adapter needs it to keep to its cloud's limits."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class CloudHost(NamedTuple):
    """Where an adapter talks to and as whom."""

    name: str
    """The account, as the settings call it."""
    base_url: str | None = None
    """None takes the cloud's own."""
    key: str | None = None
    headers: Mapping[str, str] = {}
    connect_s: float = 10.0
    total_s: float = 60.0

    def __repr__(self) -> str:
        return f"CloudHost({self.name!r}, {self.base_url!r})"
