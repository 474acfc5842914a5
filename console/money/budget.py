"""Money is asked for before it is spent: set aside, then settled. Calls and machines share one budget.

Before a paid call the most it is likely to cost is set aside, in one step with looking whether the day and the month
still have that much, so that two processes cannot both get the last dollar. When the call has ended, its line in the
ledger takes the place of what was set aside. What costs nothing passes at once and never waits for the store.
"""

from __future__ import annotations

from datetime import timedelta, tzinfo
from decimal import ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, NamedTuple, Self

from console.errors import BudgetReached, PriceUnknown
from console.money.days import begins, month_of
from console.money.ledger import ZERO, cost_at_most
from providers.chat.base import Usage

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping
    from typing import Protocol, TypeVar

    from console.clock import Clock
    from console.history.books import Limit, Spent
    from console.money.forecast import Forecast
    from console.money.ledger import LedgerEntry
    from console.money.prices import Price
    from console.money.verdicts import BudgetVerdict
    from console.settings import BudgetSettings

    T = TypeVar("T")

    class Books(Protocol):
        """The part of the store that the budget needs."""

        async def run(self, work: Callable[[sqlite3.Connection], T], *, write: bool = False) -> T: ...


_ONE = Decimal(1)
USUAL_ANSWER_TOKENS = 2_000
"""What an answer is taken to have at most when no limit is set for it."""


class Estimate(NamedTuple):
    least_usd: Decimal
    """The question alone, without a token of an answer."""
    likely_usd: Decimal
    """With the longest answer allowed, or else one of the usual length."""


def estimate_cost(price: Price | None, input_tokens: int, max_tokens: int | None = None) -> Estimate | None:
    """What a call may cost before it is made, rounded up; None when the price is not known."""
    if price is None:
        return None
    answer_tokens = USUAL_ANSWER_TOKENS if max_tokens is None else max_tokens
    least = cost_at_most(Usage(input_tokens, 0), price)
    likely = cost_at_most(Usage(input_tokens, answer_tokens), price)
    assert least is not None  # both counts are given
    assert likely is not None
    return Estimate(least, likely)


def output_tokens_within(max_cost_usd: Decimal, price: Price | None, input_tokens: int) -> int | None:
    """How many tokens an answer may have before the call passes its cap; None where nothing limits it."""
    if price is None:
        return None
    asked = cost_at_most(Usage(input_tokens, 0), price)
    factor = price.long_output_factor if price.is_long(input_tokens) else Decimal(1)
    per_million = price.output_usd_per_million * factor
    if asked is None or not per_million:
        return None
    left = ((max_cost_usd - asked) * 1_000_000 / per_million).to_integral_value(ROUND_FLOOR)
    return max(int(left), 0)


class Reservation:
    """What was set aside for one call. Leaving its block without settling gives it back."""

    def __init__(
        self, budget: Budget | None, reservation_id: str | None, amount_usd: Decimal, notices: tuple[str, ...] = ()
    ) -> None:
        self.amount_usd = amount_usd
        self.notices = notices
        self._budget = budget
        self._id = reservation_id

    async def settle(self, entry: LedgerEntry) -> tuple[str, ...]:
        """Book the call in the place of what was set aside. Returns warnings, each once, as its level is passed."""
        assert self._budget is not None
        reservation_id, self._id = self._id, None
        return await self._budget._settle(reservation_id, entry)

    async def give_back(self) -> None:
        if self._id is not None and self._budget is not None:
            reservation_id, self._id = self._id, None
            await self._budget._release(reservation_id)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.give_back()


class Budget:
    def __init__(
        self,
        limits: BudgetSettings,
        books: Books,
        clock: Clock,
        *,
        zone: tzinfo | None = None,
        machine_limits: Mapping[str, Decimal] | None = None,
        any_machine_usd: Decimal | None = None,
        any_machine_alarm_usd: Decimal | None = None,
    ) -> None:
        """`zone` is where the user's days begin; None takes the computer's.

        `machine_limits` says what single machines may cost in a day, `any_machine_usd` what the others may, and from
        `any_machine_alarm_usd` on that is an alarm.
        """
        self._limits = limits
        self._books = books
        self._clock = clock
        self._zone = zone
        self._machine_limits = machine_limits or {}
        self._any_machine_usd = any_machine_usd
        self._any_machine_alarm_usd = any_machine_alarm_usd

    async def allow(
        self,
        estimate: Estimate | None,
        what: str = "a call",
        *,
        max_cost_usd: Decimal | None = None,
        allow_unknown_price: bool = False,
    ) -> Reservation:
        """Set money aside for a call, or say why not: `BudgetReached` with the figures, or `PriceUnknown`."""
        if estimate is None:
            return await self._allow_unknown(what, max_cost_usd, allow_unknown_price)
        if estimate.likely_usd == 0:
            return Reservation(self, None, ZERO)
        amount = estimate.likely_usd
        if max_cost_usd is not None:
            if estimate.least_usd >= max_cost_usd:
                raise BudgetReached(
                    f"The question alone costs {usd(estimate.least_usd)}, and the cap is {usd(max_cost_usd)}.",
                    hint="Raise --max-cost, ask less, or choose a cheaper model.",
                )
            amount = min(amount, max_cost_usd)  # the answer is stopped there

        from console.history import books  # SQLite is loaded only when there is money to count

        strict = self._limits.at_limit == "stop"
        limits = self.spans()
        now_ms = int(self._clock.now().timestamp() * 1000)

        def reserve(connection: sqlite3.Connection) -> tuple[str | None, list[Spent]]:
            spent = [books.spent(connection, limit.since, limit.until) for limit in limits]
            return books.reserve(connection, now_ms, amount, what, limits if strict else ()), spent

        reservation_id, spent = await self._books.run(reserve, write=True)
        full = [
            (span, limit, sum_)
            for span, limit, sum_ in zip(_SPANS, limits, spent, strict=True)
            if sum_.known_usd + amount > limit.limit_usd
        ]
        if reservation_id is None:
            raise self._reached(*full[0], f"this call may cost {usd(amount)}")
        notices = tuple(
            f"{span.title} budget does not cover this call:"
            f" {usd(sum_.known_usd)} of {usd(limit.limit_usd)} {span.when}."
            for span, limit, sum_ in full
        )
        return Reservation(self, reservation_id, amount, notices)

    async def allow_machine(
        self, usd_per_hour: Decimal | None, hours: Decimal = _ONE, *, machine: str | None = None
    ) -> tuple[str, ...]:
        """Whether a machine may be launched or started for some hours: `BudgetReached` with the figures if not.

        Of each budget only the hours count that lie in its day or month. Nothing is set aside: the meter books the time
        as it passes, and `verdict` stops the machine when it was more than planned. Returns warnings.
        """
        strict = self._limits.at_limit == "stop"
        if usd_per_hour is None:
            if strict:
                raise PriceUnknown(
                    "The price of the machine is not known, so the budget cannot be kept.",
                    hint='Set usd_per_hour for it, or at_limit = "warn" under [budget].',
                )
            return ("The price of the machine is not known; the budget does not see it.",)
        if usd_per_hour == 0:
            return ()
        from console.history import books

        now, limits = self._clock.now(), self.spans()
        day = limits[0]
        machine_limit = self.machine_limit(machine) if machine is not None else None

        def look(connection: sqlite3.Connection) -> tuple[list[Spent], Decimal]:
            on_machine = ZERO
            if machine is not None and machine_limit is not None:
                on_machine = books.spent_on_machines(connection, day.since, day.until).get(machine, ZERO)
            return [books.spent(connection, limit.since, limit.until) for limit in limits], on_machine

        def costs(limit: Limit) -> Decimal:
            hours_left = Decimal((limit.until - now) // timedelta(milliseconds=1)) / 3_600_000
            return usd_per_hour * min(hours, hours_left)

        sums, on_machine = await self._books.run(look)
        notices = []
        for span, limit, sum_ in zip(_SPANS, limits, sums, strict=True):
            if sum_.known_usd + costs(limit) > limit.limit_usd or sum_.known_usd >= limit.limit_usd:
                reached = self._reached(span, limit, sum_, f"the machine costs {usd(usd_per_hour)} an hour")
                if strict:
                    raise reached
                notices.append(reached.text)
        if machine_limit is not None and on_machine + costs(day) > machine_limit:
            text = (
                f"{machine!r} has no room in its budget: {usd(on_machine)} of {usd(machine_limit)} today;"
                f" it costs {usd(usd_per_hour)} an hour."
            )
            if strict:
                raise BudgetReached(text, hint=f"Raise day_usd under [machines.{machine}], or wait until tomorrow.")
            notices.append(text)
        return tuple(notices)

    def machine_limit(self, machine: str) -> Decimal | None:
        """What a machine may cost in a day."""
        return self._machine_limits.get(machine, self._any_machine_usd)

    async def forecast(self) -> Forecast:
        """When the budgets and the balances are gone if everything goes on as it does."""
        from console.history import books, meters
        from console.money.forecast import balances, forecast

        now, limits = self._clock.now(), self.spans()

        def look(connection: sqlite3.Connection) -> Forecast:
            sums = [books.spent(connection, limit.since, limit.until).known_usd for limit in limits]
            budgets = [(span.when, sum_, limit) for span, sum_, limit in zip(_SPANS, sums, limits, strict=True)]
            return forecast(meters.running(connection), budgets, balances(connection), now, self._zone)

        return await self._books.run(look)

    async def verdict(self) -> list[BudgetVerdict]:
        """How every budget stands, and which machines are to be stopped for it; of machines, those that cost money."""
        from console.history import books, meters
        from console.money.forecast import clock_time, reached_at
        from console.money.verdicts import ALL, BudgetVerdict, highest_passed, to_stop

        now, limits = self._clock.now(), self.spans()
        day = limits[0]

        def look(connection: sqlite3.Connection) -> tuple[list[Spent], list[tuple[meters.Running, Decimal]]]:
            by_machine = books.spent_on_machines(connection, day.since, day.until)
            return [books.spent(connection, limit.since, limit.until) for limit in limits], [
                (one, by_machine.get(one.name, ZERO)) for one in meters.running(connection)
            ]

        sums, machines = await self._books.run(look)
        strict = self._limits.at_limit == "stop"
        running = [one for one, _ in machines]
        usd_per_hour = sum((one.usd_per_hour for one in running if not one.fixed), ZERO)
        verdicts = []
        for span, limit, sum_ in zip(_SPANS, limits, sums, strict=True):
            booked = sum_.known_usd - sum_.reserved_usd
            passed = highest_passed(booked, limit.limit_usd, (*self._limits.warn_at, ALL))
            is_full = strict and passed == 1
            stop = to_stop(running) if is_full else ()
            text = _stands(f"{span.title} budget", span.when, booked, limit.limit_usd, stop)
            soon = reached_at(limit.limit_usd - booked, usd_per_hour, now)
            if passed < 1 and soon is not None and soon < limit.until:
                text += f" It reaches {usd(limit.limit_usd)} at {clock_time(soon, now, self._zone)}."
            verdicts.append(
                BudgetVerdict(f"budget:{span.name}", booked, limit.limit_usd, passed, text, stop, block=is_full)
            )
        for one, spent_usd in machines:
            limit_usd = self.machine_limit(one.name)
            if limit_usd is None or one.fixed:
                continue
            levels, loud_from = self._machine_levels(one.name, limit_usd)
            passed = highest_passed(spent_usd, limit_usd, levels)
            stop = to_stop([one]) if strict and passed == 1 else ()
            text = _stands(f"The budget of {one.name}", "today", spent_usd, limit_usd, stop)
            subject = f"budget:machine:{one.name}"
            verdicts.append(BudgetVerdict(subject, spent_usd, limit_usd, passed, text, stop, loud_from=loud_from))
        return verdicts

    def _machine_levels(self, machine: str, limit_usd: Decimal) -> tuple[tuple[Decimal, ...], Decimal]:
        """At which shares of a machine's budget something is said, and from which on loudly."""
        from console.money.verdicts import ALL, LOUD_FROM

        if machine in self._machine_limits:
            return (*self._limits.warn_at, ALL), LOUD_FROM
        alarm_usd = self._any_machine_alarm_usd
        if alarm_usd is None or not 0 < alarm_usd < limit_usd:
            return (ALL,), ALL
        share = (alarm_usd / limit_usd).quantize(Decimal("0.0001")).normalize()
        return (share, ALL), share

    async def spent(self) -> list[tuple[str, Spent, Decimal]]:
        """For today and this month: the words, what is spent (set aside included), and the limit."""
        from console.history import books

        limits = self.spans()
        sums = await self._books.run(lambda c: [books.spent(c, limit.since, limit.until) for limit in limits])
        return [(span.when, sum_, limit.limit_usd) for span, sum_, limit in zip(_SPANS, sums, limits, strict=True)]

    def spans(self) -> tuple[Limit, Limit]:
        """This day and this month of the user's calendar, with what each may cost."""
        from console.history.books import Limit

        today = self._clock.now().astimezone(self._zone).date()
        return (
            Limit(begins(today, self._zone), begins(today + timedelta(days=1), self._zone), self._limits.day_usd),
            Limit(*month_of(today, self._zone), self._limits.month_usd),
        )

    async def _allow_unknown(self, what: str, max_cost_usd: Decimal | None, allowed: bool) -> Reservation:
        hint = "Set its price in the settings, or allow it with --allow-unknown-price."
        if max_cost_usd is not None and not allowed:
            raise PriceUnknown(f"The price of {what} is not known, so a cap on its cost cannot be kept.", hint=hint)
        if self._limits.at_limit != "stop":
            return Reservation(self, None, ZERO, (f"The price of {what} is not known; the budget does not see it.",))
        if not allowed:
            raise PriceUnknown(f"The price of {what} is not known, so the budget cannot be kept.", hint=hint)
        for (_, sum_, limit_usd), span, limit in zip(await self.spent(), _SPANS, self.spans(), strict=True):
            if sum_.known_usd >= limit_usd:
                raise self._reached(span, limit, sum_)
        return Reservation(self, None, ZERO)

    async def _settle(self, reservation_id: str | None, entry: LedgerEntry) -> tuple[str, ...]:
        from console.history import books

        limits = self.spans() if entry.cost_usd else ()

        def settle(connection: sqlite3.Connection) -> list[Spent]:
            if reservation_id is not None:
                books.settle(connection, reservation_id)
            books.book(connection, entry)
            return [books.spent(connection, limit.since, limit.until) for limit in limits]

        after = await self._books.run(settle, write=True)
        cost = entry.cost_usd or ZERO
        notices = []
        for span, limit, sum_ in zip(_SPANS, limits, after, strict=False):
            booked = sum_.known_usd - sum_.reserved_usd
            passed = [share for share in self._limits.warn_at if booked - cost < share * limit.limit_usd <= booked]
            if passed:
                notices.append(
                    f"{max(passed) * 100:.0f} % of {span.title.lower()} budget is spent:"
                    f" {usd(booked)} of {usd(limit.limit_usd)} {span.when}."
                )
        return tuple(notices)

    async def _release(self, reservation_id: str) -> None:
        from console.history import books

        await self._books.run(lambda c: books.settle(c, reservation_id), write=True)

    def _reached(self, span: _Span, limit: Limit, sum_: Spent, wanted: str = "") -> BudgetReached:
        booked = sum_.known_usd - sum_.reserved_usd
        aside = f", reserved {usd(sum_.reserved_usd)}" if sum_.reserved_usd else ""
        wanted = f"; {wanted}" if wanted else ""
        return BudgetReached(
            f"{span.title} budget has no room: {usd(booked)} of {usd(limit.limit_usd)} {span.when}{aside}{wanted}.",
            hint=f"Raise {span.setting} under [budget], use a model of your own, or wait until"
            f" {limit.until.astimezone(self._zone):%d %b %H:%M}.",
        )


def _stands(whose: str, when: str, spent_usd: Decimal, limit_usd: Decimal, stop: tuple[str, ...]) -> str:
    share = f"{spent_usd * 100 / limit_usd:.0f} % of" if limit_usd else "All of"
    lower = whose[0].lower() + whose[1:]
    stopping = f" To be stopped: {', '.join(stop)}." if stop else ""
    return f"{share} {lower} is spent: {usd(spent_usd)} of {usd(limit_usd)} {when}.{stopping}"


class _Span:
    __slots__ = ("name", "setting", "title", "when")

    def __init__(self, name: str, title: str, when: str, setting: str) -> None:
        self.name = name
        self.title = title
        self.when = when
        self.setting = setting


_SPANS = (
    _Span("day", "Today's", "today", "day_usd"),
    _Span("month", "The month's", "this month", "month_usd"),
)


def usd(amount: Decimal) -> str:
    """An amount as people read it: cents, and as many more places as a small one needs to be seen."""
    if amount == amount.quantize(Decimal("0.01")) or amount >= 1:
        return f"${amount:.2f}"
    return f"${amount:.6f}".rstrip("0")
