"""Whether an answer has the shape of an example: every name the example has, with a value of the same kind."""

from __future__ import annotations

from typing import Any


def differences(example: Any, answer: Any, at: str = "answer") -> list[str]:
    """What the answer lacks or has of another kind; more than the example has is no difference."""
    if example is None:
        return []
    if isinstance(example, dict):
        if not isinstance(answer, dict):
            return [f"{at} is no object"]
        lacking = [f"{at} lacks {name}" for name in example if name not in answer]
        both = [name for name in example if name in answer]
        return lacking + [line for name in both for line in differences(example[name], answer[name], f"{at}.{name}")]
    if isinstance(example, list):
        if not isinstance(answer, list):
            return [f"{at} is no list"]
        return [] if not example or not answer else differences(example[0], answer[0], f"{at}[0]")
    if isinstance(example, bool) or isinstance(answer, bool):
        return [] if type(example) is type(answer) else [f"{at} is {answer!r}, the example has {example!r}"]
    numbers = (int, float)
    is_alike = isinstance(example, numbers) and isinstance(answer, numbers)
    if is_alike or type(example) is type(answer):
        return []
    return [f"{at} is {answer!r}, the example has {example!r}"]
