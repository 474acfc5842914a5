from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.chat.catalogue import Catalogue
from console.settings import ModelFacts

CATALOGUE = Catalogue()


@pytest.mark.parametrize(
    "name",
    [
        "deepseek-coder-v2", "llama3.1:8b", "mistral:7b", "qwen3:32b", "qwen3:30b-a3b", "qwen3:14b", "qwen3:8b",
        "qwen2.5-coder:7b", "qwen2.5-coder:14b", "codellama:13b", "qwen2.5:7b", "phi3", "starcoder2", "llava",
    ],
)  # fmt: skip
def test_models_of_a_rented_machine_are_known_with_their_sizes(name: str) -> None:
    model = CATALOGUE.find(name)

    assert model is not None
    assert model.size_gb is not None
    assert model.vram_gb is not None
    assert 0 < model.size_gb < model.vram_gb
    assert model.context_tokens is not None
    assert not model.is_hosted


@pytest.mark.parametrize(
    ("name", "known_as"),
    [
        ("qwen3:latest", "qwen3:8b"),
        ("qwen3", "qwen3:8b"),
        ("QWEN3:8B", "qwen3:8b"),
        ("qwen3:8b-q4_K_M", "qwen3:8b"),
        ("Qwen/Qwen3-8B", "qwen3:8b"),
        ("Qwen/Qwen3-8B-AWQ", "qwen3:8b"),
        ("Qwen/Qwen3-30B-A3B-Instruct-2507", "qwen3:30b"),
        ("hf.co/bartowski/Qwen2.5-Coder-7B-Instruct-GGUF:Q4_K_M", "qwen2.5-coder:7b"),
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "llama3.1:8b"),
        ("llama3.1:8b-instruct-q8_0", "llama3.1:8b"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral:7b"),
        ("deepseek-ai/DeepSeek-Coder-V2-Lite-Instruct", "deepseek-coder-v2:16b"),
        ("codellama:13b-python", "codellama:13b"),
        ("microsoft/Phi-3-mini-4k-instruct", "phi3:mini-4k"),
        ("openai/gpt-4.1-mini", "gpt-4.1-mini"),
        ("gpt-4.1-2025-04-14", "gpt-4.1"),
        ("gpt-4o:online", "gpt-4o"),
        ("anthropic/claude-3.5-sonnet", "claude-sonnet"),
        ("claude-3-5-haiku-20241022", "claude-haiku"),
        ("claude-opus-4-1-20250805", "claude-opus"),
    ],
)
def test_names_are_seen_through(name: str, known_as: str) -> None:
    model = CATALOGUE.find(name)

    assert model is not None
    assert model.name == known_as


@pytest.mark.parametrize(
    "name",
    [
        "",
        ":",
        "/",
        "nonsense",
        "qwen3:70b",
        "llama3.1:405b",
        "mistral-tiny-2312",
        "qwen",
        "my-phi3",
        "gpt",
        "deepseek-r1:671b",
    ],
)
def test_what_is_not_known_for_sure_is_not_known(name: str) -> None:
    assert CATALOGUE.find(name) is None


@pytest.mark.parametrize(
    ("name", "context_tokens"),
    [("gpt-4.1", 1_047_576), ("gpt-4o", 128_000), ("o3-mini", 200_000), ("claude-sonnet-4-5", 200_000)],
)
def test_hosted_models_have_a_window_and_no_size(name: str, context_tokens: int) -> None:
    model = CATALOGUE.find(name)

    assert model is not None
    assert model.is_hosted
    assert model.context_tokens == context_tokens


def test_settings_add_models_and_override_what_they_name() -> None:
    catalogue = Catalogue(
        {
            "qwen3:8b": ModelFacts(name="qwen3:8b", context_tokens=8192),
            "my-tune": ModelFacts(name="my-tune", role="code", size_gb=Decimal("4.5")),
        }
    )

    known, added = catalogue.find("Qwen/Qwen3-8B"), catalogue.find("my-tune:latest")

    assert known is not None
    assert (known.context_tokens, known.size_gb, known.role) == (8192, 5.2, "general")
    assert added is not None
    assert (added.role, added.size_gb, added.context_tokens) == ("code", 4.5, None)
    assert added in catalogue.models()


def test_what_settings_say_of_one_tag_leaves_the_others() -> None:
    catalogue = Catalogue({"qwen3:8b-fp16": ModelFacts(name="qwen3:8b-fp16", size_gb=Decimal(16))})

    plain = catalogue.find("qwen3:8b")

    assert plain is not None
    assert plain.size_gb == 5.2


@pytest.mark.parametrize("name", ["nomic-embed-text", "text-embedding-3-small", "whisper-1", "gpt-4o-tts", "dall-e-3"])
def test_models_of_other_trades_are_not_for_chat(name: str) -> None:
    assert not CATALOGUE.is_for_chat(name)


@pytest.mark.parametrize("name", ["qwen3:8b", "gpt-4o", "some-model-of-my-own"])
def test_others_are_for_chat(name: str) -> None:
    assert CATALOGUE.is_for_chat(name)


def test_the_nearest_is_the_same_model_then_the_same_role_by_size() -> None:
    offered = [
        "mystery",
        "gpt-5-codex",
        "llama3.1:8b",
        "codellama:34b",
        "qwen2.5-coder:14b",
        "deepseek-coder-v2:latest",
    ]

    ranked = sorted(offered, key=lambda name: CATALOGUE.distance("deepseek-coder-v2:16b", name))

    assert ranked == [
        "deepseek-coder-v2:latest", "qwen2.5-coder:14b", "codellama:34b", "gpt-5-codex", "llama3.1:8b", "mystery"
    ]  # fmt: skip


def test_every_row_is_found_under_its_own_name_and_is_sound() -> None:
    for model in CATALOGUE.models():
        assert CATALOGUE.find(model.name) == model
        assert model.role in ("code", "general", "quick", "vision", "embedding")
        assert model.context_tokens is not None
        assert 128 <= model.context_tokens <= 2_000_000
        assert (model.size_gb is None) == (model.vram_gb is None)


@given(st.text(max_size=200))
def test_any_text_may_be_asked_for(name: str) -> None:
    model = CATALOGUE.find(name)

    assert model is None or model in CATALOGUE.models()
