"""Money, seen from outside: caps and budgets refuse with exit code 6, and everything is in the books."""

from __future__ import annotations

from pathlib import Path

import pytest

from providers.simulated.services import FaultKind, SimulatedOpenAI
from tests.flows.kit import Hawser, Services, complaint, endpoint, finish, key_of

PRICE = "price = { input = 2.0, output = 8.0 }"
PROSE = "The rope holds the ship to the pier, whatever the weather. " * 400


def rich(tmp_path: Path, openai: SimulatedOpenAI, day_usd: str, at_limit: str = "stop") -> Hawser:
    budget = f'[budget]\nday_usd = {day_usd}\nat_limit = "{at_limit}"'
    user = Hawser(tmp_path / "rich", env=key_of("paid", openai))
    return user.settings(endpoint("paid", openai, PRICE), budget, model="paid/gpt-4.1")


def test_question_that_costs_more_than_its_cap_is_not_asked(hosted: Hawser, openai: SimulatedOpenAI) -> None:
    done = hosted.ask("a long question " * 200, "--max-cost", "0.0001")

    assert "The question alone costs $0.00" in complaint(done, 6)
    assert not openai.requests
    question, answer = hosted.messages()
    assert question.text.startswith("a long question")
    assert answer.state == "failed"


def test_answer_stops_where_its_cap_is(hosted: Hawser, openai: SimulatedOpenAI, services: Services) -> None:
    openai.answers.queue(PROSE)

    done = hosted.ask("Tell me more", "--max-cost", "0.002", "--json")

    assert complaint(done, 6)
    document = done.json()
    assert document["text"].startswith("The rope holds")
    assert document["finish"] == "failed"
    assert 0.001 < document["cost_usd"]["total"] <= 0.002
    services.until_idle(openai)


def test_answer_within_its_cap_is_left_alone(hosted: Hawser) -> None:
    done = hosted.ask("say 20 tokens", "--max-cost", "0.01")

    assert (done.code, done.err) == (0, "")
    assert done.out.endswith(b"word20 ")


def test_server_that_ignores_the_cap_is_stopped(hosted: Hawser, openai: SimulatedOpenAI, services: Services) -> None:
    openai.answers.queue(PROSE)
    openai.faults.once(FaultKind.ENDLESS)

    done = hosted.ask("Tell me more", "--max-cost", "0.002")

    assert complaint(done, 6)
    services.until_idle(openai)
    assert openai.cancelled_requests == 1
    (entry,) = hosted.ledger()
    assert 0 < float(entry["cost_usd"]) < 0.004


def test_day_without_room_refuses_and_says_the_figures(tmp_path: Path, openai: SimulatedOpenAI) -> None:
    user = rich(tmp_path, openai, "0.001")

    done = user.ask("Hello", "--json")

    sentence = complaint(done, 6)
    assert "$0.001" in sentence
    assert done.json()["error"] == sentence
    assert not openai.requests


def test_spent_money_counts_for_the_next_call(tmp_path: Path, openai: SimulatedOpenAI) -> None:
    user = rich(tmp_path, openai, "0.02")

    first = user.ask("say 1500 tokens")
    second = user.ask("say 1500 tokens")

    assert first.code == 0
    assert first.lines == ["hawser: 50 % of today's budget is spent: $0.012014 of $0.02 today."]
    assert "$0.012014 of $0.02 today" in complaint(second, 6)
    assert len(openai.requests) == 1


def test_budget_that_only_warns_lets_the_call_through(tmp_path: Path, openai: SimulatedOpenAI) -> None:
    done = rich(tmp_path, openai, "0.001", "warn").ask("echo all the same")

    assert (done.code, done.out) == (0, b"all the same")
    assert done.lines == ["hawser: Today's budget does not cover this call: $0.00 of $0.001 today."]


def test_last_dollar_is_not_spent_twice_by_calls_at_the_same_time(
    tmp_path: Path, openai: SimulatedOpenAI, services: Services
) -> None:
    user = rich(tmp_path, openai, "0.02")
    assert user.run("config", "path").code == 0
    openai.faults.always(FaultKind.SLOW, 0.5)

    processes = [user.start("--prompt", f"echo {number}") for number in range(4)]
    codes = sorted(finish(process).code for process in processes)

    assert codes == [0, 6, 6, 6]
    assert len(openai.requests) == 1


def test_model_whose_price_nobody_knows_is_refused_until_allowed(tmp_path: Path) -> None:
    user = Hawser(tmp_path / "far").settings(
        endpoint("far", "http://far.invalid/v1"),
        '[aliases]\nonce = { model = "far/some-model", retries = 0 }',
        model="once",
    )

    unknown = user.ask("Hello")
    capped = user.ask("Hello", "--max-cost", "1")
    allowed = user.ask("Hello", "--allow-unknown-price")

    assert "price of far/some-model is not known" in complaint(unknown, 6)
    assert "--allow-unknown-price" in unknown.lines[-1]
    assert "price of far/some-model is not known" in complaint(capped, 6)
    assert "far.invalid" in complaint(allowed, 4)


@pytest.mark.parametrize(
    "words", [["--max-cost", "much"], ["--max-cost", "-1"], ["--timeout", "0"], ["--max-tokens", "0"]], ids=" ".join
)
def test_limits_that_are_none_are_refused(hosted: Hawser, openai: SimulatedOpenAI, words: list[str]) -> None:
    assert complaint(hosted.ask("Hello", *words), 2)
    assert not openai.requests


def test_books_hold_what_a_failed_call_may_have_cost(hosted: Hawser, openai: SimulatedOpenAI) -> None:
    openai.faults.always(FaultKind.CUT, 50)

    assert hosted.ask("say 100 tokens").code == 4

    (entry,) = hosted.ledger()
    assert (entry["outcome"], entry["estimated"]) == ("failed", 1)
    assert float(entry["cost_usd"]) > 0
    assert float(entry["price_output"]) == 8


def test_cost_command_tells_what_was_spent(hosted: Hawser) -> None:
    assert hosted.ask("say 1000 tokens").code == 0

    by_model = hosted.run("cost", "--by", "model")
    listed = hosted.run("cost", "--by", "model", "--json")

    assert by_model.code == 0
    assert b"gpt-4.1" in by_model.out
    assert b"$0.008" in by_model.out
    assert listed.json()["schema"] == 1
