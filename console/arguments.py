"""argparse with our manners: a wrong command line is one plain sentence and a hint, like every other error."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any, NoReturn

from console.errors import UsageError


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        sentence = message[:1].upper() + message[1:]
        raise UsageError(
            f"{sentence}." if not sentence.endswith((".", "?")) else sentence, hint=f"See: {self.prog} --help"
        )

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """A word that is no command: argparse would tell of an invalid choice of an argument ACTION."""
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:
            from difflib import get_close_matches

            near = get_close_matches(value, action.choices, 1)
            hint = f"Did you mean: {self.prog} {near[0]}" if near else f"There are {', '.join(action.choices)}."
            raise UsageError(f"There is no {f'{self.prog} {value}'!r}.", hint=hint)
        super()._check_value(action, value)


class LateParser(Parser):
    """The parser of one word of many. What it takes is asked for when that word is used, so that the modules of the
    other words are not loaded."""

    fill: Callable[[argparse.ArgumentParser], None] | None = None
    takes_rest = False
    """Whether all that stands behind `--` is a command, kept as `words`. argparse alone would not find it there once
    an option stands between it and the name before it."""

    _is_parsing = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Options may stand anywhere: before, between and behind the names."""
        if self._is_parsing:
            return super().parse_known_args(args, namespace)
        self.filled()
        if self._subparsers is not None:  # words of its own: argparse cannot mix those with options, and need not
            return super().parse_known_args(args, namespace)
        rest: list[str] = []
        if self.takes_rest and args is not None and "--" in args:
            at = args.index("--")
            args, rest = args[:at], args[at + 1 :]
        self._is_parsing = True
        try:
            found, unknown = self.parse_known_intermixed_args(args, namespace)
        finally:
            self._is_parsing = False
        if rest:
            found.words = [*(getattr(found, "words", None) or ()), *rest]
        return found, unknown

    def filled(self) -> LateParser:
        fill, self.fill = self.fill, None
        if fill is not None:
            fill(self)
        return self


def add_words(
    parser: argparse.ArgumentParser,
    words: Mapping[str, str],
    fill: Callable[[str, argparse.ArgumentParser], None],
) -> None:
    """The words of a command, each with its help; `fill(word, parser)` adds the arguments of the one that is used."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=LateParser)
    for word, told in words.items():
        inner = actions.add_parser(word, help=told, description=told, allow_abbrev=False)
        inner.fill = partial(fill, word)


def show_examples(parser: argparse.ArgumentParser, examples: str) -> None:
    """Command lines with what they do, at the end of the help, as they are written."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"examples:\n{examples}"


def new_parser(program: str, description: str | None = None) -> Parser:
    return Parser(program, description=description, allow_abbrev=False)


def leading_options(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """How many words at the beginning are options of this parser, with their values."""
    options = {option: action for action in parser._actions for option in action.option_strings}
    count = 0
    while count < len(words) and (action := options.get(words[count].partition("=")[0])) is not None:
        count += 1 if action.nargs == 0 or "=" in words[count] else 2
    return min(count, len(words))


def positive_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above zero")
    return seconds


def positive_count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def dollars(text: str) -> Decimal:
    try:
        amount = Decimal(text.removeprefix("$"))
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount of dollars")
    return amount


def name_and_value(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form name=value")
    return name.strip(), value
