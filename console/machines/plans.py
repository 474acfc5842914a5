"""What to rent for a machine that somebody describes: the search, the offers as they rank, and the order for one."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from console.errors import GivenUp
from console.machines import words
from console.machines.fleet import LaunchPlan
from console.machines.offers import Ask, Boot, Found, Quote, Session, find
from console.machines.recipes import Recipe, recipe_named
from providers.clouds.base import Capability, Cloud, Search

if TYPE_CHECKING:
    from console.chat.catalogue import Catalogue
    from console.machines.records import AtEnd, MachineRecord
    from console.settings import Machine

CONTEXT_SHARE = Decimal("1.2")
"""Memory for weights and a usual context, over that of the weights alone."""
USUAL_HOURS = Decimal(2)

Clouds: TypeAlias = Sequence[str]


class Wanted(NamedTuple):
    """A machine as somebody wants it."""

    search: Search
    session: Session
    clouds: Clouds
    ceiling_usd_per_hour: Decimal | None = None
    bid_usd_per_hour: Decimal | None = None
    at_end: AtEnd = "stop"
    image: str | None = None
    recipe: Recipe | None = None
    models: tuple[str, ...] = ()


def wanted_by(
    machine: Machine, catalogue: Catalogue, *, at_end: AtEnd, clouds: Clouds = (), hours: Decimal = USUAL_HOURS
) -> Wanted:
    """What the settings of a machine come to."""
    recipe = recipe_named(machine.recipe) if machine.recipe is not None else None
    disk_gb = max(machine.disk_gb, recipe.least_disk_gb if recipe is not None else Decimal(0))
    weights_gb, vram_gb = sizes(machine.models, catalogue)
    return Wanted(
        search=Search(
            gpu=machine.gpu,
            gpu_count=machine.count,
            disk_gb=disk_gb,
            min_vram_gb=machine.min_vram_gb,
            max_usd_per_hour=machine.max_price_usd_per_hour,
            region=machine.region,
            spot=machine.spot,
        ),
        session=Session(
            hours=hours,
            download_gb=weights_gb + (recipe.download_gb if recipe is not None else Decimal(0)),
            needs_vram_gb=vram_gb,
        ),
        clouds=clouds or (machine.cloud,),
        ceiling_usd_per_hour=machine.max_price_usd_per_hour,
        at_end=machine.at_end or at_end,
        image=machine.image,
        recipe=recipe,
        models=machine.models,
    )


def wanted_like(record: MachineRecord, catalogue: Catalogue) -> Wanted:
    """What a machine was ordered as, to order the like of it."""
    order = record.order
    listed = order.get("models")
    models = tuple(str(model) for model in listed) if isinstance(listed, list) else ()
    recipe = recipe_named(str(order["recipe"])) if order.get("recipe") else None
    weights_gb, vram_gb = sizes(models, catalogue)
    return Wanted(
        search=Search(
            gpu=str(order["gpu"]) if order.get("gpu") else None,
            gpu_count=int(str(order.get("count") or 1)),
            disk_gb=Decimal(str(order.get("disk_gb") or 40)),
            max_usd_per_hour=record.ceiling_usd_per_hour,
            spot=bool(order.get("spot")),
        ),
        session=Session(
            hours=USUAL_HOURS,
            download_gb=weights_gb + (recipe.download_gb if recipe is not None else Decimal(0)),
            needs_vram_gb=vram_gb,
        ),
        clouds=(record.cloud,),
        ceiling_usd_per_hour=record.ceiling_usd_per_hour,
        at_end=record.at_end,
        image=str(order["image"]) if order.get("image") and recipe is None else None,
        recipe=recipe,
        models=models,
    )


def without(found: Found, record: MachineRecord) -> Found:
    """The offers that are not of the host, or the listing, that a machine is on."""
    order = record.order
    host, offer = str(order.get("host") or ""), str(order.get("offer") or "")
    left = [one for one in found.quotes if one.offer.id != offer and not (host and one.offer.host == host)]
    return Found(left, found.troubles)


def sizes(models: Sequence[str], catalogue: Catalogue) -> tuple[Decimal, Decimal | None]:
    """What has to be downloaded for all, and the memory that the largest needs; None where no size is known."""
    known = [found for found in map(catalogue.find, models) if found is not None]
    weights = [model.size_gb for model in known if model.size_gb is not None]
    memory = []
    for model in known:
        if model.vram_gb is not None:
            memory.append(Decimal(str(model.vram_gb)))
        elif model.size_gb is not None:
            memory.append(Decimal(str(model.size_gb)) * CONTEXT_SHARE)
    return sum(map(Decimal, map(str, weights)), Decimal(0)), max(memory, default=None)


async def look(wanted: Wanted, ask: Ask, boot_s: Boot) -> Found:
    return await find(wanted.clouds, wanted.search, wanted.session, ask, boot_s)


def best(found: Found, wanted: Wanted) -> Quote:
    """The cheapest session that is to be had; `GivenUp` tells why there is none."""
    for quote in found.quotes:
        if quote.fits is not False:
            return quote
    search = wanted.search
    what = f"{search.gpu_count} × {search.gpu or 'any GPU'}"
    if search.max_usd_per_hour is not None:
        what += f" at {words.per_hour(search.max_usd_per_hour)} or less"
    where = ", ".join(wanted.clouds)
    if found.troubles and not found.quotes:
        trouble = found.troubles[0]
        raise GivenUp(f"No offers came from {where}: {trouble.text}", hint=trouble.hint)
    if found.quotes:
        raise GivenUp(
            f"No offer of {where} for {what} has the {wanted.session.needs_vram_gb:.0f} GB of GPU memory that the model"
            " needs.",
            hint="Ask for more GPUs or another one, or for a smaller model.",
        )
    raise GivenUp(f"{where} has no offer for {what} now.", hint="hawser vm offers shows what there is.")


def order(quote: Quote, wanted: Wanted, cloud: Cloud) -> LaunchPlan:
    """What to send to a cloud for an offer, in the way that this cloud takes recipes."""
    recipe = wanted.recipe
    can = cloud.capabilities
    image, script = wanted.image, ""
    if recipe is not None and Capability.START_SCRIPT in can:
        script = recipe.script
    if recipe is not None and image is None and Capability.IMAGE in can:
        image = recipe.image if script else recipe.image_with_ssh
    return LaunchPlan(
        cloud=quote.cloud,
        offer=quote.offer,
        disk_gb=wanted.search.disk_gb,
        image=image,
        start_script=script,
        ceiling_usd_per_hour=wanted.ceiling_usd_per_hour,
        bid_usd_per_hour=wanted.bid_usd_per_hour or (quote.offer.usd_per_hour if wanted.search.spot else None),
        at_end=wanted.at_end,
        recipe=recipe.name if recipe is not None else None,
        models=wanted.models,
    )
