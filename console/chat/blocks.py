"""Code blocks in Markdown, found as CommonMark fences them; used to extract and to copy."""

from __future__ import annotations


def code_blocks(text: str) -> list[str]:
    """The contents of every fenced block, exact, in order. A fence left open by a cut answer runs to the end."""
    blocks: list[str] = []
    fence, indent = "", 0
    lines: list[str] = []
    for line in text.splitlines(keepends=True):
        stripped = line.lstrip(" ")
        margin = len(line) - len(stripped)
        mark = stripped.rstrip()
        if not fence:
            run = _run(stripped)
            if margin <= 3 and len(run) >= 3 and not (run[0] == "`" and "`" in mark[len(run) :]):
                fence, indent, lines = run, margin, []
        elif margin <= 3 and mark and set(mark) == {fence[0]} and len(mark) >= len(fence):
            blocks.append("".join(lines))
            fence = ""
        else:
            lines.append(line[min(margin, indent) :])
    if fence:
        blocks.append("".join(lines))
    return blocks


def first_code_block(text: str) -> str | None:
    blocks = code_blocks(text)
    return blocks[0] if blocks else None


def _run(line: str) -> str:
    if not line or line[0] not in "`~":
        return ""
    return line[: len(line) - len(line.lstrip(line[0]))]
