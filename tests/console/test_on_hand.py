"""Every name that can be chosen: what is known without asking, what asking changes, and what a typed name means."""

from __future__ import annotations

from contextlib import aclosing
from decimal import Decimal
from pathlib import Path

import pytest

from console.chat.on_hand import Listing, ModelsOnHand
from console.errors import NoModel
from console.history import machines
from console.links.connector import LoginManners, Nobody
from console.links.identity import Target
from providers.clouds.base import Bills, State
from providers.simulated.machine import SimulatedMachine
from providers.simulated.services import SimulatedAnthropic, SimulatedOllama, SimulatedOpenAI
from tests.conftest import run
from tests.console.desk_kit import asked, box, place
from tests.console.money_kit import reading, record

ALIASES = '[aliases]\n"gpt-4" = ["box/qwen3:8b", "hosted/gpt-4.1"]\n'


class Trusting(Nobody):
    """Says yes to every machine."""

    async def accept_host_key(self, target: Target, fingerprint: str) -> bool:
        return True

    def can_answer(self) -> bool:
        return True


async def refreshed(on_hand: ModelsOnHand, *, connect: bool = False) -> list[str]:
    async with aclosing(on_hand.refresh(connect=connect)) as answers:
        return [name async for name in answers]


def standings(listing: Listing) -> dict[str, str]:
    return {name: group.standing for name, group in listing.groups.items()}


def test_the_list_is_there_without_asking_and_asking_fills_it(tmp_path: Path) -> None:
    async def body() -> None:
        services = box(), SimulatedOpenAI("hosted"), SimulatedAnthropic("claude")
        async with place(tmp_path, *services, settings=ALIASES, prices=["hosted", "claude"]) as here:
            on_hand = await here.runtime.on_hand()
            first = await on_hand.listed()
            assert [row.name for row in first.rows] == ["gpt-4", "code", "general", "quick", "auto"]
            assert standings(first) == {
                "box": "unknown", "hosted": "unknown", "claude": "unknown", "aliases and routes": "ready",
            }  # fmt: skip
            assert [service.requests for service in services] == [[], [], []]

            answered = await refreshed(on_hand)
            listing = await on_hand.listed()

            assert sorted(answered) == ["box", "claude", "hosted"]
            kinds = list(dict.fromkeys((row.group, row.kind) for row in listing.rows))
            assert kinds == [
                ("box", "here"),
                ("hosted", "hosted"),
                ("claude", "hosted"),
                ("aliases and routes", "name"),
            ]
            assert listing.rows[-5].leads_to == "box/qwen3:8b → hosted/gpt-4.1"
            paid, free = listing.find("hosted/gpt-4.1"), listing.find("box/qwen3:8b")
            assert paid is not None
            assert free is not None
            assert (paid.price_input_usd_per_million, paid.price_output_usd_per_million) == (Decimal(2), Decimal(8))
            assert (paid.sees_images, free.sees_images) == (True, False)
            assert (free.parameters, free.size_bytes is not None, free.context_tokens) == ("8.2B", True, 40960)
            assert not [row.name for row in listing.rows if "embed" in row.name]

            # A later process knows it from the store, without asking.
        for service in services:
            service.requests.clear()
        async with place(tmp_path, *services, settings=ALIASES, prices=["hosted", "claude"]) as later:
            again = await (await later.runtime.on_hand()).listed()
            assert [row.name for row in again.rows] == [row.name for row in listing.rows]
            assert set(standings(again).values()) == {"ready"}
            assert [service.requests for service in services] == [[], [], []]

    run(body())


def test_what_is_in_memory_is_told_and_forgotten_with_the_endpoint(tmp_path: Path) -> None:
    async def body() -> None:
        ollama, other = box(), SimulatedOllama("other")
        async with place(tmp_path, ollama, other) as here:
            await asked(here.desk.new(), "echo aye")
            on_hand = await here.runtime.on_hand()
            await refreshed(on_hand)
            listing = await on_hand.listed()
            assert {row.name for row in listing.rows if row.standing == "loaded"} == {"box/llama3.1:8b"}
            assert listing.lately == ("box/llama3.1:8b",)

            await ollama.close_door()
            assert sorted(await refreshed(on_hand)) == ["box", "other"]
            listing = await on_hand.listed()

            assert standings(listing)["box"] == "silent"
            assert standings(listing)["other"] == "ready"
            assert listing.groups["box"].why_silent
            assert listing.groups["box"].since is not None
            assert {row.standing for row in listing.rows if row.group == "box"} == {"silent"}

    run(body())


def test_each_answer_is_told_as_it_comes_and_none_waits_for_another(tmp_path: Path) -> None:
    async def body() -> None:
        quick, slow = box(), SimulatedOllama("slow")
        async with place(tmp_path, quick, slow) as here:
            await slow.close_door()
            on_hand = await here.runtime.on_hand()
            began: list[bool] = []
            async with aclosing(on_hand.refresh(began=lambda: began.append(True))) as answers:
                async for _ in answers:
                    assert began == [True]
                    break
                asking = {name for name, each in (await on_hand.listed()).groups.items() if each.is_being_asked}
                assert len(asking) <= 1
            assert not any(each.is_being_asked for each in (await on_hand.listed()).groups.values())

    run(body())


def test_a_machine_is_connected_only_when_that_is_asked_for(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box()
        async with ollama, SimulatedMachine("gpubox", services={11434: ("127.0.0.1", ollama.port)}) as machine:
            settings = (
                f'[machines.gpubox]\ncloud = "ssh"\nhost = "{machine.user}@127.0.0.1:{machine.port}"\n'
                f'key_file = "{machine.key_file}"\nservices = ["ollama"]\nmodels = ["qwen3:8b"]\n'
            )
            async with place(tmp_path, settings=settings) as here:
                here.runtime.login_manners = lambda: LoginManners(Trusting())
                on_hand = await here.runtime.on_hand()
                listing = await on_hand.listed()
                row = listing.find("gpubox/qwen3:8b")
                assert row is not None
                assert (row.kind, row.standing) == ("machine", "apart")
                assert await refreshed(on_hand) == []
                assert ollama.requests == []

                assert await refreshed(on_hand, connect=True) == ["gpubox"]
                listing = await on_hand.listed()
                assert listing.groups["gpubox"].standing == "ready"
                assert len([row for row in listing.rows if row.group == "gpubox"]) > 3

    run(body())


def test_a_machine_that_is_off_is_left_off(tmp_path: Path) -> None:
    async def body() -> None:
        settings = '[machines.gpu1]\ncloud = "vast"\n'
        settings += 'gpu = "RTX 4090"\nrecipe = "inference"\nmodels = ["qwen3:8b"]\n'
        async with place(tmp_path, settings=settings) as here:
            store = await here.store()
            off = record(cloud="vast", reading=reading(Bills.DISK)._replace(state=State.STOPPED))
            await store.run(lambda c: machines.add(c, off), write=True)
            on_hand = await here.runtime.on_hand()

            assert await refreshed(on_hand, connect=True) == []
            listing = await on_hand.listed()

            row = listing.find("gpu1/qwen3:8b")
            assert row is not None
            assert row.standing == "off"
            outlook = listing.groups["gpu1"].outlook
            assert outlook is not None
            assert "the first question starts it" in outlook.sentence("gpu1")

    run(body())


def test_a_typed_name_is_found_or_the_near_ones_are_told(tmp_path: Path) -> None:
    async def body() -> None:
        services = box(), SimulatedOllama("other", installed=["phi3:latest", "qwen3:8b"]), SimulatedOpenAI("hosted")
        async with place(tmp_path, *services, settings=ALIASES) as here:
            await services[2].close_door()
            on_hand = await here.runtime.on_hand()

            assert await on_hand.resolve("gpt-4") == ("gpt-4", "")
            assert await on_hand.resolve("llama3.1:8b") == ("box/llama3.1:8b", "")
            assert await on_hand.resolve("other/phi3") == ("other/phi3:latest", "")
            name, note = await on_hand.resolve("hosted/gpt-9")
            assert name == "hosted/gpt-9"
            assert "has not said whether it has gpt-9" in note

            for typed, text, hint in (
                ("box/lama3.1:8b", "box has no model 'lama3.1:8b'", "box/llama3.1:8b"),
                ("qwen3:8b", "is on 2 endpoints", "box/qwen3:8b or other/qwen3:8b"),
                ("mistal:7b", "is on no endpoint", "box/mistral:7b"),
                ("coder", "is on no endpoint", "box/qwen2.5-coder:7b"),
                ("box", "is on no endpoint", "box/"),
                ("box/", "the name of a model is missing", "box/"),
            ):
                with pytest.raises(NoModel, match=text) as caught:
                    await on_hand.resolve(typed)
                assert hint in (caught.value.hint or ""), (typed, caught.value.hint)

    run(body())


def test_who_answers_decides_which_parameters_there_are(tmp_path: Path) -> None:
    async def body() -> None:
        services = box(), SimulatedAnthropic("claude")
        settings = f'{ALIASES}"claude/x" = ["claude/claude-sonnet-4-5"]\n[endpoints.far]\nwire = "openai"\n'
        settings += 'base_url = "https://far.example/v1"\nmodels = ["big"]\n'
        async with place(tmp_path, *services, settings=settings) as here:
            on_hand = await here.runtime.on_hand()
            await refreshed(on_hand)
            await on_hand.listed()

            told = {
                name: on_hand.backend_of(name)
                for name in ("box/qwen3:8b", "claude/claude-sonnet-4-5", "far/big", "big", "gpt-4", "auto", "claude/x")
            }
            assert list(told.values()) == ["ollama", "anthropic", "openai", "openai", None, None, None]
            assert on_hand.backend_of(None) == "ollama"  # the model of the settings
            assert on_hand.backend_of("nobody knows this") is None

    run(body())
