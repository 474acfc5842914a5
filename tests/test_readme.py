"""What the README says is so: its commands are there, its links lead somewhere, its figures name how they were got."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from console.cli import COMMANDS
from console.errors import Exit

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_lead_to_files(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", document.read_text())

    assert [link for link in links if not (document.parent / link).exists()] == []


def test_its_make_commands_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^    make ([a-z]+)", README + (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE))

    assert {"run", "test"} <= named <= targets


def test_it_names_every_command_and_no_other() -> None:
    named = set(re.findall(r"(?:`|^    )hawser ([a-z]+)", README, re.MULTILINE))

    assert named == set(COMMANDS)


def test_every_page_can_be_reached_from_it() -> None:
    pages = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}

    assert pages <= set(re.findall(r"\]\(([^)#]+)", README))


def test_every_picture_is_shown_and_small() -> None:
    shown = {
        (document.parent / link).resolve()
        for document in DOCUMENTS
        for link in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", document.read_text())
    }
    pictures = set((ROOT / "docs").glob("*.png"))

    assert pictures == shown
    assert all(picture.stat().st_size < 300_000 for picture in pictures)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_into_pages_lead_to_headings(document: Path) -> None:
    for page, heading in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", document.read_text()):
        there = document.parent / page if page else document
        titles = re.findall(r"^#+ (.+)$", there.read_text(), re.MULTILINE)
        assert heading in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_exit_code_is_documented() -> None:
    documented = re.findall(r"^\| (\d+) \|", (ROOT / "docs" / "headless.md").read_text(), re.MULTILINE)

    assert [int(code) for code in documented] == [int(code) for code in Exit]


def test_every_module_that_the_map_names_exists() -> None:
    named = re.findall(
        r"`((?:console|providers|rag|screens|tests)/[a-z_/]*(?:[a-z_]\.py|/))`", (ROOT / "CONTRIBUTING.md").read_text()
    )

    assert [name for name in named if not (ROOT / name).exists()] == []
    assert len(named) > 10
