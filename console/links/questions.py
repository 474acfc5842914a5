"""What a machine asks a person during a login: a code, a password, or whatever it thinks of (keyboard-interactive).

The words come from the machine, so they are cut and made harmless before anybody sees them. The answers go to the
machine and nowhere else: they are not kept, not logged, and asked for again at the next login. A login that somebody
was asked in and that failed is not tried again soon, whatever it failed of: who is asked again and again learns to type
codes without looking.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from console.errors import LinkError, LinkUnreachable, LoginRefused
from console.text import neutralise, shorten

if TYPE_CHECKING:
    from console.links.credentials import Keychain
    from console.links.identity import Target

MayAsk: TypeAlias = Callable[[str], bool]
"""Told the question before a person is; false where another login to the same machine is asking already."""

ANSWER_LIMIT_S = 110.0
"""How long an answer may take: OpenSSH ends a login after two minutes."""
MOST_TRIES = 3
MOST_CHALLENGES = 12
MOST_PROMPTS = 8
MOST_LINES = 12
LONGEST_LINE = 300


class Prompt(NamedTuple):
    text: str
    is_shown: bool
    """Whether what is typed may be seen."""


class Challenge(NamedTuple):
    """What a machine says, and what it wants answered. Without prompts it only wants its lines to be read."""

    lines: tuple[str, ...]
    prompts: tuple[Prompt, ...]

    @classmethod
    def from_server(cls, title: str, instruction: str, prompts: Sequence[tuple[str, bool]]) -> Challenge:
        said = [_one_line(line) for line in f"{title}\n{instruction}"[: LONGEST_LINE * MOST_LINES].splitlines()]
        lines = tuple(line for line in said if line)[:MOST_LINES]
        return cls(lines, tuple(Prompt(_one_line(text) or "Answer:", is_shown) for text, is_shown in prompts))

    @property
    def question(self) -> str:
        """It in one line."""
        return " ".join(prompt.text for prompt in self.prompts) or " ".join(self.lines)


def _one_line(text: str) -> str:
    return shorten(neutralise(text[: LONGEST_LINE * 4]), LONGEST_LINE)


PASSWORD = Challenge((), (Prompt("Password:", is_shown=False),))


class Interview:
    """The questions of one login. The methods are called by asyncssh as the login goes on.

    Nobody is asked while keys may still do: before the last attempt, only when the machine wants no further key.
    """

    def __init__(self, target: Target, keychain: Keychain, *, is_last: bool, may_ask: MayAsk | None) -> None:
        self.target = target
        self.wants: str | None = None
        """What it takes beside a key, or in place of one; None as long as it was not said."""
        self.takes_keys = False
        """Whether it would have taken a further key."""
        self.was_asked = False
        """Whether a question was put to a person."""
        self.limit: asyncio.Timeout | None = None
        """The time limit of the login, which stands still meanwhile."""
        self._keychain = keychain
        self._is_last = is_last
        self._may_ask = may_ask
        self._tries = 0
        self._challenges = 0
        self._is_over = False
        self._trouble: LinkError | None = None

    @property
    def has_begun(self) -> bool:
        """Whether it came to questions at all, so that keys have had their turn."""
        return self._tries > 0

    def keys_are_used_up(self) -> None:
        self.takes_keys = True

    def begin_keyboard(self) -> str | None:
        """Whether to let it ask. Where nobody can answer it is not begun: that alone may ring somebody's telephone."""
        return "" if self._begin("an answer at the keyboard, such as a code") else None

    async def challenge(self, title: str, instruction: str, prompts: Sequence[tuple[str, bool]]) -> list[str] | None:
        self._challenges += 1
        if len(prompts) > MOST_PROMPTS or self._challenges > MOST_CHALLENGES:
            self._give_up(LoginRefused(f"{self.target.name!r} asks too many questions at its login."))
            return None
        challenge = Challenge.from_server(title, instruction, prompts)
        if not challenge.prompts and not challenge.lines:
            return []
        answers = await self._ask(challenge)
        return None if answers is None else list(answers)

    async def password(self) -> str | None:
        if not self._begin("a password"):
            return None
        answers = await self._ask(PASSWORD)
        return None if answers is None else answers[0]

    def password_has_expired(self) -> None:
        self._give_up(
            LoginRefused(
                f"{self.target.name!r} wants the password of {self.target.user!r} to be changed.",
                hint=f"Do it by hand: ssh -p {self.target.port} {self.target.user}@{self.target.host}",
            )
        )

    # How it failed

    def refusal(self, who: str) -> LinkError | None:
        """Why the login was refused, where that was not for want of a key."""
        if self._trouble is not None:
            return self._trouble
        if self.wants is None:
            return None
        user = self.target.user
        if self._tries:
            return LoginRefused(f"{who} does not accept what was answered for the user {user!r}.", hint=_AGAIN)
        if not self._keychain.can_answer():
            how = f"accepts no key of ours for the user {user!r}; it would take {self.wants}"
            if not self.takes_keys:
                how = f"wants {self.wants} to let the user {user!r} in"
            return LoginRefused(f"{who} {how}, and there is nobody to ask.", hint=_NOBODY)
        return None

    def failure(self, who: str, error: LinkError) -> LinkError:
        """An error after a question, as what it means: another attempt would ask again."""
        if self._trouble is not None:
            return self._trouble
        if not self.was_asked or error.is_permanent:
            return error
        return LoginRefused(f"{who} ended the login in which it asked. {error.text}", hint=_AGAIN)

    # Inside

    def _begin(self, wants: str) -> bool:
        if self.takes_keys and self.target.fleet_key:
            return False  # a machine we rent has no password of ours; it is not ready to know our key
        self.wants = self.wants or wants
        if self._is_over or (self.takes_keys and not self._is_last) or not self._keychain.can_answer():
            return False
        if self._tries == MOST_TRIES:
            return False
        self._tries += 1
        return True

    def _give_up(self, trouble: LinkError) -> None:
        self._is_over = True
        self._trouble = self._trouble or trouble

    async def _ask(self, challenge: Challenge) -> Sequence[str] | None:
        name = self.target.name
        if not self.was_asked and self._may_ask is not None and not self._may_ask(challenge.question):
            self._give_up(LinkUnreachable(f"Another login to {name!r} is waiting for an answer."))
            return None
        self.was_asked = True
        self._set_limit(None)
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S), self._keychain.one_at_a_time:
                answers = await self._keychain.answers(self.target, challenge)
        except TimeoutError:
            answers = None
        finally:
            self._go_on()
        if answers is None:
            asked = f"{name!r} asks for {challenge.question!r}" if challenge.prompts else f"{name!r} says something"
            self._give_up(LoginRefused(f"{asked} to let the user {self.target.user!r} in, and nobody answered."))
        return answers

    def _go_on(self) -> None:
        from console.links.login import LIMIT_S

        self._set_limit(asyncio.get_running_loop().time() + LIMIT_S)

    def _set_limit(self, when: float | None) -> None:
        if self.limit is not None:
            with contextlib.suppress(RuntimeError):  # the login is over already
                self.limit.reschedule(when)


_AGAIN = "It is asked again after a while, or at once when you press Enter in `hawser link up`."
_NOBODY = "Log in from a terminal, or let a key be enough there."
