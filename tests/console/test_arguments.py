import argparse
from decimal import Decimal

import pytest

from console.arguments import dollars, name_and_value, new_parser, positive_count, positive_seconds
from console.errors import UsageError


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon", ""])
def test_a_time_limit_is_a_number_above_zero(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="seconds"):
        positive_seconds(text)


@pytest.mark.parametrize("text", ["0", "-3", "1.5", "²", "many"])
def test_a_count_is_a_whole_number_above_zero(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="whole number"):
        positive_count(text)


def test_dollars_may_carry_their_sign_and_are_exact() -> None:
    assert dollars("$0.10") == Decimal("0.10")


@pytest.mark.parametrize("text", ["-1", "NaN", "Infinity", "ten"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="amount of dollars"):
        dollars(text)


def test_a_value_may_hold_further_equals_signs() -> None:
    assert name_and_value("stop=a=b") == ("stop", "a=b")


def test_a_wrong_command_line_is_one_sentence_and_a_hint() -> None:
    with pytest.raises(UsageError) as caught:
        new_parser("hawser chat").parse_args(["--nonsense"])

    assert caught.value.text == "Unrecognized arguments: --nonsense."
    assert caught.value.hint == "See: hawser chat --help"
