"""An engine in a process of its own, to be killed: adds files that it writes, and says which ones are acknowledged."""

from __future__ import annotations

import sys
from pathlib import Path

from rag.chunks import Rules
from rag.index_exact import ExactIndex
from tests.rag.kit import HashEmbedder, engine_in, write

PARAGRAPHS = 12


def text_of(number: int, turn: int) -> str:
    """Differs from turn to turn in one paragraph."""
    lines = [
        f"Document {number} says in paragraph {line} that {line * number} is a number." for line in range(PARAGRAPHS)
    ]
    lines[turn % PARAGRAPHS] = f"Turn {turn} changed this paragraph of document {number}."
    return "\n\n".join(lines)


def main(home: Path, files: Path, first: int) -> None:
    with engine_in(home, HashEmbedder(), index=ExactIndex(home / "index"), rules=Rules(chunk_tokens=24)) as engine:
        turn = first
        while True:
            number = turn % 10
            [path] = write(files, **{f"file{number}": text_of(number, turn)})
            path.touch()
            document, *_ = engine.add([str(path)], "notes").document_ids
            print(f"{document} {turn} {path.name}", flush=True)
            engine.wait([document], "lexical", 0.05)
            turn += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
