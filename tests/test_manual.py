"""The manual of a migration between two real servers."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from psycopg import sql

from migrator.cli.main import run
from migrator.demo.host import free_port
from migrator.manual import markdown
from migrator.manual.caveats import CAVEATS
from migrator.manual.scripts import NAMES, SCRIPTS
from migrator.render.units import visible
from migrator.workflow import ALL_STEPS
from tests.fixtures import small
from tests.fixtures.servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.project import Project

TABLES = (
    "a|b",
    "tick`s``and|bar",
    "<script>alert(1)</script>",
    "*star* _under_ ~~gone~~ [link](http://evil.example) ![x](y)",
    "&amp; &#60;b&#62;",
    'it\'s "quoted" \\ $x$',
    "line\nbreak\n# heading\n- item\n```",
    "# heading",
    "x" * 63,
    "数据 naïve",
)


class Page(HTMLParser):
    """The elements and the texts of a page, and the blocks of code as they would be copied."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.blocks: list[str] = []
        self.spans: list[str] = []
        self.cells: list[str] = []
        self.texts = ""
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes |= {name for name, _value in attrs}
        if tag == "td":
            self.cells.append("")
        if tag == "code":
            (self.blocks if self._open[-1:] == ["pre"] else self.spans).append("")
        if tag not in ("meta", "br", "hr"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts += data
        if "td" in self._open:
            self.cells[-1] += data
        if self._open[-1:] == ["code"]:
            (self.blocks if "pre" in self._open else self.spans)[-1] += data


def rendered(text: str) -> Page:
    return Page(MarkdownIt("commonmark", {"html": False}).enable("table").render(text))


def page_of(made: Project, *words: str) -> Page:
    return Page(made.run("manual", "--html", "--output", "-", *words).stdout)


TEXTS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1) | st.text("`|*_[]()<>&\\~#!-+. \n1ab:")


@given(TEXTS)
@example("__0__")
def test_any_text_stays_a_text_in_markdown(value: str) -> None:
    wanted = visible(value)
    table = f"| a | b |\n|---|---|\n| {markdown.text(value)} | next |\n"
    assert rendered(table).cells == [wanted.strip(" "), "next"]
    line = rendered(f"Name {markdown.text(value)}: end")
    assert line.texts.strip() == f"Name {wanted}: end"
    assert line.elements == {"p"}


@given(TEXTS)
def test_any_text_stays_code_in_markdown(value: str) -> None:
    page = rendered(f"- {markdown.code(value)}, then\n")
    assert [span.strip(" ") for span in page.spans] == [visible(value).strip(" ")]
    assert page.elements == {"ul", "li", "code"}
    # A block is there to be copied: lines and all, but for ends of line that Markdown has one kind of.
    if not set(value) & {"\r", "\x00"}:
        page = rendered(f"- item\n\n{markdown.block(value, 'sql', indent=2)}\n\n- next\n")
        wanted = value.rstrip("\n")
        assert page.blocks == [f"{wanted}\n"]
        assert page.elements == {"ul", "li", "p", "pre", "code"}


def test_the_scripts_are_the_whole_workflow_in_its_order() -> None:
    assert [step for script in SCRIPTS for step in script.steps] == list(ALL_STEPS)
    assert len(NAMES) == 15


@pytest.fixture
def pair(
    project: Callable[..., Project], source_database: str, destination_database: str
) -> Callable[..., Project]:
    def create(**sections: Any) -> Project:
        return project(source_database, destination_database, name="old.shop", **sections)

    return create


def test_the_manual_tells_of_both_servers_and_what_preflight_found(
    pair: Callable[..., Project], source_database: str
) -> None:
    with connect(source_database) as connection:
        for name in TABLES:
            query = sql.SQL("create table {} (id int)").format(sql.Identifier(name))
            connection.execute(query)
        connection.execute("create materialized view v as select 1 as one")
        connection.execute("create unlogged table cache (id int primary key)")
        connection.execute("select lo_create(0)")
        connection.execute("create sequence numbers")
    made = pair(checks={"waive": {"unlogged_tables": "rebuilt <every> night"}})
    page = page_of(made)
    # Nothing that a name holds has become an element, in the page or in any part of it.
    allowed = "html head meta title style body h1 h2 h3 p strong code pre ul ol li table thead"
    assert page.elements == set(f"{allowed} tbody tr th td".split())
    assert page.attributes <= {"lang", "charset", "http-equiv", "content", "name", "class"}
    for name in TABLES:
        label = name if name.isidentifier() and name.isascii() else '"' + name.replace('"', '""') + '"'
        assert any(visible(f"public.{label}") == span for span in page.spans), name
    assert "Waived: rebuilt <every> night" in page.texts
    assert "large_objects" in page.spans
    cells = dict(zip(page.cells, page.cells[1:], strict=False))
    assert cells["Large objects"] == cells["Unlogged tables"] == cells["Materialized views"] == "1"
    assert cells["Tables without a usable replica identity"] == str(len(TABLES))
    assert cells["Foreign tables"] == "0"
    assert cells["encoding"] == "UTF8"
    assert {caveat.title for caveat in CAVEATS} < set(page.cells)
    assert "Not rehearsed yet." in page.texts
    # What fixes it is there to be copied from the page.
    fixes = [block for block in page.blocks if "replica identity full" in block]
    assert len(fixes) == len(TABLES)
    with connect(source_database) as connection:
        for fix in fixes:
            connection.execute(fix)
        connection.execute("select lo_unlink(oid) from pg_largeobject_metadata")
    page = page_of(made)
    assert not [block for block in page.blocks if "replica identity full" in block]
    assert "large_objects" not in page.spans


def test_the_manual_follows_the_migration(pair: Callable[..., Project], source_database: str) -> None:
    small.load(source_database, rows=10)
    made = pair()
    assert run(["--config", str(made.path), "manual"]) == 0
    activate = (made.directory / "activate").read_text()
    made.run("plan", "--yes")
    made.run("advance", "--to", "replicating", "--yes")
    made.run("rehearse", "--yes")
    answer = made.json("manual", "--html")
    assert answer["warnings"] == []
    assert set(answer["files"]) == {"README.md", "README.html", "activate", *NAMES}
    # It was known without a plan what things would be called.
    assert (made.directory / "activate").read_text() == activate
    with connect(source_database) as connection:
        (name,) = connection.execute("select pubname from pg_publication").fetchone() or ("",)
    assert f"export PUBNAME={name}\n" in activate
    manual = (made.directory / "README.md").read_text()
    assert "**State: `replicating`.**" in manual
    assert "Next: `migrator advance` (`sync_sequences`)." in manual
    assert " The last rehearsal held them back for " in manual
    assert "By the checks before `sync_sequences`" in manual or "before `sync_sequences` have all" in manual
    assert "ms, 0:00:0" in Page((made.directory / "README.html").read_text()).texts


def test_the_manual_is_written_without_a_server_that_cannot_be_reached(
    project: Callable[..., Project], source_database: str, tmp_path: Any
) -> None:
    small.load(source_database, rows=1)
    nowhere = f"postgresql://postgres:s3cret@127.0.0.1:{free_port()}/new"
    made = project(source_database, nowhere)
    done = made.run("manual")
    assert done.stderr.startswith("warning: the destination (127.0.0.1")
    manual = (made.directory / "README.md").read_text()
    assert "> **Not known:** the destination (127.0.0.1" in manual
    assert "Not known: see above." in manual
    assert "| encoding | UTF8 | not known |" in manual
    assert "s3cret" not in manual + done.stdout + done.stderr
    assert made.json("manual")["warnings"][0].startswith("the destination (127.0.0.1")
