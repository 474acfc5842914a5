import io
import json

import pytest

from console.shell import Shell


def shell() -> tuple[Shell, io.StringIO, io.StringIO]:
    out, err = io.StringIO(), io.StringIO()
    return Shell(None, out, err, {}), out, err


def test_figures_stand_right_and_words_left() -> None:
    here, out, _ = shell()

    here.table(("name", "calls", "cost"), [("one", "1", "$0.10"), ("twelve", "12", "≥ $0.02 + 3 unknown")])

    assert out.getvalue().splitlines() == [
        "NAME    CALLS                 COST",
        "one         1                $0.10",
        "twelve     12  ≥ $0.02 + 3 unknown",
    ]


@pytest.mark.parametrize("word", ["01m7wg2hcd", "2026-11-20 12:49", "7B Q4_K_M", "127.0.0.1:8188"])
def test_ids_and_dates_are_words(word: str) -> None:
    here, out, _ = shell()

    here.table(("a long heading", "x"), [(word, "y")])

    assert out.getvalue().splitlines()[1].startswith(word)


def test_nothing_from_outside_reaches_the_terminal_as_it_is() -> None:
    here, out, err = shell()

    here.say("\x1b[2Jsaid")
    here.note("\x07noted")
    here.table(("name",), [("two\nlines\x1b",)])

    assert "\x1b" not in out.getvalue()
    assert "\x07" not in err.getvalue()
    assert "two lines␛" in out.getvalue()


def test_a_list_for_scripts_carries_its_schema() -> None:
    here, out, _ = shell()

    here.items([{"name": "é"}])

    assert json.loads(out.getvalue()) == {"schema": 1, "items": [{"name": "é"}]}


def test_without_a_terminal_nothing_is_confirmed() -> None:
    here, _, _ = shell()

    assert not here.confirm("Remove it?")
