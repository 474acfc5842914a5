"""What works, what does not, and what to do: one finding per line, each with its remedy unless all is well.

Every check is a function of what it looks at, and none depends on another one's success: with broken settings the
terminal is still looked at, and with no home folder and no network there is still a report.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple, TypeAlias

from console.errors import ConsoleError, Exit, explain

log = logging.getLogger(__name__)

State: TypeAlias = Literal["ok", "info", "warn", "fail"]


class Finding(NamedTuple):
    area: str
    state: State
    text: str
    remedy: str | None = None
    exit_code: Exit = Exit.FAILED
    """What the command ends with when this is the first failure."""


def ok(area: str, text: str) -> Finding:
    return Finding(area, "ok", text)


def info(area: str, text: str, remedy: str | None = None) -> Finding:
    return Finding(area, "info", text, remedy)


def warn(area: str, text: str, remedy: str) -> Finding:
    return Finding(area, "warn", text, remedy)


def fail(area: str, text: str, remedy: str, exit_code: Exit) -> Finding:
    return Finding(area, "fail", text, remedy, exit_code)


def failed_with(area: str, error: BaseException, remedy: str) -> Finding:
    """A failure as the rest of the program would tell it."""
    told = explain(error)
    return fail(area, told.text, told.hint or remedy, told.exit_code)


def carefully(area: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """A check's findings; a check that breaks is a finding too, and the others go on."""
    try:
        yield from check()
    except ConsoleError as error:
        yield failed_with(area, error, "See the message.")
    except Exception as error:  # the outer edge of a check: logged, and told as a finding
        log.error("the check of %s broke", area, exc_info=error)
        yield fail(area, f"The check itself broke: {type(error).__name__}.", "Please report it.", Exit.FAILED)


def exit_code(findings: Iterable[Finding]) -> Exit:
    return next((finding.exit_code for finding in findings if finding.state == "fail"), Exit.DONE)
