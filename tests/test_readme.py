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


def test_every_exit_code_is_documented() -> None:
    documented = re.findall(r"^\| (\d+) \|", (ROOT / "docs" / "headless.md").read_text(), re.MULTILINE)

    assert [int(code) for code in documented] == [int(code) for code in Exit]


def test_every_module_that_the_map_names_exists() -> None:
    named = re.findall(
        r"`((?:console|providers|rag|tests)/[a-z_/]*(?:[a-z_]\.py|/))`", (ROOT / "CONTRIBUTING.md").read_text()
    )

    assert [name for name in named if not (ROOT / name).exists()] == []
    assert len(named) > 10
