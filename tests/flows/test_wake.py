"""A prompt to a machine that is off: it is rented or started once, made useful, asked, and paid for; or it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from providers.simulated.clouds.faults import Call, CloudFaultKind
from providers.simulated.clouds.rental import Phase
from providers.simulated.services import SimulatedOllama
from tests.flows.cloud_kit import account, cloud, keys, only, phase, rentals, renter
from tests.flows.kit import Hawser, Services, complaint, endpoint, finish

ASK = ("--prompt", "echo hello", "-m", "gpu1/qwen3:8b")


@pytest.mark.parametrize("name", ["vast", "runpod", "tensordock", "lambda"])
def test_a_prompt_rents_the_machine_makes_it_useful_and_is_answered(
    tmp_path: Path, services: Services, name: str
) -> None:
    gpu = {"lambda": 'gpu = "A10"'}.get(name)
    with cloud(services, name) as twin:
        user = renter(tmp_path / "user", twin, lines=('at_end = "destroy"',))
        if gpu is not None:
            user.config_file.write_text(user.config_file.read_text().replace('gpu = "RTX 4090"', gpu))

        done = user.run(*ASK, "--json", limit_s=50)

        assert done.code == 0, done.err
        answer = done.json()
        assert (answer["text"], answer["machine"], answer["endpoint"]) == ("hello", "gpu1", "gpu1")
        assert answer["timings_ms"]["wake"] > 500
        assert answer["cost_usd"]["tokens"] == 0
        assert 0 < answer["cost_usd"]["gpu"] < 0.05
        assert answer["cost_usd"]["total"] == answer["cost_usd"]["gpu"]
        assert "Renting" in done.err
        assert "Fetching qwen3:8b on gpu1" in done.err
        assert "gpu1 stays on" in done.err
        assert only(twin).phase is Phase.RUNNING

        again = user.run(*ASK, "--json")
        assert again.json()["text"] == "hello"
        assert "Renting" not in again.err
        assert again.json()["timings_ms"]["wake"] < 5000
        assert len(twin.rentals) == 1


def test_then_stop_ends_what_the_prompt_began_and_the_next_prompt_starts_it_again(
    tmp_path: Path, services: Services
) -> None:
    with cloud(services) as twin:
        user = renter(tmp_path / "user", twin)

        first = user.run(*ASK, "--then", "stop", limit_s=50)
        assert (first.code, first.out) == (0, b"hello"), first.err
        assert "gpu1 is stopped; its disk goes on" in first.err
        assert phase(services, twin) is Phase.STOPPED

        second = user.run(*ASK, limit_s=50)
        assert (second.code, second.out) == (0, b"hello"), second.err
        assert "Starting gpu1." in second.err
        assert "Fetching" not in second.err  # its disk kept the model
        assert len(twin.rentals) == 1


def test_then_stop_also_ends_a_machine_that_never_answered(tmp_path: Path, services: Services) -> None:
    with cloud(services) as twin:
        user = renter(tmp_path / "user", twin)
        user.config_file.write_text(user.config_file.read_text().replace("qwen3:8b", "no-such-model:1b"))

        done = user.run("--prompt", "echo hello", "-m", "gpu1/no-such-model:1b", "--then", "stop", limit_s=50)

        assert done.code != 0
        assert done.out == b""
        assert "gpu1 is stopped" in done.err
        assert phase(services, twin) is Phase.STOPPED


def test_ten_prompts_at_once_make_one_machine(tmp_path: Path, services: Services) -> None:
    with cloud(services) as twin:
        user = renter(tmp_path / "user", twin)
        processes = [user.start(*ASK) for _ in range(5)]

        ends = [finish(process, limit_s=50) for process in processes]

        assert [end.out for end in ends if end.code == 0] == [b"hello"] * len([end for end in ends if end.code == 0])
        assert [end.code for end in ends] == [0] * 5, [end.err for end in ends if end.code]
        assert len(twin.rentals) == 1


@pytest.mark.parametrize(
    ("lines", "words", "code"),
    [
        (("[lease]", "wake = false"), "prompts may not start machines", 8),
        (("[lease]", "wakes_per_day = 0"), "0 times today, of 0", 8),
        (("[budget]", "day_usd = 0.01"), "budget has no room", 6),
    ],
)
def test_limits_keep_a_machine_off(
    tmp_path: Path, services: Services, lines: tuple[str, ...], words: str, code: int
) -> None:
    with cloud(services) as twin:
        user = renter(tmp_path / "user", twin)
        written = user.config_file.read_text()
        if lines[0] == "[budget]":
            written = written.replace("day_usd = 50", lines[1])
        else:
            written += "\n".join(lines) + "\n"
        user.config_file.write_text(written)

        done = user.run(*ASK)

        assert done.code == code, done.err
        assert words in done.err
        assert rentals(twin) == []


def test_no_wake_leaves_it_off(tmp_path: Path, services: Services) -> None:
    with cloud(services) as twin:
        done = renter(tmp_path / "user", twin).run(*ASK, "--no-wake")

        assert "'gpu1' is off, and --no-wake leaves it so." in complaint(done, 8)
        assert rentals(twin) == []


def test_a_ceiling_nobody_offers_rents_nothing(tmp_path: Path, services: Services) -> None:
    with cloud(services) as twin:
        done = renter(tmp_path / "user", twin, lines=("max_price_usd_per_hour = 0.01",)).run(*ASK)

        assert done.code == 8, done.err
        assert "has no offer for 1 × RTX 4090 at $0.01/h or less" in done.err
        assert rentals(twin) == []


def test_a_cloud_that_cannot_stop_wants_destroy_confirmed(tmp_path: Path, services: Services) -> None:
    with cloud(services, "lambda") as twin:
        user = renter(tmp_path / "user", twin)
        user.config_file.write_text(user.config_file.read_text().replace("RTX 4090", "A10"))

        done = user.run(*ASK)

        assert done.code == 8, done.err
        assert "cannot stop machines" in done.err
        assert 'at_end = "destroy"' in done.err
        assert rentals(twin) == []


def test_a_chain_goes_on_where_the_machine_is_not_to_be_had(
    tmp_path: Path, services: Services, ollama: SimulatedOllama
) -> None:
    with cloud(services, stock=0) as twin:
        chain = '[aliases]\nbest = ["gpu1/qwen3:8b", "inference/llama3.1:8b"]'
        user = renter(tmp_path / "user", twin, endpoint("inference", ollama), chain)

        done = user.run("--prompt", "echo hello", "-m", "best", "--json")

        assert done.code == 0, done.err
        answer = done.json()
        assert (answer["text"], answer["endpoint"]) == ("hello", "inference")
        assert [tried["outcome"] for tried in answer["tried"]] == ["failed", "answered"]
        assert rentals(twin) == []


def test_a_lost_answer_to_the_order_makes_no_second_machine(tmp_path: Path, services: Services) -> None:
    with cloud(services) as twin:
        twin.faults.once(CloudFaultKind.LOSE_ANSWER, on=Call.CREATE)
        user = renter(tmp_path / "user", twin)

        done = user.run(*ASK, limit_s=50)

        assert (done.code, done.out) == (0, b"hello"), done.err
        assert len(twin.rentals) == 1


def test_a_machine_rented_by_command_is_an_endpoint_without_settings(tmp_path: Path, services: Services) -> None:
    with cloud(services) as twin:
        user = renter(tmp_path / "user", twin)
        assert user.run(*ASK, limit_s=50).code == 0
        written = "\n\n".join([account(twin), "[budget]\nday_usd = 50\nmonth_usd = 500"])
        user.config_file.write_text(written + "\n")

        done = user.run(*ASK, "--json")

        assert done.code == 0, done.err
        assert done.json()["machine"] == "gpu1"
        assert "gpu1" in user.run("model", "ls").out.decode()


def test_a_wrong_key_of_the_cloud_is_told_before_anything_is_rented(tmp_path: Path, services: Services) -> None:
    with cloud(services) as twin:
        user = renter(tmp_path / "user", twin)
        user = Hawser(tmp_path / "other", env={**keys(twin), "HAWSER_KEY_VAST": "wrong"}).settings(
            user.config_file.read_text()
        )

        done = user.run(*ASK)

        assert done.code in (3, 8), done.err
        assert "key" in done.err
        assert "wrong" not in done.err
        assert rentals(twin) == []
