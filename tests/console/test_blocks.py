import pytest

from console.chat.blocks import code_blocks, first_code_block


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("no code here", []),
        ("```python\nprint(1)\n```\n", ["print(1)\n"]),
        ("before\n~~~\na\n```\nb\n~~~\nafter", ["a\n```\nb\n"]),
        ("````\n```\ninner\n```\n````", ["```\ninner\n```\n"]),
        ("```\ncut off in the mid", ["cut off in the mid"]),
        ("  ```\n  indented\n    more\n  ```", ["indented\n  more\n"]),
        ("``` not a fence ```\ntext", []),
        ("```sh\none\n```\ntext\n```\ntwo\n```", ["one\n", "two\n"]),
        ("```\r\nwindows\r\n```\r\n", ["windows\r\n"]),
        ("    ```\n    four spaces are text\n", []),
        ("```\n```", [""]),
    ],
)
def test_blocks_are_found_as_markdown_fences_them(text: str, blocks: list[str]) -> None:
    assert code_blocks(text) == blocks


def test_the_first_block_of_none_is_none() -> None:
    assert first_code_block("nothing") is None
