"""Simulated clouds for the stories, on the loop of the services, and the settings of a user who rents there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from providers.simulated.clouds.names import CLOUDS
from providers.simulated.clouds.rental import Phase, Rental, Timings
from providers.simulated.clouds.twin import CloudTwin
from tests.flows.kit import Hawser, Services

QUICK = Timings.booting_in(1.0)


@contextmanager
def cloud(services: Services, name: str = "vast", *, quick: bool = True, **traits: Any) -> Iterator[CloudTwin]:
    """A cloud whose machines boot within a second, with a real SSH server behind each."""
    twin = CLOUDS[name](**{"with_machines": True, "timings": QUICK if quick else None, **traits})
    services.do(twin.__aenter__())
    try:
        yield twin
    finally:
        services.do(twin.__aexit__(None, None, None))


def account(twin: CloudTwin) -> str:
    return f'[clouds.{twin.name}]\nbase_url = "{twin.base_url}"\nkey = "{twin.name}"'


def keys(*twins: CloudTwin) -> dict[str, str]:
    return {f"HAWSER_KEY_{twin.name.upper()}": twin.key for twin in twins}


def machine(twin: CloudTwin, name: str = "gpu1", *lines: str) -> str:
    """A machine to rent there that runs a model."""
    return "\n".join(
        [
            f"[machines.{name}]",
            f'cloud = "{twin.name}"',
            'gpu = "RTX 4090"',
            'recipe = "inference"',
            'models = ["qwen3:8b"]',
            *lines,
        ]
    )


def renter(folder: Path, twin: CloudTwin, *tables: str, lines: tuple[str, ...] = ()) -> Hawser:
    """A user of one cloud with one machine in the settings, and money for it."""
    budget = "[budget]\nday_usd = 50\nmonth_usd = 500"
    return Hawser(folder, env=keys(twin)).settings(account(twin), budget, machine(twin, "gpu1", *lines), *tables)


def rentals(twin: CloudTwin) -> list[Rental]:
    """What is rented there now."""
    return [rental for rental in twin.rentals.values() if not rental.is_gone]


def only(twin: CloudTwin) -> Rental:
    (rental,) = rentals(twin)
    return rental


def phase(services: Services, twin: CloudTwin) -> Phase:
    """How its only machine is, by the cloud's clock."""
    services.do(twin.settle())
    return only(twin).phase


def booked(user: Hawser) -> Decimal:
    """What the ledger has for machines."""
    with user.store() as connection:
        rows = connection.execute("SELECT cost_usd FROM ledger WHERE task IN ('gpu', 'disk')").fetchall()
    return sum((Decimal(row[0]) for row in rows), Decimal(0))
