"""What is known of models without asking anybody: size, memory, context window, what they are good at.

The table is data of the time of writing and no truth: what a host says of its own models goes before it, and settings
(`[models."name"]`) extend and override it. Names are written in many ways (`qwen3:8b`, `qwen3:8b-q4_K_M`,
`Qwen/Qwen3-8B`, `hf.co/bartowski/Qwen3-8B-GGUF:Q4_K_M`); `find` sees through them and answers None when in doubt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from console.settings import ModelFacts

# Names (the first is the usual one, a bare name stands for its default tag) · GB on disk at the default quantisation ·
# GB of GPU memory with a context of about 8,000 tokens · context window in tokens · role · sees images · family.
# Hosted models have no size. A plain tuple of constants costs nothing to import; it is indexed at the first question.
_TABLE: tuple[tuple[str, float | None, float | None, int, str, bool, str], ...] = (
    # code
    ("deepseek-coder-v2 deepseek-coder-v2:16b deepseek-coder-v2-lite", 8.9, 11.5, 163_840, "code", False, "deepseek2"),
    ("deepseek-coder-v2:236b", 133.0, 145.0, 163_840, "code", False, "deepseek2"),
    ("deepseek-coder:6.7b", 3.8, 6.5, 16_384, "code", False, "deepseek"),
    ("deepseek-coder:33b", 19.0, 23.0, 16_384, "code", False, "deepseek"),
    ("qwen3-coder qwen3-coder:30b", 19.0, 21.5, 262_144, "code", False, "qwen3"),
    ("qwen3-coder:480b", 290.0, 310.0, 262_144, "code", False, "qwen3"),
    ("qwen2.5-coder:1.5b", 1.0, 2.0, 32_768, "code", False, "qwen2"),
    ("qwen2.5-coder:3b", 1.9, 3.2, 32_768, "code", False, "qwen2"),
    ("qwen2.5-coder qwen2.5-coder:7b", 4.7, 6.5, 32_768, "code", False, "qwen2"),
    ("qwen2.5-coder:14b", 9.0, 12.0, 32_768, "code", False, "qwen2"),
    ("qwen2.5-coder:32b", 20.0, 24.0, 32_768, "code", False, "qwen2"),
    ("codellama codellama:7b", 3.8, 8.5, 16_384, "code", False, "llama"),
    ("codellama:13b", 7.4, 14.0, 16_384, "code", False, "llama"),
    ("codellama:34b", 19.0, 22.5, 16_384, "code", False, "llama"),
    ("starcoder2 starcoder2:3b", 1.7, 2.5, 16_384, "code", False, "starcoder2"),
    ("starcoder2:7b", 4.0, 5.2, 16_384, "code", False, "starcoder2"),
    ("starcoder2:15b", 9.1, 11.0, 16_384, "code", False, "starcoder2"),
    ("codegemma codegemma:7b", 5.0, 8.5, 8_192, "code", False, "gemma"),
    ("codestral codestral:22b", 13.0, 16.5, 32_768, "code", False, "llama"),
    ("devstral devstral:24b", 14.0, 17.0, 131_072, "code", False, "llama"),
    # general
    ("llama3.1 llama3.1:8b", 4.9, 6.9, 131_072, "general", False, "llama"),
    ("llama3.1:70b", 43.0, 47.0, 131_072, "general", False, "llama"),
    ("llama3.3 llama3.3:70b", 43.0, 47.0, 131_072, "general", False, "llama"),
    ("llama3 llama3:8b", 4.7, 6.7, 8_192, "general", False, "llama"),
    ("llama3:70b", 40.0, 44.0, 8_192, "general", False, "llama"),
    ("qwen3:32b", 20.0, 24.0, 40_960, "general", False, "qwen3"),
    ("qwen3:30b qwen3:30b-a3b", 19.0, 21.5, 262_144, "general", False, "qwen3moe"),
    ("qwen3:14b", 9.3, 12.0, 40_960, "general", False, "qwen3"),
    ("qwen3 qwen3:8b", 5.2, 7.5, 40_960, "general", False, "qwen3"),
    ("qwen3:235b qwen3:235b-a22b", 142.0, 150.0, 262_144, "general", False, "qwen3moe"),
    ("qwen2.5 qwen2.5:7b", 4.7, 6.5, 32_768, "general", False, "qwen2"),
    ("qwen2.5:14b", 9.0, 12.0, 32_768, "general", False, "qwen2"),
    ("qwen2.5:32b", 20.0, 24.0, 32_768, "general", False, "qwen2"),
    ("qwen2.5:72b", 47.0, 52.0, 32_768, "general", False, "qwen2"),
    ("gpt-oss gpt-oss:20b", 14.0, 15.5, 131_072, "general", False, "gptoss"),
    ("gpt-oss:120b", 65.0, 68.0, 131_072, "general", False, "gptoss"),
    ("deepseek-r1:7b deepseek-r1-distill-qwen:7b", 4.7, 6.5, 131_072, "general", False, "qwen2"),
    ("deepseek-r1 deepseek-r1:8b deepseek-r1-distill-llama:8b", 5.2, 7.5, 131_072, "general", False, "qwen3"),
    ("deepseek-r1:14b deepseek-r1-distill-qwen:14b", 9.0, 12.0, 131_072, "general", False, "qwen2"),
    ("deepseek-r1:32b deepseek-r1-distill-qwen:32b", 20.0, 24.0, 131_072, "general", False, "qwen2"),
    ("deepseek-r1:70b deepseek-r1-distill-llama:70b", 43.0, 47.0, 131_072, "general", False, "llama"),
    ("phi4 phi4:14b", 9.1, 12.0, 16_384, "general", False, "phi3"),
    ("phi3:14b phi3:medium", 7.9, 11.0, 131_072, "general", False, "phi3"),
    ("gemma2 gemma2:9b", 5.4, 9.0, 8_192, "general", False, "gemma2"),
    ("gemma2:27b", 16.0, 20.0, 8_192, "general", False, "gemma2"),
    ("mistral-nemo mistral-nemo:12b", 7.1, 9.5, 131_072, "general", False, "llama"),
    ("mistral-small:22b", 13.0, 16.5, 32_768, "general", False, "llama"),
    ("mistral-small mistral-small:24b", 14.0, 17.0, 32_768, "general", False, "llama"),
    ("mixtral mixtral:8x7b", 26.0, 28.5, 32_768, "general", False, "llama"),
    ("command-r command-r:35b", 19.0, 24.0, 131_072, "general", False, "command-r"),
    # quick
    ("mistral mistral:7b", 4.4, 6.2, 32_768, "quick", False, "llama"),
    ("phi3 phi3:3.8b phi3:mini", 2.2, 6.0, 131_072, "quick", False, "phi3"),
    ("phi3:mini-4k phi3:3.8b-mini-4k", 2.2, 4.0, 4_096, "quick", False, "phi3"),
    ("phi3.5 phi3.5:3.8b", 2.2, 6.0, 131_072, "quick", False, "phi3"),
    ("phi4-mini phi4-mini:3.8b", 2.5, 4.5, 131_072, "quick", False, "phi3"),
    ("llama3.2:1b", 1.3, 2.2, 131_072, "quick", False, "llama"),
    ("llama3.2 llama3.2:3b", 2.0, 3.8, 131_072, "quick", False, "llama"),
    ("qwen3:0.6b", 0.5, 1.8, 40_960, "quick", False, "qwen3"),
    ("qwen3:1.7b", 1.4, 2.8, 40_960, "quick", False, "qwen3"),
    ("qwen3:4b", 2.5, 4.5, 262_144, "quick", False, "qwen3"),
    ("qwen2.5:0.5b", 0.4, 0.9, 32_768, "quick", False, "qwen2"),
    ("qwen2.5:1.5b", 1.0, 1.8, 32_768, "quick", False, "qwen2"),
    ("qwen2.5:3b", 1.9, 3.2, 32_768, "quick", False, "qwen2"),
    ("deepseek-r1:1.5b deepseek-r1-distill-qwen:1.5b", 1.1, 2.0, 131_072, "quick", False, "qwen2"),
    ("gemma2:2b", 1.6, 3.0, 8_192, "quick", False, "gemma2"),
    ("gemma3:1b", 0.8, 1.6, 32_768, "quick", False, "gemma3"),
    ("tinyllama tinyllama:1.1b", 0.6, 1.2, 2_048, "quick", False, "llama"),
    ("smollm2 smollm2:1.7b", 1.8, 3.5, 8_192, "quick", False, "llama"),
    # vision
    ("llava llava:7b", 4.7, 7.0, 32_768, "vision", True, "llama"),
    ("llava:13b", 8.0, 15.0, 4_096, "vision", True, "llama"),
    ("llava:34b", 20.0, 23.5, 4_096, "vision", True, "llama"),
    ("llama3.2-vision llama3.2-vision:11b", 7.8, 11.5, 131_072, "vision", True, "mllama"),
    ("llama3.2-vision:90b", 55.0, 64.0, 131_072, "vision", True, "mllama"),
    ("gemma3 gemma3:4b", 3.3, 5.5, 131_072, "vision", True, "gemma3"),
    ("gemma3:12b", 8.1, 11.5, 131_072, "vision", True, "gemma3"),
    ("gemma3:27b", 17.0, 21.5, 131_072, "vision", True, "gemma3"),
    ("qwen2.5vl:3b qwen2.5-vl:3b", 3.2, 5.0, 128_000, "vision", True, "qwen25vl"),
    ("qwen2.5vl qwen2.5vl:7b qwen2.5-vl:7b", 6.0, 8.5, 128_000, "vision", True, "qwen25vl"),
    ("qwen3-vl qwen3-vl:8b", 6.1, 8.5, 262_144, "vision", True, "qwen3vl"),
    ("mistral-small3.1 mistral-small3.1:24b", 15.0, 18.5, 131_072, "vision", True, "mistral3"),
    ("mistral-small3.2 mistral-small3.2:24b", 15.0, 18.5, 131_072, "vision", True, "mistral3"),
    ("minicpm-v minicpm-v:8b", 5.5, 7.5, 32_768, "vision", True, "qwen2"),
    ("moondream moondream:1.8b", 1.7, 3.0, 2_048, "vision", True, "phi2"),
    # embedding
    ("nomic-embed-text nomic-embed-text:137m", 0.3, 0.7, 2_048, "embedding", False, "nomic-bert"),
    ("mxbai-embed-large mxbai-embed-large:335m", 0.7, 1.2, 512, "embedding", False, "bert"),
    ("bge-m3 bge-m3:567m", 1.2, 1.8, 8_192, "embedding", False, "bert"),
    ("all-minilm all-minilm:22m all-minilm-l6-v2", 0.05, 0.3, 256, "embedding", False, "bert"),
    ("snowflake-arctic-embed2 snowflake-arctic-embed2:568m", 1.2, 1.8, 8_192, "embedding", False, "bert"),
    ("embeddinggemma embeddinggemma:300m", 0.6, 1.0, 2_048, "embedding", False, "gemma3"),
    ("qwen3-embedding:0.6b", 0.6, 1.5, 32_768, "embedding", False, "qwen3"),
    ("qwen3-embedding:4b", 2.5, 4.5, 40_960, "embedding", False, "qwen3"),
    ("qwen3-embedding qwen3-embedding:8b", 4.7, 7.0, 40_960, "embedding", False, "qwen3"),
    ("text-embedding-3-small", None, None, 8_191, "embedding", False, "openai"),
    ("text-embedding-3-large", None, None, 8_191, "embedding", False, "openai"),
    ("text-embedding-ada-002", None, None, 8_191, "embedding", False, "openai"),
    # hosted
    ("gpt-4.1", None, None, 1_047_576, "general", True, "gpt"),
    ("gpt-4.1-mini", None, None, 1_047_576, "quick", True, "gpt"),
    ("gpt-4.1-nano", None, None, 1_047_576, "quick", True, "gpt"),
    ("gpt-4o", None, None, 128_000, "general", True, "gpt"),
    ("gpt-4o-mini", None, None, 128_000, "quick", True, "gpt"),
    ("chatgpt-4o-latest", None, None, 128_000, "general", True, "gpt"),
    ("gpt-5 gpt-5.1", None, None, 400_000, "general", True, "gpt"),
    ("gpt-5-codex", None, None, 400_000, "code", True, "gpt"),
    ("gpt-5-mini", None, None, 400_000, "quick", True, "gpt"),
    ("gpt-5-nano", None, None, 400_000, "quick", True, "gpt"),
    ("gpt-4-turbo", None, None, 128_000, "general", True, "gpt"),
    ("gpt-4", None, None, 8_192, "general", False, "gpt"),
    ("gpt-3.5-turbo", None, None, 16_385, "quick", False, "gpt"),
    ("o1", None, None, 200_000, "general", True, "gpt"),
    ("o1-mini", None, None, 128_000, "code", False, "gpt"),
    ("o1-preview", None, None, 128_000, "general", False, "gpt"),
    ("o3", None, None, 200_000, "general", True, "gpt"),
    ("o3-mini", None, None, 200_000, "code", False, "gpt"),
    ("o4-mini", None, None, 200_000, "code", True, "gpt"),
    ("claude", None, None, 200_000, "general", True, "claude"),
    (
        "claude-sonnet claude-3-5-sonnet claude-3.5-sonnet claude-3-7-sonnet claude-3.7-sonnet",
        None,
        None,
        200_000,
        "code",
        True,
        "claude",
    ),
    ("claude-opus claude-3-opus", None, None, 200_000, "general", True, "claude"),
    ("claude-haiku claude-3-5-haiku claude-3.5-haiku claude-3-haiku", None, None, 200_000, "quick", True, "claude"),
    ("gemini-2.5-pro", None, None, 1_048_576, "general", True, "gemini"),
    ("gemini-2.5-flash", None, None, 1_048_576, "quick", True, "gemini"),
    ("gemini-2.0-flash", None, None, 1_048_576, "quick", True, "gemini"),
    ("deepseek-chat deepseek-v3", None, None, 131_072, "general", False, "deepseek"),
    ("deepseek-reasoner", None, None, 131_072, "general", False, "deepseek"),
    ("mistral-large", None, None, 131_072, "general", False, "mistral"),
    ("grok-4", None, None, 256_000, "general", True, "grok"),
    ("grok-3", None, None, 131_072, "general", False, "grok"),
)

# Words in a model's name that say how it was packed or tuned, not which model it is.
_PACKED_AS = (
    "latest instruct chat it base text hf gguf ggml awq gptq exl mlx int fp bf f q iq k m s l xs xl xxs v bit bpw "
    "preview free beta online nitro floor extended thinking quantized dynamic turbo lite qat ud"
)
_PACKING = frozenset(_PACKED_AS.split())
_NOT_CHAT = (
    "embed embedding embeddings rerank reranker whisper tts transcribe realtime audio dall image sora moderation"
)
_NO_CHAT = frozenset(_NOT_CHAT.split())


class Model(NamedTuple):
    """What is known of one model; None where it is not known. Sizes are in GB, at the usual quantisation."""

    name: str
    size_gb: float | None
    vram_gb: float | None
    context_tokens: int | None
    role: str | None
    """code, general, quick, vision or embedding."""
    sees_images: bool | None
    family: str | None

    @property
    def is_hosted(self) -> bool:
        """Whether it is only to be had as somebody's service: nothing to download, and usually not free."""
        return self.size_gb is None and self.vram_gb is None and self.role is not None


class Catalogue:
    """The shipped table under what settings add. Asking costs microseconds; the first question builds the index."""

    def __init__(self, additions: Mapping[str, ModelFacts] | None = None) -> None:
        self._additions = additions or {}
        self._index: dict[tuple[str, ...], Model] = {}
        self._found: dict[str, Model | None] = {}

    def find(self, name: str) -> Model | None:
        """What is known of this model, however its host writes it; None when it is none we know."""
        if name not in self._found:
            if not self._index:
                self._build()
            self._found[name] = self._search(name)
        return self._found[name]

    def models(self) -> list[Model]:
        """Every model once, in the order of the table, then those that only settings know."""
        if not self._index:
            self._build()
        return list(dict.fromkeys(self._index.values()))

    def distance(self, wanted: str, name: str, *, role: str | None = None) -> tuple[int, float]:
        """How badly `name` would stand in for `wanted`; the smallest is the nearest.

        The same model under another name comes first, then the same role by closeness in size, then the other roles,
        then those nobody knows. `role` counts when the catalogue does not know `wanted`.
        """
        ideal, model = self.find(wanted), self.find(name)
        if model is None:
            return (3, 0.0)
        if ideal is not None and ideal.name == model.name:
            return (0, 0.0)
        return (1 if model.role == ((ideal.role if ideal else None) or role) else 2, _apart(ideal, model))

    def is_for_chat(self, name: str) -> bool:
        """False for models that embed, speak, draw or judge; True when nothing speaks against it."""
        if not _NO_CHAT.isdisjoint(_words(name)):
            return False
        model = self.find(name)
        return model is None or model.role != "embedding"

    def _build(self) -> None:
        for names, size_gb, vram_gb, context_tokens, role, sees_images, family in _TABLE:
            first, *others = names.split()
            # A bare name with sized ones behind it is a shorthand; the model is called by its full name.
            model = Model(
                others[0] if others and ":" in others[0] and ":" not in first else first,
                size_gb, vram_gb, context_tokens, role, sees_images, family,
            )  # fmt: skip
            for name in (first, *others):
                self._index[_words(name)] = model
        for name, facts in self._additions.items():
            known = self._search(name)
            self._index[_words(name)] = _overridden(name, known, facts)

    def _search(self, name: str) -> Model | None:
        words = _words(name)
        for end in range(len(words), 0, -1):
            model = self._index.get(words[:end])
            if model is None:
                continue
            rest = words[end:]
            # A name that holds its size, or a hosted family, may go on as it likes (dates, tunings, quantisation).
            # A bare name may not: `qwen3:235b` is no `qwen3`, and `mistral-large` is no `mistral`.
            if _has_size(words[:end]) or model.is_hosted or all(_is_packing(word) for word in rest):
                return model
        return None


def _words(name: str) -> tuple[str, ...]:
    """The name's letters and numbers apart, without registry, owner and `latest`: Qwen/Qwen3-8B → qwen 3 8 b."""
    last = name.lower().rsplit("/", 1)[-1].removesuffix(":latest")
    words = tuple(re.findall(r"[a-z]+|[0-9]+(?:\.[0-9]+)*", last))
    return words[1:] if words[:2] == ("meta", "llama") else words


def _has_size(words: tuple[str, ...]) -> bool:
    return any(word in ("b", "m") and words[at - 1][0].isdigit() for at, word in enumerate(words) if at)


def _is_packing(word: str) -> bool:
    return word in _PACKING or word[0].isdigit()


def _apart(ideal: Model | None, model: Model) -> float:
    """How far two models are apart in size, as a ratio; a hosted one is farther than any local one."""
    if model.size_gb is None:
        return 1e6
    if ideal is None or ideal.size_gb is None:
        return 0.0
    return max(model.size_gb, ideal.size_gb) / max(min(model.size_gb, ideal.size_gb), 0.01)


def _overridden(name: str, known: Model | None, facts: ModelFacts) -> Model:
    base = known or Model(name, None, None, None, None, None, None)
    sees_images = facts.sees_images if facts.sees_images is not None else base.sees_images
    return Model(
        name,
        base.size_gb if facts.size_gb is None else float(facts.size_gb),
        base.vram_gb if facts.vram_gb is None else float(facts.vram_gb),
        facts.context_tokens or base.context_tokens,
        facts.role or base.role,
        True if sees_images is None and facts.role == "vision" else sees_images,
        base.family,
    )
