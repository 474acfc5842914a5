"""A cross-encoder of sentence-transformers itself, small and made here: what it gives, and what is said without one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rag.cross_encoder import CrossEncoder
from rag.errors import NoModel, RerankerFailed
from tests.rag.model import weights

PASSAGES = ["A bowline makes a loop.", "Copper is dear.", "A loop of wire. " * 300]


@pytest.fixture(scope="module")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder as models come in, with weights that mean nothing."""
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("cross-encoder")
    torch.manual_seed(7)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(weights() / "tokenizer.json"),
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=128,
    )
    config = transformers.BertConfig(
        vocab_size=30_522,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=128,
        num_labels=1,
    )
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_every_passage_gets_a_score_of_its_own(small_model: str) -> None:
    rerank = CrossEncoder(small_model, limit_s=120)

    first = rerank("What makes a loop?", PASSAGES)

    assert len(first) == len(set(first)) == 3
    assert rerank("What makes a loop?", PASSAGES[::-1]) == pytest.approx(first[::-1], abs=1e-5)
    assert rerank("Another question", PASSAGES) != first


def test_a_model_that_is_not_here_says_so_each_time(tmp_path: Path) -> None:
    rerank = CrossEncoder(str(tmp_path / "none"), limit_s=120)

    for _ in range(2):
        with pytest.raises(NoModel, match="cannot be loaded") as told:
            rerank("Why?", PASSAGES)
        assert "cache of sentence-transformers" in (told.value.hint or "")


class Slow:
    """Stands where the model is, so that a test says how long it takes."""

    def __init__(self) -> None:
        self.began, self.may_end = threading.Event(), threading.Event()

    def predict(self, pairs: list[Any], **_: object) -> Any:
        import numpy as np

        self.began.set()
        assert self.may_end.wait(60)
        if not pairs[0][0]:
            raise ValueError("an empty question\nand more")
        return np.arange(len(pairs), dtype=np.float32)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    model = Slow()
    monkeypatch.setattr("rag.cross_encoder._loaded", lambda name, threads: model)
    return model


def in_time(ask: Callable[[], list[float]]) -> list[float]:
    """Once the thread of the question before is done, which takes as long as it takes."""
    for _ in range(6_000):
        try:
            return ask()
        except RerankerFailed:
            threading.Event().wait(0.01)
    raise AssertionError("it stays busy for ever")


def test_a_question_does_not_wait_longer_than_its_limit(slow: Slow) -> None:
    rerank = CrossEncoder("slow", limit_s=0.05)
    with pytest.raises(RerankerFailed, match=r"did not rank|still being loaded"):
        rerank("Why?", PASSAGES)
    assert slow.began.wait(60)
    with pytest.raises(RerankerFailed, match=r"did not rank the passages within 0\.05 s"):
        rerank("Why?", PASSAGES)

    slow.may_end.set()
    assert in_time(lambda: rerank("Why?", PASSAGES)) == [0.0, 1.0, 2.0]


def test_what_a_library_raises_is_a_sentence(slow: Slow) -> None:
    slow.may_end.set()
    with pytest.raises(RerankerFailed, match=r"failed: an empty question\.$"):
        CrossEncoder("slow", limit_s=60)("", PASSAGES)
