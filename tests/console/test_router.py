from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from console.chat.breaker import Breakers
from console.chat.catalogue import Catalogue
from console.chat.router import Choice, Router
from console.errors import NoModel, SettingsError, StoreDamaged
from console.history.models_seen import SeenModel
from console.paths import find_paths
from console.settings import Endpoint, Settings, settings_from
from providers.chat.base import ModelInfo
from providers.errors import Unreachable
from tests.conftest import run
from tests.console.scripted import HandClock, ScriptedChat, forever, providers

BOX = '[endpoints.box]\nwire = "ollama"\nbase_url = "http://127.0.0.1:11434"\n'
SPARE = '[endpoints.spare]\nwire = "ollama"\nbase_url = "http://10.0.0.9:11434"\n'
GPUBOX = '[machines.gpubox]\ncloud = "ssh"\nhost = "me@gpu.example"\nservices = ["ollama"]\n'
OPENAI = '[endpoints.openai]\nwire = "openai"\nbase_url = "https://api.openai.com/v1"\n'
DOWN = Unreachable("Nothing answers there.")


class Place:
    """A router over scripted endpoints and a memory of what they had."""

    def __init__(
        self,
        toml: str,
        chats: Mapping[str, ScriptedChat] | None = None,
        *,
        seen: Sequence[tuple[str, str]] = (),
        ask_s: float = 5.0,
        near: Sequence[str] = (),
    ) -> None:
        """Of the endpoints on machines, those in `near` are connected."""
        self.settings: Settings = settings_from(toml, find_paths({"HAWSER_HOME": "/nowhere"}), {}, discover=False)
        self.chats = {name: ScriptedChat() for name in self.settings.endpoints} | dict(chats or {})
        self.seen = [SeenModel(model, endpoint) for endpoint, model in seen]
        self.remembered: dict[str, list[str]] = {}
        self.times_read = 0
        self.breakers = Breakers(HandClock())
        self.router = Router(
            self.settings,
            providers(self.chats),
            Catalogue(self.settings.models),
            breakers=self.breakers,
            seen=self.read,
            remember=self.remember,
            ask_s=ask_s,
            is_near=self.is_near,
        )
        self.near = near

    async def is_near(self, endpoint: Endpoint) -> bool:
        return endpoint.name in self.near

    async def read(self) -> list[SeenModel]:
        self.times_read += 1
        return self.seen

    async def remember(self, endpoint: str, models: Sequence[ModelInfo]) -> None:
        self.remembered[endpoint] = [model.name for model in models]

    def choose(self, name: str | None, prompt: str = "Hello?", **options: Any) -> Choice:
        return run(self.router.choose(name, prompt, **options))

    def refuses(self, name: str | None, prompt: str = "Hello?", **options: Any) -> NoModel:
        with pytest.raises(NoModel) as caught:
            self.choose(name, prompt, **options)
        return caught.value

    @property
    def times_listed(self) -> int:
        return sum(chat.times_listed for chat in self.chats.values())


def names(choice: Choice) -> list[str]:
    return [f"{each.endpoint.name}/{each.model}" for each in choice.candidates]


# endpoint/model


def test_a_model_of_an_endpoint_needs_neither_store_nor_network() -> None:
    place = Place(BOX + OPENAI)

    choice = place.choose("box/qwen3:8b")

    assert names(choice) == ["box/qwen3:8b"]
    assert not choice.falls_back
    assert place.times_read == 0
    assert place.times_listed == 0


def test_only_the_first_slash_splits_and_only_behind_a_known_endpoint() -> None:
    place = Place(BOX + OPENAI, seen=[("openai", "Qwen/Qwen3-8B")])

    assert names(place.choose("box/hf.co/bartowski/Qwen3-8B-GGUF")) == ["box/hf.co/bartowski/Qwen3-8B-GGUF"]
    assert names(place.choose("Qwen/Qwen3-8B")) == ["openai/Qwen/Qwen3-8B"]


@pytest.mark.parametrize("name", ["box", "box/"])
def test_an_endpoint_without_a_model_is_no_model(name: str) -> None:
    assert "'box' is an endpoint" in Place(BOX).refuses(name).text


def test_the_breaker_never_keeps_a_named_endpoint_from_being_asked() -> None:
    place = Place(BOX)
    for _ in range(3):
        run(place.breakers.failed("box", DOWN))

    choice = place.choose("box/qwen3:8b")

    assert names(choice) == ["box/qwen3:8b"]
    assert choice.notes == ()


# The order in which a name is understood


def test_an_alias_goes_before_a_route_an_endpoint_and_a_model() -> None:
    aliases = '[aliases]\ncode = "box/a"\n"box/x" = "box/b"\n"qwen3:8b" = "box/c"\n'
    place = Place(BOX + aliases, seen=[("box", "qwen3:8b")])

    assert [names(place.choose(name)) for name in ("code", "box/x", "qwen3:8b")] == [["box/a"], ["box/b"], ["box/c"]]


def test_an_alias_is_a_chain_with_the_settings_of_each_entry() -> None:
    toml = (
        BOX
        + OPENAI
        + ('[aliases]\n"gpt-4" = [{model = "box/q", timeout = 30, max_tokens = 900, retries = 0}, "openai/gpt-4.1"]\n')
    )

    choice = Place(toml).choose("gpt-4")

    first, second = choice.candidates
    assert names(choice) == ["box/q", "openai/gpt-4.1"]
    assert (first.timeout_s, first.max_tokens, first.retries) == (30, 900, 0)
    assert (second.timeout_s, second.max_tokens, second.retries) == (None, None, 2)
    assert choice.falls_back
    assert choice.reason == "alias gpt-4 → box/q"


def test_without_fallback_only_the_first_of_a_chain_is_left() -> None:
    toml = BOX + OPENAI + '[aliases]\ntwo = ["box/a", "openai/b"]\n'
    place = Place(toml)
    for _ in range(3):
        run(place.breakers.failed("box", DOWN))

    choice = place.choose("two", allow_fallback=False)

    assert names(choice) == ["box/a"]
    assert not choice.falls_back


def test_a_route_goes_before_a_model_of_its_name() -> None:
    place = Place(BOX + '[routes]\nquick = "box/phi3"\n', seen=[("box", "quick")])

    assert names(place.choose("quick")) == ["box/phi3"]


def test_chains_may_refer_to_chains() -> None:
    toml = (
        BOX
        + OPENAI
        + (
            '[aliases]\nbest = [{model = "mine", timeout = 9}, "openai/gpt-4.1", "box/a"]\n'
            'mine = ["box/a", {model = "box/b", timeout = 4}]\n'
        )
    )

    choice = Place(toml).choose("best")

    assert names(choice) == ["box/a", "box/b", "openai/gpt-4.1"]
    assert [each.timeout_s for each in choice.candidates] == [9, 4, None]


@pytest.mark.parametrize(
    ("aliases", "name", "circle"),
    [
        ('a = "a"', "a", "a → a"),
        ('a = "b"\nb = "c"\nc = "a"', "a", "a → b → c → a"),
        ('x = "a"\na = ["box/m", "b"]\nb = "a"', "x", "a → b → a"),
    ],
)
def test_a_chain_in_a_circle_is_shown(aliases: str, name: str, circle: str) -> None:
    with pytest.raises(SettingsError, match=circle):
        Place(f"{BOX}[aliases]\n{aliases}\n").choose(name)


# A model's name alone


def test_a_model_that_settings_list_is_found_without_asking() -> None:
    place = Place(BOX + OPENAI + 'models = ["gpt-4.1"]\n')

    choice = place.choose("gpt-4.1")

    assert names(choice) == ["openai/gpt-4.1"]
    assert choice.reason == "gpt-4.1 is on openai only"
    assert place.times_listed == 0


def test_a_model_seen_before_is_found_without_asking() -> None:
    place = Place(BOX + OPENAI, seen=[("box", "qwen3:8b"), ("gone", "qwen3:8b")])

    assert names(place.choose("qwen3:8b")) == ["box/qwen3:8b"]
    assert place.times_listed == 0


def test_a_bare_name_stands_for_the_latest_tag() -> None:
    assert names(Place(BOX, seen=[("box", "llava:latest")]).choose("llava")) == ["box/llava:latest"]


def test_an_unknown_model_is_asked_for_everywhere_and_remembered() -> None:
    chats = {"box": ScriptedChat(models=["qwen3:8b"]), "openai": ScriptedChat(models=["gpt-4.1"])}
    place = Place(BOX + OPENAI, chats)

    assert names(place.choose("gpt-4.1")) == ["openai/gpt-4.1"]
    assert place.remembered == {"box": ["qwen3:8b"], "openai": ["gpt-4.1"]}


def test_a_list_in_the_settings_is_all_that_an_endpoint_offers() -> None:
    chats = {"box": ScriptedChat(models=["hidden"])}
    place = Place(f'{BOX}models = ["shown"]\n', chats, seen=[("box", "hidden")])

    place.refuses("hidden")

    assert place.times_listed == 0


def test_a_model_on_two_endpoints_must_be_told_apart() -> None:
    error = Place(BOX + SPARE, seen=[("box", "qwen3:8b"), ("spare", "qwen3:8b")]).refuses("qwen3:8b")

    assert error.hint == "Say which: box/qwen3:8b or spare/qwen3:8b."


def test_a_slow_endpoint_does_not_hold_up_the_others() -> None:
    slow = ScriptedChat(models=["x"])
    slow.list_delay = forever
    place = Place(BOX + SPARE, {"box": ScriptedChat(models=["qwen3:8b"]), "spare": slow}, ask_s=0.03)

    assert names(place.choose("qwen3:8b")) == ["box/qwen3:8b"]


def test_endpoints_are_asked_at_the_same_time() -> None:
    together = asyncio.Barrier(2)

    async def meet() -> None:
        await together.wait()

    chats = {"box": ScriptedChat(models=["qwen3:8b"]), "spare": ScriptedChat(models=["phi3"])}
    for chat in chats.values():
        chat.list_delay = meet

    assert names(Place(BOX + SPARE, chats).choose("phi3")) == ["spare/phi3"]


def test_a_typing_error_is_answered_with_the_nearest_names() -> None:
    error = Place(BOX, {"box": ScriptedChat(models=["qwen3:8b", "llava:7b"])}).refuses("qwen3:8")

    assert "qwen3:8b" in (error.hint or "")
    assert "llava" not in (error.hint or "")


def test_who_did_not_answer_is_said() -> None:
    error = Place(BOX, {"box": ScriptedChat(models=DOWN)}).refuses("qwen3:8b")

    assert "box did not say what it has: Nothing answers there." in (error.hint or "")


def test_an_endpoint_that_is_down_again_and_again_is_not_asked_for_its_models() -> None:
    chats = {"box": ScriptedChat(models=DOWN), "spare": ScriptedChat(models=["phi3"])}
    place = Place(BOX + SPARE, chats)
    for _ in range(4):
        place.refuses("nothing-like-it")

    assert chats["box"].times_listed == 3
    assert chats["spare"].times_listed == 4


def test_a_store_that_cannot_be_read_is_no_reason_to_fail() -> None:
    place = Place(BOX, {"box": ScriptedChat(models=["qwen3:8b"])})

    async def damaged() -> Sequence[SeenModel]:
        raise StoreDamaged("Not a database.")

    router = Router(place.settings, providers(place.chats), Catalogue(), seen=damaged)

    assert names(run(router.choose("qwen3:8b", "Hello?"))) == ["box/qwen3:8b"]


# No name


def test_without_a_name_the_settings_decide() -> None:
    choice = Place(f'{BOX}[chat]\nmodel = "box/phi3"\n').choose(None)

    assert names(choice) == ["box/phi3"]
    assert choice.reason.startswith("the model of [chat]")


def test_without_a_name_the_first_chat_model_of_the_only_endpoint_answers() -> None:
    place = Place(BOX, {"box": ScriptedChat(models=["nomic-embed-text:latest", "phi3:mini", "llava:7b"])})

    choice = place.choose(None)

    assert names(choice) == ["box/phi3:mini"]
    assert "the only endpoint" in choice.reason


def test_without_a_name_and_with_several_endpoints_the_choices_are_named() -> None:
    error = Place(BOX + OPENAI, seen=[("box", "phi3"), ("openai", "gpt-4.1")]).refuses(None)

    assert "box/phi3, openai/gpt-4.1" in (error.hint or "")


def test_without_any_endpoint_the_ways_to_one_are_named() -> None:
    assert "OPENAI_API_KEY" in (Place("").refuses(None).hint or "")


def test_an_only_endpoint_that_is_down_is_named() -> None:
    error = Place(BOX, {"box": ScriptedChat(models=DOWN)}).refuses(None)

    assert "Nothing answers there." in (error.hint or "")


# Routes


def test_shipped_routes_find_their_models() -> None:
    seen = [("box", "mistral:7b"), ("box", "llama3.1:8b"), ("box", "deepseek-coder-v2:latest")]
    place = Place(BOX, seen=seen)

    chosen = [names(place.choose(route))[0] for route in ("code", "general", "quick")]

    assert chosen == ["box/deepseek-coder-v2:latest", "box/llama3.1:8b", "box/mistral:7b"]


def test_auto_takes_the_route_that_the_prompt_asks_for_and_says_why() -> None:
    place = Place(BOX, seen=[("box", "deepseek-coder-v2"), ("box", "llama3.1:8b"), ("box", "mistral:7b")])

    choice = place.choose("auto", 'Traceback (most recent call last):\n  File "a.py"\nKeyError: 1\nwhat is wrong?')

    assert names(choice) == ["box/deepseek-coder-v2"]
    assert choice.reason.startswith("route code, because the prompt holds a traceback")


@pytest.mark.parametrize("name", [None, "auto", "general"])
def test_a_marker_at_the_start_wins_and_is_taken_off(name: str | None) -> None:
    place = Place(f'{BOX}[routes]\ncode = "box/coder"\ngeneral = "box/talker"\n')

    choice = place.choose(name, "@code what is a list?")

    assert names(choice) == ["box/coder"]
    assert choice.prompt == "what is a list?"


@pytest.mark.parametrize("prompt", ["@codex what?", "@dataclass\nclass A: ...", "mail a@code now", "@"])
def test_what_only_looks_like_a_marker_stays(prompt: str) -> None:
    place = Place(f'{BOX}[chat]\nmodel = "box/phi3"\n')

    assert place.choose(None, prompt).prompt == prompt


def test_a_model_that_was_named_gets_the_prompt_as_it_is() -> None:
    assert Place(BOX).choose("box/phi3", "@code hello").prompt == "@code hello"


def test_a_missing_model_of_a_route_falls_to_the_nearest_of_its_role_and_says_so() -> None:
    seen = [("box", name) for name in ("llama3.1:8b", "codellama:34b", "qwen2.5-coder:14b", "nomic-embed-text")]

    choice = Place(BOX, seen=seen).choose("code")

    assert names(choice) == ["box/qwen2.5-coder:14b"]
    assert choice.notes == (
        "deepseek-coder-v2 is on no endpoint; box/qwen2.5-coder:14b answers, the nearest that is there.",
    )


def test_the_same_model_under_another_name_is_the_nearest() -> None:
    choice = Place(OPENAI, seen=[("openai", "qwen3:8b"), ("openai", "meta-llama/Llama-3.1-8B-Instruct")]).choose(
        "general"
    )

    assert names(choice) == ["openai/meta-llama/Llama-3.1-8B-Instruct"]
    assert "the same model by another name" in choice.notes[0]


def test_what_costs_nothing_stands_in_before_what_is_paid() -> None:
    seen = [("openai", "gpt-5-codex"), ("box", "some-model-of-my-own")]

    assert names(Place(BOX + OPENAI, seen=seen).choose("code")) == ["box/some-model-of-my-own"]


def test_a_route_keeps_to_what_is_there_of_its_chain() -> None:
    toml = f'{BOX}[routes]\ncode = ["nowhere-to-be-found", {{model = "phi3", timeout = 7}}]\n'

    choice = Place(toml, seen=[("box", "phi3"), ("box", "qwen2.5-coder:7b")]).choose("code")

    assert names(choice) == ["box/phi3"]
    assert choice.candidates[0].timeout_s == 7
    assert choice.notes == ("nowhere-to-be-found is on no endpoint and left out.",)


def test_a_missing_model_of_an_alias_is_not_replaced() -> None:
    error = Place(f'{BOX}[aliases]\nmine = "nowhere"\n', seen=[("box", "phi3")]).refuses("mine")

    assert error.text == "Nothing in alias mine is there: nowhere."


def test_a_route_without_any_model_anywhere_is_no_model() -> None:
    assert "route code" in Place(BOX, {"box": ScriptedChat(models=[])}).refuses("code").text


def test_in_a_chain_every_endpoint_that_has_the_model_may_answer() -> None:
    choice = Place(BOX + SPARE, seen=[("box", "llama3.1:8b"), ("spare", "llama3.1:8b")]).choose("general")

    assert names(choice) == ["box/llama3.1:8b", "spare/llama3.1:8b"]
    assert choice.falls_back


def test_a_route_whose_endpoints_were_all_seen_asks_nobody() -> None:
    place = Place(BOX, seen=[("box", "phi3")])

    place.choose("code")

    assert place.times_listed == 0


# Breakers and images


def test_an_endpoint_that_keeps_failing_is_asked_last_and_never_dropped() -> None:
    place = Place(BOX + SPARE + OPENAI + '[aliases]\nall = ["box/a", "spare/b", "openai/c"]\n')
    for _ in range(3):
        run(place.breakers.failed("box", DOWN))

    choice = place.choose("all")

    assert names(choice) == ["spare/b", "openai/c", "box/a"]
    assert choice.notes == ("box failed several times in a row and is asked last for another 10 s.",)


def test_models_that_cannot_see_are_left_out_when_there_are_images() -> None:
    place = Place(BOX + '[aliases]\nall = ["box/phi3", "box/llava:7b", "box/some-model-of-my-own"]\n')

    choice = place.choose("all", needs_images=True)

    assert names(choice) == ["box/llava:7b", "box/some-model-of-my-own"]
    assert choice.notes == ("box/phi3 cannot see images and is left out.",)


def test_a_model_that_cannot_see_is_refused_with_those_that_can() -> None:
    place = Place(f'{BOX}models = ["phi3", "llava:7b"]\n')

    error = place.refuses("box/phi3", needs_images=True)

    assert error.text == "box/phi3 cannot see images."
    assert error.hint == "These can: box/llava:7b."


def test_settings_say_whether_a_model_sees() -> None:
    toml = f'{BOX}[models."my-eyes"]\nrole = "vision"\n[models."llava:7b"]\nsees_images = false\n'
    place = Place(toml)

    assert names(place.choose("box/my-eyes", needs_images=True)) == ["box/my-eyes"]
    place.refuses("box/llava:7b", needs_images=True)


def test_what_an_endpoint_says_of_its_model_goes_before_the_catalogue() -> None:
    place = Place(BOX)
    place.seen = [SeenModel("gemma3:4b", "box", sees_images=False), SeenModel("phi3", "box", sees_images=True)]

    assert names(place.choose("phi3", needs_images=True)) == ["box/phi3"]
    place.refuses("gemma3:4b", needs_images=True)


# machines


def test_a_machine_is_named_like_any_endpoint() -> None:
    place = Place(GPUBOX + BOX)

    assert names(place.choose("gpubox/qwen3:8b")) == ["gpubox/qwen3:8b"]
    assert place.times_listed == 0


def test_a_machine_that_is_not_connected_is_asked_only_when_nobody_else_has_the_model() -> None:
    chats = {"box": ScriptedChat(models=["phi3"]), "gpubox": ScriptedChat(models=["qwen3:8b"])}
    place = Place(BOX + GPUBOX, chats)

    assert names(place.choose("phi3")) == ["box/phi3"]
    assert chats["gpubox"].times_listed == 0
    assert names(place.choose("qwen3:8b")) == ["gpubox/qwen3:8b"]
    assert place.remembered["gpubox"] == ["qwen3:8b"]


def test_a_machine_that_is_connected_is_asked_like_the_others() -> None:
    chats = {"box": ScriptedChat(models=["phi3"]), "gpubox": ScriptedChat(models=["phi3"])}

    refusal = Place(BOX + GPUBOX, chats, near=["gpubox"]).refuses("phi3")

    assert "2 endpoints" in refusal.text


def test_what_a_machine_had_counts_while_it_is_not_connected() -> None:
    place = Place(BOX + GPUBOX, seen=[("gpubox", "qwen3:8b"), ("box", "phi3")])

    assert names(place.choose("qwen3:8b")) == ["gpubox/qwen3:8b"]
    assert place.times_listed == 0


def test_a_chain_asks_no_machine_that_is_not_connected() -> None:
    chats = {"box": ScriptedChat(models=["phi3"]), "gpubox": ScriptedChat(models=["llama3.1:8b"])}
    place = Place(BOX + GPUBOX, chats)

    choice = place.choose("general")

    assert names(choice) == ["box/phi3"]
    assert chats["gpubox"].times_listed == 0


def test_an_only_machine_is_asked_what_it_has() -> None:
    place = Place(GPUBOX, {"gpubox": ScriptedChat(models=["qwen3:8b"])})

    assert names(place.choose(None)) == ["gpubox/qwen3:8b"]


def test_of_several_that_have_a_model_the_connected_one_goes_first() -> None:
    seen = [("gpubox", "qwen3:8b"), ("box", "qwen3:8b")]
    alias = '[aliases]\nq = "qwen3:8b"\n'

    assert names(Place(alias + GPUBOX + BOX, seen=seen).choose("q")) == ["box/qwen3:8b", "gpubox/qwen3:8b"]
    configured = Place(alias + BOX + GPUBOX, seen=seen, near=["gpubox"])
    assert names(configured.choose("q")) == ["box/qwen3:8b", "gpubox/qwen3:8b"], "in the order of the settings"


def test_a_stand_in_is_looked_for_on_what_is_connected_first() -> None:
    seen = [("gpubox", "llama3:8b"), ("box", "tinyllama")]

    assert names(Place(GPUBOX + BOX, seen=seen).choose("general")) == ["box/tinyllama"]
    assert names(Place(GPUBOX + BOX, seen=seen, near=["gpubox"]).choose("general")) == ["gpubox/llama3:8b"]


def test_what_a_machine_is_to_have_counts_until_it_has_said_what_it_has() -> None:
    expecting = GPUBOX + 'models = ["qwen3:8b"]\n'

    assert names(Place(expecting).choose("qwen3:8b")) == ["gpubox/qwen3:8b"]
    assert "on no endpoint" in Place(expecting, seen=[("gpubox", "phi3")]).refuses("qwen3:8b").text


def test_what_is_known_is_told_without_asking_anybody() -> None:
    place = Place(BOX + GPUBOX, {"box": ScriptedChat(models=["qwen3:8b"]), "gpubox": ScriptedChat(models=["qwen3:8b"])})

    with pytest.raises(NoModel):
        run(place.router.choose("qwen3:8b", "", may_ask=False))
    assert place.remembered == {}

    place.seen = [SeenModel("qwen3:8b", "box")]
    assert run(place.router.choose("qwen3:8b", "", may_ask=False)).candidates[0].name == "box/qwen3:8b"
    assert place.remembered == {}
