"""Documents, measured: how fast they are taken in and found, what they add elsewhere, what they take.

    python -m benchmarks.documents                         every part but the last, which takes long
    python -m benchmarks.documents --only headless,ingest --rounds 5
    python -m benchmarks.documents --only million

Floors and peers are measured in the same run and in turn with ours, so that a busy moment hits all of them; figures
are medians. Workers are real processes. How well passages are found is `benchmarks/retrieval.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmarks.documents_embedding import embed, ingest, question
from benchmarks.documents_files import again, pdf
from benchmarks.documents_headless import headless
from benchmarks.documents_large import large, million, resident
from benchmarks.documents_rows import Bench, Row
from benchmarks.documents_terminal import terminal

PARTS: Mapping[str, Callable[[Bench], Iterator[Row]]] = {
    "headless": headless,
    "embed": embed,
    "question": question,
    "ingest": ingest,
    "pdf": pdf,
    "again": again,
    "resident": resident,
    "large": large,
    "terminal": terminal,
    "million": million,
}
ON_REQUEST = {"million"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="PART,PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    parts = options.only.split(",") if options.only else [each for each in PARTS if each not in ON_REQUEST]
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no part {min(unknown)!r}")
    rows = []
    with tempfile.TemporaryDirectory(prefix="hawser-bench-") as folder:
        bench = Bench(Path(folder), options.rounds, lambda text: print(text, file=sys.stderr, flush=True))
        for part in parts:
            for row in PARTS[part](bench):
                rows.append(row)
                if not options.json:
                    print(line(row), flush=True)
    if options.json:
        print(json.dumps([{**row._asdict(), "ok": row.is_ok} for row in rows], indent=2))
    return 0 if all(row.is_ok for row in rows) else 1


def line(row: Row) -> str:
    figure = f"{row.figure:9.2f} {row.unit:9}"
    return f"{row.part:10} {row.measure:52} {figure} {row.reach:14} {row.verdict:7} {row.beside}".rstrip()


if __name__ == "__main__":
    sys.exit(main())
