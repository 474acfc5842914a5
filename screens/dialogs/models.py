"""Choose who answers: every model by where it is, with its state, and names of one's own.

What is known is there at once. The endpoints are asked meanwhile, and each row changes when its endpoint has answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import ClassVar, NamedTuple, TypeAlias

from rich.text import Text
from textual import work
from textual.binding import Binding, BindingType

from console.chat.on_hand import ModelsOnHand, OnHand
from console.machines.words import age
from screens import fuzzy
from screens.chat_items import window_size
from screens.dialogs.pick import PickDialog
from screens.theme import Palette
from screens.widgets.cells import clip, fit


class Heading(NamedTuple):
    """A line between groups; nothing to choose."""

    words: str
    told: str


Row: TypeAlias = OnHand | Heading

_KINDS = {"machine": "machine", "here": "here", "hosted": "paid by the token", "name": ""}
_MARKS = {
    "loaded": ("●", "ok", "loaded"),
    "ready": ("○", "muted", ""),
    "off": ("·", "faint", "machine off"),
    "silent": ("×", "warn", "no answer"),
    "unknown": ("?", "faint", "not asked yet"),
}


class ModelsDialog(PickDialog[Row]):
    """Answers with the row that was chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+r,f5", "ask_all", "Ask all", show=False)]

    def __init__(
        self,
        on_hand: ModelsOnHand,
        listed: Sequence[OnHand],
        now: datetime,
        *,
        current: str | None,
        title: str = "Model",
        hint: str = "Enter takes it",
    ) -> None:
        self._on_hand = on_hand
        self._current = current
        self._now = now
        rows = grouped(listed, on_hand)
        at = next((number for number, row in enumerate(rows) if isinstance(row, OnHand) and row.name == current), None)
        if at is None:
            at = next((number for number, row in enumerate(rows) if isinstance(row, OnHand)), None)
        super().__init__(
            title,
            rows,
            self._paint,
            _key_of,
            _filtered,
            can_choose=lambda row: isinstance(row, OnHand),
            at=at,
            hint=f"{hint}   Ctrl+R connects machines and asks everyone   Esc leaves it",
            empty="No endpoint has a model. Start Ollama, set a key, or write [endpoints.NAME]: hawser config edit",
            placeholder="Type a part of the name",
        )

    def on_mount(self) -> None:
        super().on_mount()
        self._ask()

    def set_palette(self, _palette: Palette) -> None:
        self.rows.repaint()

    @work(exclusive=True, group="ask")
    async def _ask(self, *, connect: bool = False) -> None:
        async for _ in self._on_hand.refresh(connect=connect):
            self.show(grouped(await self._on_hand.listed(), self._on_hand))

    def action_ask_all(self) -> None:
        self._ask(connect=True)

    def _paint(self, row: Row, width: int, here: bool) -> Text:
        palette = self.hawser.palette
        if isinstance(row, Heading):
            text = Text.assemble((f" {row.words}", palette.heading), (f"  {row.told}", palette.muted))
            text.truncate(width, overflow="ellipsis")
            return text
        mark, colour, told = _MARKS[row.standing]
        if row.standing in ("off", "silent") and row.since is not None:
            told = f"{told}, seen {age(self._now, row.since)} ago"
        chosen = row.name == self._current
        right = "  ".join(filter(None, (facts_of(row) if width >= 60 else "", told if width >= 44 else "")))
        room = max(width - 5, 8)
        right = clip(right, room // 2)
        name = fit(row.label, room - len(right))
        dull = row.standing in ("off", "silent")
        return Text.assemble(
            (f"  {mark} ", getattr(palette, colour)),
            (name, palette.muted if dull else palette.accent if chosen else palette.text),
            (right, palette.muted),
        )


def grouped(listed: Sequence[OnHand], on_hand: ModelsOnHand) -> list[Row]:
    rows: list[Row] = []
    group = None
    for each in listed:
        if each.group != group:
            group = each.group
            why = on_hand.why_silent(group) if each.kind != "name" else ""
            rows.append(Heading(group, why or _KINDS[each.kind]))
        rows.append(each)
    return rows


def facts_of(row: OnHand) -> str:
    """Size, window, eyes and price; where an alias leads."""
    if row.leads_to:
        return f"→ {row.leads_to}"
    facts = [row.parameters or "", window_size(row.context_tokens) if row.context_tokens else ""]
    if row.sees_images:
        facts.append("images")
    asked, answered = row.price_input_usd_per_million, row.price_output_usd_per_million
    if asked is not None and answered is not None and (asked or answered):
        facts.append(f"${_price(asked)} / ${_price(answered)} per M")
    elif row.kind == "hosted":
        facts.append("price unknown")
    return "  ".join(fact for fact in facts if fact)


def _price(usd_per_million: Decimal) -> str:
    return f"{usd_per_million.normalize():f}"


def _key_of(row: Row) -> str:
    return row.name if isinstance(row, OnHand) else f" {row.words}"


def _filtered(words: str, rows: Sequence[Row]) -> Sequence[Row]:
    models = [row for row in rows if isinstance(row, OnHand)]
    return fuzzy.fitting(words, models, lambda row: f"{row.name} {row.leads_to} {row.parameters or ''}")
