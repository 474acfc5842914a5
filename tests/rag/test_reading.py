"""What single readers make of what people write: headings, definitions, tables, encodings."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import NotText
from rag.reading import code, html, markdown, notebook, structured, table
from rag.reading.decode import decode
from rag.reading.formats import read
from rag.reading.kinds import kind_of
from rag.reading.layout import Layout, Reading, clean
from rag.reading.limits import MOST_SECTIONS, Limits

USUAL = Limits()


def paths(reading: Reading) -> list[str]:
    return [" › ".join(section.headings) for section in reading.sections]


def parts(reading: Reading) -> dict[str, str]:
    """The text of each section by its path."""
    return {" › ".join(each.headings): reading.text[each.start : each.end] for each in reading.sections}


def tiles(reading: Reading) -> None:
    assert [each.start for each in reading.sections] == [0, *(each.end for each in reading.sections[:-1])]
    assert reading.sections[-1].end == len(reading.text)


def test_headings_of_markdown_are_found_in_all_their_forms() -> None:
    text = (
        "before\n\nOne\n===\ntext\n\nTwo\nlines\n---\n\n### Three ###\n#no heading\n    # nor this\n"
        "- item\n---\n> quote\n===\n\n# Four {#four}\n```\n# not in code\n~~~\n```\n~~~ md\n"
        "# nor here\n```\n~~~\n####\n## Five"
    )

    assert paths(markdown.read(text)) == ["", "One", "One › lines", "One › lines › Three", "Four", "Four › Five"]


def test_front_matter_is_data_and_names_the_document() -> None:
    for text in ('---\ntitle: "Ropes"\n# no heading\n---\n# One\n', '+++\ntitle = "Ropes"\n+++\n# One\n'):
        reading = markdown.read(text)
        assert (reading.title, paths(reading)) == ("Ropes", ["", "One"])
        assert reading.sections[0].kind == "data"
    assert paths(markdown.read("---\n# One\n")) == ["", "One"]


@given(st.text(st.sampled_from("# =-`~\n>ab1.\t{}"), max_size=200))
def test_sections_of_any_markdown_follow_each_other(text: str) -> None:
    if text.strip():
        tiles(markdown.read(text))


def test_methods_of_python_stand_under_their_class() -> None:
    reading = code.read(
        "ship.py",
        "import os\n\n\n# Said of ships.\n@frozen\nclass Ship:\n    '''A ship.'''\n\n    def moor(self):\n"
        "        def inner():\n            return 1\n\n    size = 3\n\n\nasync def wait(): ...\n\n\nwait()\n",
    )

    assert paths(reading) == ["", "Ship", "Ship › moor", "Ship", "wait", ""]
    assert {section.kind for section in reading.sections} == {"code"}
    assert reading.text[reading.sections[1].start :].startswith("# Said of ships.\n@frozen\nclass Ship:")
    tiles(reading)


def test_python_that_does_not_parse_is_read_by_its_lines() -> None:
    reading = code.read("old.py", "class Ship:\n    def moor(self):\n        print 'moored'\n\ndef wait():\n    pass\n")

    assert paths(reading) == ["Ship", "Ship › moor", "wait"]


SOURCES = [
    ("a.go", "package tide\n\n// Read reads.\nfunc (r *Reader) Read(at int) error {\n\tif x {\n"
     "\t}\n}\n\nvar later = 3\n",
     ["", "Reader.Read", ""]),
    ("a.ts", "export class Port extends Sea {\n  constructor(name: string) {\n    super();\n  }\n\n"
     "  async moor(s: Ship): Promise<void> {\n    if (s) {\n      go(s);\n    }\n  }\n}\n\n"
     "export const tide = async (at) => {\n  return 1;\n};\n",
     ["Port", "Port › constructor", "Port › moor", "tide"]),
    ("a.java", "package harbour;\n\npublic class Berth<T> {\n    @Override\n    public String toString() {\n"
     "        return call(1);\n    }\n\n    static <K> Map<K, T> all(K key) throws IOException {\n    }\n}\n",
     ["", "Berth", "Berth › toString", "Berth › all"]),
    ("a.cpp", "namespace harbour {\n\nint Ship::length(int a) const\n{\n    return f(a);\n}\n\n}\n\n"
     "int main() {\n    return 0;\n}\n",
     ["harbour", "Ship::length", "main"]),
    ("a.rs", "use std::fmt;\n\n/// A berth.\n#[derive(Debug)]\npub struct Berth {\n}\n\nimpl fmt::Display for Berth {\n"
     "    fn fmt(&self) -> Result {\n    }\n}\n",
     ["", "Berth", "fmt::Display for Berth", "fmt::Display for Berth › fmt"]),
    ("a.cs", "namespace Harbour\n{\n    public class Berth\n    {\n        public async Task<int> Moor(Ship ship)\n"
     "        {\n        }\n    }\n}\n", ["Harbour", "Harbour › Berth", "Harbour › Berth › Moor"]),
    ("a.rb", "module Harbour\n  class Berth\n    def free?\n      true\n    end\n  end\nend\n\nputs 1\n",
     ["Harbour", "Harbour › Berth", "Harbour › Berth › free?", ""]),
    ("a.sh", "#!/bin/sh\nset -e\n\nmoor() {\n    echo $1\n}\n\nmoor Aurora\n", ["", "moor", ""]),
    ("a.sql", "CREATE TABLE IF NOT EXISTS berths (\n    id INTEGER\n);\n\nINSERT INTO berths VALUES (1);\n",
     ["berths", ""]),
    ("a.kt", "data class Ship(val name: String)\n\nobject Harbour {\n    suspend fun moor(s: Ship) {\n    }\n}\n",
     ["Ship", "Harbour", "Harbour › moor"]),
    ("a.php", "<?php\nclass Berth {\n    public function all(): array {\n    }\n}\nfunction moor($s) {\n}\n",
     ["", "Berth", "Berth › all", "moor"]),
    ("a.lua", "local M = {}\nfunction M.moor(s)\n  return s\nend\nM.off = function(x)\nend\nreturn M\n",
     ["", "M.moor", "M.off", ""]),
    ("a.swift", "public final class Berth: Place {\n    func moor(_ s: Ship) -> Bool {\n    }\n}\n",
     ["Berth", "Berth › moor"]),
    ("a.ex", "defmodule Harbour.Berth do\n  def moor(s) do\n    s\n  end\nend\n",
     ["Harbour.Berth", "Harbour.Berth › moor"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "source", "expected"), SOURCES, ids=[name for name, _, _ in SOURCES])
def test_definitions_are_found_in_many_languages(name: str, source: str, expected: list[str]) -> None:
    reading = code.read(name, source)

    assert paths(reading) == expected
    assert reading.text == source
    tiles(reading)


@given(
    st.text(st.sampled_from("class def f(){}:;=>\n \t#@x"), max_size=300),
    st.sampled_from(["a.py", "a.ts", "a.c", "a.rb"]),
)
def test_sections_of_any_source_follow_each_other(text: str, name: str) -> None:
    if text.strip():
        tiles(code.read(name, text))


def page(body: str) -> Reading:
    return html.read("page.html", f"<html><head><title>T</title></head><body>{body}</body></html>", USUAL)


def test_page_is_read_as_it_is_seen() -> None:
    reading = page(
        "<nav>menu</nav><script>x()</script><style>p{}</style><noscript>no</noscript><!-- comment -->"
        "<h1>One <a class='headerlink'>¶</a></h1><p>A <b>bold</b>\n  word&nbsp;&amp; &lt;tag&gt;<br>next</p>"
        "<p hidden>hidden</p><div style='display: none'>gone</div><div aria-hidden='true'>icon</div>"
        "<h2>Two</h2><ul><li>a<li>b<ol><li>c</ol></ul><img alt='A rope'><template>t</template>"
        "<pre>  keep\n    this\n</pre><table><tr><th>x<th>y<tr><td>1<td>2</table><h3></h3>"
    )

    assert parts(reading) == {
        "One": "One\n\nA bold word\xa0& <tag>\nnext\n\n",
        "One › Two": "Two\n\n- a\n- b\n  1. c\n\nA rope\n\n  keep\n    this\n\nx | y\n1 | 2",
    }
    assert reading.title == "T"


def test_main_part_of_a_page_is_taken_where_there_is_one() -> None:
    words = "words " * 50
    assert page(f"<div>sidebar</div><main>{words}</main>").text == words.strip()
    assert "sidebar" in page("<div>sidebar</div><main>too little</main>").text


MARKUP = [*"<>/ab \n&;='", "<p>", "</p>", "<h1>", "<td>", "<pre>", "<li>", "<ul>", "</ul>"]


@given(st.lists(st.sampled_from(MARKUP)))
def test_any_markup_gives_a_text_that_is_whole(pieces: list[str]) -> None:
    reading = page("x" + "".join(pieces))

    tiles(reading)
    assert reading.text.startswith("x")


def test_columns_go_with_every_row_of_a_table() -> None:
    assert table.read("a.csv", "name;age\nAda;36\n").sections[0][:1] == (("name | age",),)
    assert table.read("a.tsv", "name\tage, in years\nAda\t36\n").sections[0].headings == ("name | age, in years",)
    assert table.read("a.csv", "1,2\n3,4\n").sections[0].headings == ()
    assert table.read("a.csv", '"unclosed\n').sections[0].kind == "table"


def test_big_json_is_parted_by_its_keys_and_one_line_is_laid_out() -> None:
    long = {"ships": ["Aurora"] * 400, "a": 1, "b": 2, "berths": {"inner": ["x"] * 400}}
    pretty = structured.read_json("a.json", json.dumps(long, indent=2), USUAL)
    packed = structured.read_json("a.json", json.dumps(long), USUAL)

    assert paths(pretty) == ["ships", "", "berths"]
    assert pretty.notes == ()
    assert paths(packed) == ["ships", "", "berths"]
    assert "laid out anew" in packed.notes[0]
    assert json.loads(packed.text) == long
    assert paths(structured.read_json("a.json", '{"small": 1}', USUAL)) == [""]
    tiles(pretty)
    tiles(packed)


def test_tables_of_toml_and_keys_of_yaml_part_them() -> None:
    filler = "x = 1\n" * 200
    listed = "  - x\n" * 200

    assert paths(structured.read_toml(f"y = 1\n[tool.one]\n{filler}[[two]]\n{filler}{filler}{filler}")) == [
        "", "tool.one", "two",
    ]  # fmt: skip
    assert paths(structured.read_yaml(f"# c\none:\n{listed}two words:\n{listed}{listed}{listed}")) == [
        "", "one", "two words",
    ]  # fmt: skip


def test_cells_of_a_notebook_keep_their_order_and_outputs_are_bounded() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Tides\n", "High water."]},
        {"cell_type": "code", "source": "print(1)", "outputs": [
            {"output_type": "stream", "text": ["1\n"]},
            {"output_type": "display_data", "data": {"image/png": "aGVsbG8=", "text/plain": "<Figure>"}},
            {"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": ["\x1b[31mlong"]},
            {"output_type": "execute_result", "data": {"text/plain": "y" * 5_000}},
        ]},
        {"cell_type": "markdown", "source": "## Low\nwater"},
        "rubbish",
    ]  # fmt: skip
    reading = notebook.read("n.ipynb", json.dumps({"cells": cells}), USUAL)

    assert paths(reading) == ["Tides", "Tides", "Tides › Low"]
    assert [section.kind for section in reading.sections] == ["prose", "code", "prose"]
    assert "print(1)\n\n1\n\n<Figure>\n\nValueError: no\n\nyyy" in reading.text
    assert "aGVsbG8" not in reading.text
    assert len(reading.text) < 2_300
    assert "1 outputs" in reading.notes[0]


@pytest.mark.parametrize(
    ("content", "declared", "text", "note"),
    [
        ("Größe".encode("utf-16-le"), None, "Größe", "read as UTF-16"),
        ("Grösse of ropes".encode("utf-16-be"), None, "Grösse of ropes", "read as UTF-16"),
        ("Ελληνικά".encode("iso8859-7"), "iso-8859-7", "Ελληνικά", None),
        ("naïve – café".encode("cp1252"), "latin1", "naïve – café", None),
        ("naïve".encode("cp1252"), "no-such-charset", "naïve", "read as Windows-1252"),
        (("größer " * 20).encode() + b"\xff", None, "größer " * 20 + "\ufffd", "broken places"),
        (b"plain\x0cpage", None, "plain\npage", None),
    ],
)
def test_encoding_is_found_or_its_guess_told(content: bytes, declared: str | None, text: str, note: str | None) -> None:
    read_text, said = decode("file.txt", content, declared)

    assert read_text == text
    assert (said is None) == (note is None)
    assert note is None or note in str(said)


def test_charset_that_a_page_declares_is_believed() -> None:
    content = "<html><meta charset='iso-8859-7'><p>Ελληνικά</p>".encode("iso8859-7")

    assert read("p.html", io.BytesIO(content), len(content), USUAL).text == "Ελληνικά"


def test_utf_16_that_is_none_is_no_text() -> None:
    with pytest.raises(NotText):
        decode("x", b"a\0b\0\x00\xd8c\0")


@pytest.mark.parametrize(
    ("head", "name", "kind"),
    [
        (b"%PDF-1.7", "x.txt", "pdf"),
        (b"x = '%PDF-1.4'", "pdfs.py", "code"),
        (b"\n<!DOCTYPE html><p>", "page", "html"),
        (b"<html lang='de'>", "saved.txt", "html"),
        (b"# About <html>", "a.md", "markdown"),
        (b"#!/usr/bin/env python3\n", "tool", "code"),
        (b"From: a@b\nTo: c\nSubject: d\n\nhi", "", "mail"),
        (b"From a@b Mon\nFrom: a@b\n", "archive", "mailbox"),
        (b"From: the top\nno mail", "notes.txt", "text"),
        (b"all:\n", "Makefile", "code"),
        (b"just words", "README", "text"),
    ],
)
def test_kind_follows_from_bytes_then_name(head: bytes, name: str, kind: str) -> None:
    assert kind_of(head, name) == kind


@given(st.text())
def test_cleaned_text_stays_as_it_is(text: str) -> None:
    once = clean(text)

    assert clean(once) == once
    assert once == once.encode("utf-8").decode()
    assert not set(once) & {"\r", "\x1b", "\0", "\x9b"}


def test_number_of_sections_is_bounded() -> None:
    layout = Layout("x", USUAL)
    for number in range(MOST_SECTIONS + 100):
        layout.heading(1, str(number))

    reading = layout.finish("text/plain")

    assert len(reading.sections) <= MOST_SECTIONS + 1
    tiles(reading)
