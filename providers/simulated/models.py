"""The models of the simulated services, with the sizes and traits of their real namesakes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

GB = 1_000_000_000


@dataclass(frozen=True, slots=True)
class SimulatedModel:
    name: str
    size_bytes: int = 0
    family: str = ""
    parameters: str = ""
    quantization: str = ""
    context_tokens: int = 131_072
    capabilities: frozenset[str] = frozenset({"completion"})
    """Ollama's words: completion, tools, thinking, vision, insert, embedding."""
    dimension: int = 0
    price_input: Decimal = Decimal(0)
    """US dollars per million tokens; for hosts that report a cost."""
    price_output: Decimal = Decimal(0)
    max_output_tokens: int = 64_000
    title: str = ""
    dated: str = ""
    """The name the service answers under, where it is not the name it was asked for."""

    @property
    def reported_name(self) -> str:
        return self.dated or self.name

    def can(self, capability: str) -> bool:
        return capability in self.capabilities

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"manifest of {self.family} {self.size_bytes}".encode()).hexdigest()

    @property
    def layers(self) -> tuple[tuple[str, int], ...]:
        """Digest and size of each part: weights, template, licence, settings, as a real manifest lists them."""
        small = (1_481, 12_320, 96, 485)
        sizes = (max(self.size_bytes - sum(small), 1), *small)
        return tuple(
            (f"sha256:{hashlib.sha256(f'{self.digest} layer {n}'.encode()).hexdigest()}", size)
            for n, size in enumerate(sizes)
        )


def _ollama(
    name: str,
    size: int,
    family: str,
    parameters: str,
    context: int,
    traits: str = "tools",
    quantization: str = "Q4_K_M",
) -> SimulatedModel:
    return SimulatedModel(
        name, size, family, parameters, quantization, context, frozenset({"completion", *traits.split()})
    )


def _embedder(
    name: str, size: int, family: str, parameters: str, context: int, dimension: int, quantization: str = "F16"
) -> SimulatedModel:
    return SimulatedModel(
        name, size, family, parameters, quantization, context, frozenset({"embedding"}), dimension=dimension
    )


OLLAMA_LIBRARY: tuple[SimulatedModel, ...] = (
    _ollama("llama3.1:8b", 4_920_753_328, "llama", "8.0B", 131_072),
    _ollama("llama3.2:3b", 2_019_393_189, "llama", "3.2B", 131_072),
    _ollama("mistral:7b", 4_372_824_384, "llama", "7.2B", 32_768),
    _ollama("deepseek-coder-v2:latest", 8_905_126_121, "deepseek2", "15.7B", 163_840, "insert", "Q4_0"),
    _ollama("deepseek-r1:8b", 5_225_376_047, "qwen3", "8.2B", 131_072, "tools thinking"),
    _ollama("qwen3:8b", 5_225_388_164, "qwen3", "8.2B", 40_960, "tools thinking"),
    _ollama("qwen3:14b", 9_276_198_565, "qwen3", "14.8B", 40_960, "tools thinking"),
    _ollama("qwen3:30b-a3b", 18_556_699_314, "qwen3moe", "30.5B", 262_144, "tools thinking"),
    _ollama("qwen3:32b", 20_201_253_588, "qwen3", "32.8B", 40_960, "tools thinking"),
    _ollama("qwen2.5:7b", 4_683_087_332, "qwen2", "7.6B", 32_768),
    _ollama("qwen2.5-coder:7b", 4_683_087_561, "qwen2", "7.6B", 32_768, "tools insert"),
    _ollama("qwen2.5-coder:14b", 8_988_124_473, "qwen2", "14.8B", 32_768, "tools insert"),
    _ollama("codellama:13b", 7_365_960_935, "llama", "13B", 16_384, "insert", "Q4_0"),
    _ollama("starcoder2:3b", 1_706_463_208, "starcoder2", "3B", 16_384, "insert", "Q4_0"),
    _ollama("phi3:latest", 2_176_178_913, "phi3", "3.8B", 131_072, "", "Q4_0"),
    _ollama("llava:latest", 4_733_363_377, "llama", "7B", 32_768, "vision", "Q4_0"),
    _ollama("gpt-oss:20b", 13_793_441_244, "gptoss", "20.9B", 131_072, "tools thinking", "MXFP4"),
    _embedder("nomic-embed-text:latest", 274_302_450, "nomic-bert", "137M", 2_048, 768),
    _embedder("mxbai-embed-large:latest", 669_615_493, "bert", "334M", 512, 1_024),
    _embedder("all-minilm:latest", 45_960_996, "bert", "23M", 512, 384),
    _embedder("bge-m3:latest", 1_157_672_605, "bert", "566.70M", 8_192, 1_024),
)

INSTALLED_BY_DEFAULT: tuple[str, ...] = (
    "llama3.1:8b",
    "deepseek-coder-v2:latest",
    "mistral:7b",
    "qwen3:8b",
    "qwen2.5-coder:7b",
    "llava:latest",
    "phi3:latest",
    "nomic-embed-text:latest",
)


def _hosted(
    name: str,
    context: int,
    price_input: str,
    price_output: str,
    traits: str = "tools vision",
    title: str = "",
    dated: str = "",
) -> SimulatedModel:
    return SimulatedModel(
        name,
        context_tokens=context,
        capabilities=frozenset({"completion", *traits.split()}),
        price_input=Decimal(price_input),
        price_output=Decimal(price_output),
        title=title,
        dated=dated,
    )


def _hosted_embedder(name: str, dimension: int, price: str) -> SimulatedModel:
    return SimulatedModel(
        name,
        context_tokens=8_192,
        capabilities=frozenset({"embedding"}),
        dimension=dimension,
        price_input=Decimal(price),
    )


_SEES_AND_THINKS = "tools vision thinking"
_REASONS = "tools vision hidden-thinking"
"""Thinks before it answers, counts and charges that, and does not show it."""

OPENAI_MODELS: tuple[SimulatedModel, ...] = (
    _hosted("gpt-4.1", 1_047_576, "2.00", "8.00", dated="gpt-4.1-2025-04-14"),
    _hosted("gpt-4.1-mini", 1_047_576, "0.40", "1.60", dated="gpt-4.1-mini-2025-04-14"),
    _hosted("gpt-4o", 128_000, "2.50", "10.00", dated="gpt-4o-2024-08-06"),
    _hosted("gpt-4o-mini", 128_000, "0.15", "0.60", dated="gpt-4o-mini-2024-07-18"),
    _hosted("gpt-5.4-mini", 400_000, "0.75", "4.50", _REASONS, dated="gpt-5.4-mini-2026-03-17"),
    _hosted("o4-mini", 200_000, "1.10", "4.40", _REASONS, dated="o4-mini-2025-04-16"),
    _hosted_embedder("text-embedding-3-small", 1_536, "0.02"),
    _hosted_embedder("text-embedding-3-large", 3_072, "0.13"),
)

OPENROUTER_MODELS: tuple[SimulatedModel, ...] = (
    _hosted("meta-llama/llama-3.1-8b-instruct", 131_072, "0.02", "0.05", "tools", "Meta: Llama 3.1 8B Instruct"),
    _hosted("qwen/qwen3-32b", 40_960, "0.10", "0.30", "tools thinking", "Qwen: Qwen3 32B"),
    _hosted("deepseek/deepseek-chat-v3.1", 163_840, "0.20", "0.80", "tools thinking", "DeepSeek: DeepSeek V3.1"),
    _hosted("anthropic/claude-sonnet-4.5", 1_000_000, "3.00", "15.00", "tools vision", "Anthropic: Claude Sonnet 4.5"),
    _hosted("openai/gpt-4.1-mini", 1_047_576, "0.40", "1.60", "tools vision", "OpenAI: GPT-4.1 Mini"),
)

VLLM_MODELS: tuple[SimulatedModel, ...] = (
    _hosted("Qwen/Qwen3-8B", 40_960, "0", "0", "tools thinking"),
    _hosted("meta-llama/Llama-3.1-8B-Instruct", 131_072, "0", "0", "tools"),
)

DEEPSEEK_MODELS: tuple[SimulatedModel, ...] = (
    _hosted("deepseek-chat", 131_072, "0.28", "0.42", "tools"),
    _hosted("deepseek-reasoner", 131_072, "0.28", "0.42", "tools thinking"),
)

ANTHROPIC_MODELS: tuple[SimulatedModel, ...] = (
    _hosted("claude-sonnet-5-5", 1_000_000, "2.00", "10.00", _SEES_AND_THINKS, "Claude Sonnet 5.5"),
    _hosted("claude-opus-5-5", 1_000_000, "4.00", "20.00", _SEES_AND_THINKS, "Claude Opus 5.5"),
    _hosted(
        "claude-haiku-4-5", 200_000, "1.00", "5.00", _SEES_AND_THINKS, "Claude Haiku 4.5", "claude-haiku-4-5-20251001"
    ),
    _hosted(
        "claude-sonnet-4-5",
        200_000,
        "3.00",
        "15.00",
        _SEES_AND_THINKS,
        "Claude Sonnet 4.5",
        "claude-sonnet-4-5-20250929",
    ),
    _hosted("claude-3-haiku-20240307", 200_000, "0.25", "1.25", "tools vision", "Claude Haiku 3"),
)


def find(models: Iterable[SimulatedModel], name: str) -> SimulatedModel | None:
    return next((model for model in models if name in (model.name, model.dated)), None)
