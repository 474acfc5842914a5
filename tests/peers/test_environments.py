"""The environments of third-party programs are built whole or not at all, once, and say plainly when they cannot."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.peers import environments
from tests.peers.environments import NotBuilt, build, folder, main, program

NOWHERE = "http://127.0.0.1:9/"
A_PACKAGE = "hawser-peer==1.0 --hash=sha256:" + "0" * 64 + "\n"


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One lock that asks for nothing, in folders of this test."""
    monkeypatch.setattr(environments, "HERE", tmp_path / "locks")
    monkeypatch.setattr(environments, "CACHE", tmp_path / "checkout" / ".cache" / "peers")
    file = tmp_path / "locks" / "peer.lock"
    file.parent.mkdir()
    file.write_text("# nothing\n")
    return file


def pretend_built(place: Path) -> None:
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "python").symlink_to(sys.executable)
    (place / "ready").write_text(str(place.resolve()))


def test_build_that_was_interrupted_is_begun_anew_once_for_all_who_want_it(
    lock: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rest = folder("peer") / "bin" / "half-written"
    rest.parent.mkdir(parents=True)
    rest.touch()
    builders = [threading.Thread(target=build, args=("peer",)) for _ in range(2)]

    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()

    assert not rest.exists()
    assert program("peer", "python").exists()
    assert capsys.readouterr().out.count("building peer;") == 1


def test_built_environment_is_left_alone(lock: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pretend_built(folder("peer"))

    assert main() == 0

    assert capsys.readouterr().out == f"peers: peer at .cache/peers/{folder('peer').name}\n"
    assert sorted(path.name for path in folder("peer").iterdir()) == ["bin", "ready"]


def test_changed_lock_is_another_environment(lock: Path) -> None:
    pretend_built(folder("peer"))

    lock.write_text(A_PACKAGE)

    with pytest.raises(NotBuilt):
        program("peer", "python")


def test_program_of_an_environment_that_is_not_built_says_how_to_build_it(lock: Path) -> None:
    with pytest.raises(NotBuilt, match=r"'peer' .* is not built: run `make peers`"):
        program("peer", "llm")


def test_environment_that_was_moved_or_lost_its_python_counts_as_not_built(lock: Path, tmp_path: Path) -> None:
    place = folder("peer")
    pretend_built(tmp_path / "elsewhere")
    place.parent.mkdir(parents=True)
    (tmp_path / "elsewhere").rename(place)
    with pytest.raises(NotBuilt):
        program("peer", "python")

    (place / "ready").write_text(str(place.resolve()))
    assert program("peer", "python") == place / "bin" / "python"
    (place / "bin" / "python").unlink()
    with pytest.raises(NotBuilt):
        program("peer", "python")


def test_unused_environments_go_after_two_weeks(lock: Path) -> None:
    current, recent, old = folder("peer"), folder("peer").with_name("peer-recent"), folder("peer").with_name("peer-old")
    for place in (current, recent, old):
        pretend_built(place)
    for place in (current, old):
        os.utime(place / "ready", (0, 0))

    build("peer")

    assert current.exists()
    assert recent.exists()
    assert not old.exists()


def test_build_without_a_package_index_ends_with_the_reason(lock: Path) -> None:
    lock.write_text(A_PACKAGE)
    script = (
        "import sys, pathlib; from tests.peers import environments as e;"
        "e.HERE, e.CACHE = map(pathlib.Path, sys.argv[1:]); sys.exit(e.main())"
    )
    environment = {"PATH": os.environ["PATH"], "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": NOWHERE}
    environment |= {"PIP_RETRIES": "0", "PYTHONPATH": str(Path(__file__).parents[2])}

    done = subprocess.run(
        [sys.executable, "-c", script, lock.parent, environments.CACHE],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("peers: The environment 'peer' could not be built: pip ended with 1")
    assert not (folder("peer") / "ready").exists()
