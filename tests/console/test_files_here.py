"""The files below a folder, without what Git leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.files_here import files_below
from rag.ignore_rules import RuleFile, is_ignored, parse_rule


def make(folder: Path, *names: str) -> None:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")


def ignored(rules: str, path: str, *, is_folder: bool = False) -> bool:
    parsed = tuple(rule for rule in map(parse_rule, rules.splitlines()) if rule is not None)
    return is_ignored(path, is_folder, [RuleFile("", parsed)])


@pytest.mark.parametrize(
    ("rules", "path"),
    [
        ("*.log", "a.log"),
        ("*.log", "deep/down/a.log"),
        ("/a.log", "a.log"),
        ("docs/*.md", "docs/a.md"),
        ("**/build/x", "a/b/build/x"),
        ("**/build/x", "build/x"),
        ("a/**", "a/b/c"),
        ("a/**/z", "a/z"),
        ("a/**/z", "a/b/c/z"),
        ("?.py", "x.py"),
        ("[ab].py", "a.py"),
        ("[!ab].py", "c.py"),
        ("[^ab].py", "c.py"),
        ("\\#x", "#x"),
        ("\\!x", "!x"),
        ("x\\ ", "x "),
        ("x  ", "x"),
        ("!a\na", "a"),
        ("a[", "a["),
    ],
)
def test_a_rule_fits(rules: str, path: str) -> None:
    assert ignored(rules, path)


@pytest.mark.parametrize(
    ("rules", "path"),
    [
        ("", "a"),
        ("# a", "a"),
        ("*.log", "a.log.txt"),
        ("/a.log", "b/a.log"),
        ("docs/*.md", "docs/deep/a.md"),
        ("docs/*.md", "other/docs/a.md"),
        ("build/", "build"),
        ("a\n!a", "a"),
        ("?.py", "xy.py"),
        ("[!ab].py", "a.py"),
        ("a/**", "a"),
    ],
)
def test_a_rule_does_not_fit(rules: str, path: str) -> None:
    assert not ignored(rules, path)


def test_a_rule_for_folders_fits_folders() -> None:
    assert ignored("build/", "src/build", is_folder=True)


def test_a_rule_of_many_stars_is_quick() -> None:
    assert not ignored("*" * 900 + "b", "a" * 2_000)


def test_files_come_near_ones_first_and_without_what_is_ignored(tmp_path: Path) -> None:
    make(tmp_path, "z.txt", "src/a.py", "src/deep/b.py", "out/c.o", "node_modules/x.js", ".git/config", ".hidden/x")
    make(tmp_path, ".github/ci.yml", ".env", "src/skip.tmp", "src/deep/keep.tmp")
    (tmp_path / ".gitignore").write_text("out/\n*.tmp\n")
    (tmp_path / "src" / "deep" / ".gitignore").write_text("!keep.tmp\n")

    found = files_below(tmp_path)

    assert found.is_complete
    assert found.names == (
        ".env",
        ".gitignore",
        "z.txt",
        ".github/ci.yml",
        "src/a.py",
        "src/deep/.gitignore",
        "src/deep/b.py",
        "src/deep/keep.tmp",
    )


def test_rules_of_the_repository_above_count(tmp_path: Path) -> None:
    make(tmp_path, ".git/info/exclude", "one/two/a.txt", "one/two/b.log", "one/two/c.tmp", "one/two/d.bak")
    (tmp_path / ".git" / "info" / "exclude").write_text("*.bak\n")
    (tmp_path / ".gitignore").write_text("/one/two/*.log\n")
    (tmp_path / "one" / ".gitignore").write_text("*.tmp\n")

    assert files_below(tmp_path / "one" / "two").names == ("a.txt",)


def test_rules_above_a_folder_that_is_in_no_repository_do_not_count(tmp_path: Path) -> None:
    make(tmp_path, "one/a.txt")
    (tmp_path / ".gitignore").write_text("*.txt\n")

    assert files_below(tmp_path / "one").names == ("a.txt",)


def test_the_list_is_bounded_in_number_and_time_and_can_be_stopped(tmp_path: Path) -> None:
    make(tmp_path, *(f"{number}.txt" for number in range(30)))
    times = iter([0.0, *[1.0] * 10, *[100.0] * 100])

    assert len(files_below(tmp_path, most=10).names) == 10
    assert not files_below(tmp_path, most=10).is_complete
    assert files_below(tmp_path, stopped=lambda: True).names == ()
    assert len(files_below(tmp_path, monotonic=lambda: next(times)).names) == 10


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    make(tmp_path, "a/b.txt")
    (tmp_path / "a" / "again").symlink_to(tmp_path, target_is_directory=True)

    assert files_below(tmp_path).names == ("a/b.txt",)


def test_a_folder_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    assert files_below(tmp_path / "gone").names == ()
