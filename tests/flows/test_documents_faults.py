"""Documents that are hostile or broken, and embedders that fail: from the command line, through the real worker."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from console.paths import Paths
from providers.simulated.faults import Fault, FaultKind
from providers.simulated.services import SimulatedOllama
from tests.flows.kit import Done, Hawser, endpoint
from tests.flows.test_documents_worker import folder, paths

DOCUMENTS = Path(__file__).parent.parent / "data" / "documents"
__all__ = ["folder", "paths"]

EVIL = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x1b[0m \x9b31mtoo \u202egnirts\u202c \x08\x7f"
CONTROL = re.compile(b"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")
MARKUP = "<p>The {evil} hawser <script>alert('hawser')</script><img src=x onerror=alert(1)> &#27;[31m moors a ship.</p>"


def is_harmless(done: Done) -> bool:
    return not CONTROL.search(done.out) and not CONTROL.search(done.err.encode("utf-8", "surrogateescape"))


def test_control_codes_and_markup_never_reach_the_terminal(hawser: Hawser, paths: Paths, folder: Path) -> None:
    page = folder / f"evil{EVIL}.html"
    page.write_text(MARKUP.format(evil=EVIL) + "<p>" + "More of it. " * 40)
    (folder / f"binary{EVIL}.txt").write_bytes(bytes(range(256)) * 40)
    (folder / "note.md").write_text(f"# Head{EVIL}\n\nA hawser {EVIL} is thick. [red](javascript:alert) **bold**\n")

    added = hawser.run("rag", "add", str(folder), "-C", "ropes")
    done = [
        added,
        hawser.run("rag", "add", str(folder), "-C", "ropes", "--json"),
        hawser.run("rag", "ls", "ropes"),
        hawser.run("rag", "ls", "ropes", "--json"),
        hawser.run("rag", "ls", "ropes", "--failed"),
        hawser.run("rag", "query", "hawser", "ship"),
        hawser.run("rag", "query", f"hawser{EVIL}", "--json"),
        hawser.run("--prompt", "Which ship?", "-r", "ropes", "--json"),
        hawser.run("rag", "query", "ship", "-C", f"none{EVIL}"),
        hawser.run("rag", "rm", "ropes", f"nothing{EVIL}"),
    ]
    found = done[6].json()["items"]

    for number, each in enumerate(done):
        assert is_harmless(each), (number, each)
    assert "is not text" in added.err
    assert any("moors a ship" in each["text"] for each in found)
    assert not any("alert('hawser')" in each["text"] for each in found)
    assert {each["path"] for each in done[3].json()["items"]} == {str(each) for each in folder.iterdir()}


def test_what_cannot_be_read_is_named_and_the_rest_is_found(hawser: Hawser, paths: Paths, folder: Path) -> None:
    with (folder / "huge.txt").open("wb") as file:
        file.truncate(2_000_000_000)
    (folder / "binary.txt").write_bytes(os.urandom(10_000))
    (folder / "locked.pdf").write_bytes((DOCUMENTS / "locked.pdf").read_bytes())
    (folder / "deep.html").write_text("<div>" * 30_000)
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "itself.txt").symlink_to(folder / "itself.txt")

    added = hawser.run("rag", "add", str(folder), "-C", "ropes")
    failed = hawser.run("rag", "ls", "ropes", "--failed", "--json").json()["items"]
    found = hawser.run("rag", "query", "unequal", "thickness", "--json").json()["items"]

    assert f"Left out {folder / 'itself.txt'}: Too many levels of symbolic links." in added.err
    reasons = {each["name"]: each["error"] for each in failed}
    assert set(reasons) == {"huge.txt", "binary.txt", "locked.pdf", "deep.html"}
    assert "up to 100,000,000" in reasons["huge.txt"]
    assert "not text" in reasons["binary.txt"]
    assert "password" in reasons["locked.pdf"]
    assert "deep" in reasons["deep.html"]
    assert found[0]["document"] == "knots.md"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.STATUS, 500),
        Fault(FaultKind.OTHER_SIZE, 12),
        Fault(FaultKind.NOT_A_NUMBER),
        Fault(FaultKind.RESET),
    ],
    ids=lambda fault: fault.kind.value,
)
def test_embedder_that_fails_costs_no_document_and_no_answer(
    hawser: Hawser, paths: Paths, folder: Path, ollama: SimulatedOllama, fault: Fault
) -> None:
    hawser.settings(
        endpoint("inference", ollama),
        '[rag]\nembedder = "inference/nomic-embed-text:latest"',
        model="inference/llama3.1:8b",
    )
    first = hawser.run("rag", "add", str(folder / "knots.md"), "-C", "ropes", "--wait", "--json").json()["items"]
    ollama.faults.always(fault)

    asked = hawser.run("rag", "query", "unequal", "thickness", "--json").json()
    added = hawser.run("rag", "add", str(folder / "hawsers.md"), "-C", "ropes", "--json").json()["items"]
    ollama.faults.clear()
    again = hawser.run("rag", "add", str(folder / "hawsers.md"), "-C", "ropes", "--wait", "--json").json()["items"]
    after = hawser.run("rag", "query", "unequal", "thickness", "--json").json()

    assert [each["state"] for each in first] == ["ready"]
    assert asked["items"][0]["document"] == "knots.md"
    assert any("words only" in note for note in asked["notes"])
    assert [each["state"] for each in added] == ["lexical"]
    assert [each["state"] for each in again] == ["ready"]
    assert (after["method"], after["notes"]) == ("hybrid", [])
