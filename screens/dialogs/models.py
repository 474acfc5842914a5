"""Choose who answers: every model by where it is, with its state, and names of one's own.

What is known is there at once. The endpoints are asked meanwhile, and each row changes when its endpoint has answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from datetime import datetime
from decimal import Decimal
from typing import ClassVar, NamedTuple, TypeAlias

from rich.cells import cell_len
from rich.text import Text
from textual import on, work
from textual.binding import Binding, BindingType

from console.chat.on_hand import Group, Listing, ModelsOnHand, OnHand
from console.machines.words import age
from screens import fuzzy
from screens.chat_items import window_size
from screens.dialogs.pick import PickDialog
from screens.widgets.cells import clip, fit, one_line
from screens.widgets.rows import Rows

FEW = 8
"""Up to so many names need no group of those that were used lately."""


class Heading(NamedTuple):
    """A line between groups; nothing to choose."""

    words: str
    told: str
    is_wrong: bool = False


class Offer(NamedTuple):
    """A name to choose, and whether it stands among those that were used lately."""

    row: OnHand
    is_lately: bool = False


Row: TypeAlias = Offer | Heading

_KINDS = {"machine": "machine", "here": "here", "hosted": "paid by the token", "name": ""}
_MARKS = {
    "loaded": ("●", "ok", "in memory"),
    "ready": ("○", "muted", "ready"),
    "apart": ("◌", "muted", "its machine is not connected"),
    "off": ("·", "faint", "its machine is off"),
    "silent": ("×", "warn", "no answer"),
    "unknown": ("?", "faint", "not asked yet"),
}


class ModelsDialog(PickDialog[Row]):
    """Answers with the row that was chosen, an `Offer`."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+r,f5", "ask_all", "Ask all", show=False)]
    keys_hint = "Enter takes it · ^R connects and asks everyone · Esc leaves it"

    def __init__(
        self,
        on_hand: ModelsOnHand,
        listing: Listing,
        now: datetime,
        *,
        current: str | None,
        title: str = "Model",
    ) -> None:
        self._on_hand = on_hand
        self._listing = listing
        self._current = current
        self._now = now
        self._is_led = False
        rows = grouped(listing, now, current)
        at = self._place_of_current(rows)
        super().__init__(
            title,
            rows,
            self._paint,
            _key_of,
            self._filtered,
            can_choose=lambda row: isinstance(row, Offer),
            at=at if at is not None else next((n for n, row in enumerate(rows) if isinstance(row, Offer)), None),
            hint=self.keys_hint,
            about_lines=1,
            empty="No endpoint has a model. Start Ollama, set a key, or write [endpoints.NAME]: hawser config edit"
            if not rows
            else "No name has that in it.",
            placeholder="Type a part of the name",
        )
        self.add_class("models")

    def on_mount(self) -> None:
        self._ask()

    # ---- asking

    @work(exclusive=True, group="ask")
    async def _ask(self, *, connect: bool = False) -> None:
        def began() -> None:
            self._list_again()

        async with aclosing(self._on_hand.refresh(connect=connect, began=began)) as answers:
            async for _ in answers:
                await self._list()
        await self._list()

    @work(exclusive=True, group="list")
    async def _list_again(self) -> None:
        await self._list()

    async def _list(self) -> None:
        self._listing = await self._on_hand.listed()
        rows = grouped(self._listing, self._now, self._current)
        # The model in use may be known only now; the cursor goes there unless somebody has led it elsewhere.
        self.show(rows, at=None if self._is_led else self._place_of_current(rows))
        self.tell_about()

    def action_lead(self, what: str, *how: int) -> None:
        self._is_led = True
        super().action_lead(what, *how)

    def _place_of_current(self, rows: Sequence[Row]) -> int | None:
        return next((n for n, row in enumerate(rows) if isinstance(row, Offer) and row.row.name == self._current), None)

    def action_ask_all(self) -> None:
        self._ask(connect=True)

    # ---- what is said of the row in sight

    @on(Rows.Moved)
    def _moved(self, moved: Rows.Moved[Row]) -> None:
        moved.stop()
        self.tell_about()

    def tell_about(self) -> None:
        self.tell(self.about())

    def about(self) -> str:
        """What there is to know before the row under the cursor is chosen."""
        asked = [group.name for group in self._listing.groups.values() if group.is_being_asked]
        if asked:
            return f"Asking {', '.join(asked)} …"
        row = self.rows.cursor
        if not isinstance(row, Offer):
            return ""
        group, name = self._listing.groups[row.row.group], row.row.name
        if row.row.leads_to:
            return f"{name} stands for {row.row.leads_to}"
        if group.why_silent:
            return f"{name}: {group.why_silent}"
        if group.outlook is not None and row.row.standing in ("off", "apart"):
            return group.outlook.sentence(group.name)
        return f"{name}: {_MARKS[row.row.standing][2]}"

    # ---- drawing

    def _filtered(self, words: str, rows: Sequence[Row]) -> Sequence[Row]:
        """Names only; those that were used lately come first among equals."""
        offers = [row for row in rows if isinstance(row, Offer)]
        lately = {offer.row.name for offer in offers if offer.is_lately}
        once = [offer for offer in offers if offer.is_lately or offer.row.name not in lately]
        return fuzzy.fitting(words, once, lambda offer: f"{offer.row.name} {offer.row.leads_to}")

    def _paint(self, row: Row, width: int, here: bool) -> Text:
        palette = self.hawser.palette
        if isinstance(row, Heading):
            text = Text.assemble(
                (f" {one_line(row.words)}", palette.heading),
                (f"  {one_line(row.told)}", palette.warn if row.is_wrong else palette.muted),
            )
            text.truncate(width, overflow="ellipsis")
            return text
        offer = row.row
        mark, colour, _ = _MARKS[offer.standing]
        if offer.kind == "name":
            mark, colour = "→", "muted"
        right = facts_of(offer, width)
        room = max(width - 5, 8)
        if offer.leads_to:
            right = clip(right, room * 2 // 3)
        elif cell_len(right) > room - 16:
            right = ""
        is_full = row.is_lately or bool(self.words.strip())
        name = fit(offer.name if is_full else offer.label, room - cell_len(right))
        dull = offer.standing in ("off", "silent")
        return Text.assemble(
            (f"  {mark} ", getattr(palette, colour)),
            (name, palette.muted if dull else palette.accent if offer.name == self._current else palette.text),
            (right, palette.muted),
            no_wrap=True,
        )


def grouped(listing: Listing, now: datetime, current: str | None) -> list[Row]:
    """The names under their headings. In a long list those in use stand above the rest once more."""
    rows: list[Row] = []
    if len(listing.rows) > FEW:
        names = dict.fromkeys([*([current] if current else []), *listing.lately])
        lately = [offer for name in names if (offer := listing.find(name)) is not None]
        if lately:
            rows = [Heading("used lately", ""), *(Offer(row, is_lately=True) for row in lately)]
    by_group: dict[str, list[Row]] = {name: [] for name in listing.groups}
    for row in listing.rows:
        by_group[row.group].append(Offer(row))
    order = {"machine": 0, "here": 1, "hosted": 2, "name": 3}
    for group in sorted(listing.groups.values(), key=lambda each: order[each.kind]):
        offers = by_group[group.name]
        if offers or group.kind != "name":
            told, is_wrong = _told(group, now, has_models=bool(offers))
            rows += [Heading(group.name, told, is_wrong), *offers]
    return rows


def _told(group: Group, now: datetime, *, has_models: bool) -> tuple[str, bool]:
    """What a heading says beside its name, and whether that is bad news."""
    parts = [_KINDS[group.kind]]
    if group.outlook is not None and group.standing in ("off", "apart"):
        parts.append(group.outlook.words())
    elif group.standing == "apart":
        parts.append("not connected")
    elif group.standing == "silent":
        parts.append("no answer" if group.since is None else f"no answer, last seen {age(now, group.since)} ago")
        parts.append(group.why_silent)
    elif group.standing == "unknown" and not group.is_being_asked:
        parts.append("not asked yet")
    elif not has_models and not group.is_being_asked:
        parts.append("it has no model")
    if group.is_being_asked:
        parts.append("asking …")
    return " · ".join(part for part in parts if part), group.standing == "silent"


def facts_of(row: OnHand, width: int = 100) -> str:
    """Size, window, eyes and price in columns that fit the width; where an alias leads."""
    if row.leads_to:
        return row.leads_to
    window = window_size(row.context_tokens) if row.context_tokens else ""
    if width < 52:
        return f"{window:>5}"
    facts = [f"{window:>5}", f"{'images' if row.sees_images else '':<6}", f"{_price(row):>19}"]
    if width >= 78:
        facts[:0] = [f"{clip(row.parameters or '', 6):>6}", f"{_size(row.size_bytes):>7}"]
    return "  ".join(facts)


def _size(size_bytes: int | None) -> str:
    return "" if size_bytes is None else f"{size_bytes / 1e9:.1f} GB"


def _price(row: OnHand) -> str:
    """For a million tokens of the question and of the answer."""
    asked, answered = row.price_input_usd_per_million, row.price_output_usd_per_million
    if asked is None or answered is None:
        return "price unknown" if row.kind == "hosted" else ""
    if not asked and not answered:
        return "free" if row.kind == "hosted" else ""
    return f"${_usd(asked)} / ${_usd(answered)} per M"


def _usd(amount: Decimal) -> str:
    """Without the places that say nothing: 2, 0.15, 12.5."""
    return f"{amount.normalize():f}"


def _key_of(row: Row) -> str:
    return f"{row.row.name} {row.is_lately}" if isinstance(row, Offer) else f" {row.words}"
