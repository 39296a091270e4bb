"""Reading what pg_dump and pg_restore write, and finding and running them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from migrator.demo.binaries import find_binaries
from migrator.errors import ToolFailed
from migrator.pg import tools
from migrator.pg.dump import Entry, Part, SchemaDump, _parse, dump_schema
from migrator.pg.names import Names
from migrator.pg.server import Server
from migrator.pg.session import ReadSession
from tests.fixtures import schema
from tests.fixtures.servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from migrator.demo.servers import EmbeddedServer

NAMES = Names("move", "move_0123456789")

LISTING = """\
;
; Archive created at 2026-01-01 00:00:00 UTC
;     dbname: shop
;     TOC Entries: 5
;
; Selected TOC Entries:
;
3400; 0 0 ENCODING - ENCODING
215; 1259 16385 TABLE public orders postgres
3402; 0 0 ACL public TABLE orders postgres
3403; 0 0 COMMENT - EVENT TRIGGER late postgres
3404; 3466 16400 EVENT TRIGGER - late postgres
216; 1259 16390 INDEX public orders_at postgres
"""

# pg_restore writes grants after everything else, and event triggers after those.
SCRIPT = """\
--
-- PostgreSQL database dump
--

\\restrict KeyKeyKey

-- Dumped from database version 17.0

SET statement_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SELECT pg_catalog.set_config('search_path', '', false);

--
-- TOC entry 215 (class 1259 OID 16385)
-- Name: orders; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.orders (
    note text DEFAULT '
--
-- TOC entry 216 (class 1259 OID 16390)
--
'
);


--
-- TOC entry 216 (class 1259 OID 16390)
-- Name: orders_at; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX orders_at ON public.orders USING btree (at);


--
-- TOC entry 3402 (class 0 OID 0)
-- Dependencies: 215
-- Name: TABLE orders; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.orders TO reader;


--
-- TOC entry 3403 (class 0 OID 0)
-- Name: EVENT TRIGGER late; Type: COMMENT; Schema: -; Owner: postgres
--

COMMENT ON EVENT TRIGGER late IS '-- Completed on no day';


--
-- TOC entry 3404 (class 3466 OID 16400)
-- Name: late; Type: EVENT TRIGGER; Schema: -; Owner: postgres
--

CREATE EVENT TRIGGER late ON ddl_command_end EXECUTE FUNCTION public.late();

-- Completed on 2026-01-01 00:00:00 UTC

--
-- PostgreSQL database dump complete
--

\\unrestrict KeyKeyKey

"""


def entry(kind: str, text: str = "", oid: int = 0) -> Entry:
    return Entry(kind, 0, oid, f"{kind} title", text)


def test_every_listed_entry_is_found_with_its_kind_its_catalog_row_and_its_sql() -> None:
    dump = _parse(LISTING, SCRIPT.replace("16390)\n--\n'", "16391)\n--\n'"))
    assert [(e.kind, e.class_oid, e.object_oid) for e in dump.entries] == [
        ("TABLE", 1259, 16385),
        ("INDEX", 1259, 16390),
        ("ACL", 0, 0),
        ("COMMENT", 0, 0),
        ("EVENT TRIGGER", 3466, 16400),
    ]
    table, index, grant, comment, trigger = (e.sql for e in dump.entries)
    assert table.startswith("CREATE TABLE public.orders (")
    assert table.endswith(");")
    assert index == "CREATE INDEX orders_at ON public.orders USING btree (at);"
    assert grant == "GRANT SELECT ON TABLE public.orders TO reader;"
    assert comment == "COMMENT ON EVENT TRIGGER late IS '-- Completed on no day';"
    assert trigger == "CREATE EVENT TRIGGER late ON ddl_command_end EXECUTE FUNCTION public.late();"


def test_the_preamble_keeps_the_settings_except_those_of_the_session() -> None:
    preamble = _parse(LISTING, SCRIPT).preamble
    assert "SET client_encoding = 'UTF8';" in preamble
    assert "search_path" in preamble
    assert "timeout" not in preamble


def test_what_psql_alone_understands_is_taken_out() -> None:
    assert "restrict" not in _parse(LISTING, SCRIPT).script
    without = SCRIPT.replace("\\restrict KeyKeyKey\n", "").replace("\\unrestrict KeyKeyKey\n", "")
    assert _parse(LISTING, SCRIPT) == _parse(LISTING, without)


def test_a_body_that_looks_like_psqls_words_is_left_alone_where_pg_dump_writes_none() -> None:
    without = SCRIPT.replace("\\restrict KeyKeyKey\n", "").replace("\\unrestrict KeyKeyKey\n", "")
    dump = _parse(LISTING, without.replace("USING btree (at)", "USING btree (at) /*\n\\restrict x\n*/"))
    assert "/*\n\\restrict x\n*/" in dump.script


def test_an_entry_that_was_listed_and_not_written_is_an_error() -> None:
    with pytest.raises(ToolFailed, match="lists 'TABLE public missing postgres' and did not write it"):
        _parse(LISTING + "999; 1259 1 TABLE public missing postgres\n", SCRIPT)


def test_an_entry_of_an_unknown_kind_is_an_error() -> None:
    listing = LISTING.replace("INDEX public", "SPELL public")
    with pytest.raises(ToolFailed, match="of a kind that migrator does not know: 'SPELL public"):
        _parse(listing, SCRIPT)


def test_an_empty_archive_has_no_entries() -> None:
    listing = LISTING[: LISTING.index("215;")]
    head = SCRIPT[: SCRIPT.index("--\n-- TOC entry 215")]
    dump = _parse(listing, head)
    assert dump.entries == ()
    assert "client_encoding" in dump.script


def test_a_key_is_the_same_in_every_dump_of_the_same_definition() -> None:
    one = entry("INDEX", "CREATE INDEX a ON b (c);", oid=1)
    other = entry("INDEX", "CREATE INDEX a ON b (c);\n\nSET default_tablespace = '';", oid=2)
    assert one.key == other.key
    assert one.key != entry("INDEX", "CREATE INDEX a ON b (d);").key
    assert one.key != entry("CONSTRAINT", "CREATE INDEX a ON b (c);").key


def test_each_entry_belongs_to_one_part_and_publications_to_none_that_is_restored() -> None:
    kinds = ("CONSTRAINT", "INDEX", "INDEX ATTACH", "FK CONSTRAINT", "TRIGGER", "PUBLICATION", "POLICY")
    dump = SchemaDump("", tuple(entry(kind, oid=number) for number, kind in enumerate(kinds, 1)))
    parts = {part: [e.kind for e in dump.part(part, of_views={2})] for part in Part}
    assert parts[Part.INDEX] == ["CONSTRAINT", "INDEX ATTACH"]
    assert parts[Part.FOREIGN_KEY] == ["FK CONSTRAINT"]
    assert parts[Part.NEVER] == ["PUBLICATION"]
    assert parts[Part.REST] == ["INDEX", "TRIGGER", "POLICY"]


@pytest.fixture
def servers(
    source_database: str,
    destination_database: str,
    source_cluster: EmbeddedServer,
) -> Iterator[tuple[Server, Server]]:
    """Both servers, the source with the rich schema."""
    schema.create_roles(source_cluster)
    schema.load(source_database)
    with (
        ReadSession.open(source_database, side="source", application="test") as one,
        ReadSession.open(destination_database, side="destination", application="test") as other,
    ):
        yield Server.read(one, source_database), Server.read(other, destination_database)


def test_a_real_dump_of_nearly_everything_is_understood(servers: tuple[Server, Server]) -> None:
    pre = dump_schema(*servers, NAMES, "pre-data")
    post = dump_schema(*servers, NAMES, "post-data")
    kinds = {e.kind for e in (*pre.entries, *post.entries)}
    assert {"TABLE", "TABLE ATTACH", "DOMAIN", "EXTENSION", "AGGREGATE", "DEFAULT ACL"} <= kinds
    assert {"TRIGGER", "POLICY", "ROW SECURITY", "STATISTICS", "EVENT TRIGGER", "RULE"} <= kinds
    assert not {"PUBLICATION", "PUBLICATION TABLE"} & kinds
    assert all(e.sql for e in (*pre.entries, *post.entries) if e.kind != "MATERIALIZED VIEW DATA")
    keys = [e.key for e in post.entries]
    assert len(set(keys)) == len(keys)
    assert [e.key for e in dump_schema(*servers, NAMES, "post-data").entries] == keys


def test_our_own_schema_is_not_dumped(servers: tuple[Server, Server], source_database: str) -> None:
    with connect(source_database) as connection:
        connection.execute(f"create schema {NAMES.schema}")
        connection.execute(f"create table {NAMES.schema}.journal ()")
    assert NAMES.schema not in dump_schema(*servers, NAMES, "pre-data").script


def test_an_empty_database_is_an_empty_dump(source_database: str, destination_database: str) -> None:
    with ReadSession.open(source_database, side="source", application="test") as session:
        server = Server.read(session, source_database)
    assert dump_schema(server, server, NAMES, "pre-data").entries == ()
    assert dump_schema(server, server, NAMES, "post-data").entries == ()


@pytest.mark.parametrize(
    "body",
    [
        "begin\n--\n-- TOC entry 1 (class 1259 OID 1)\n-- Name: x\n--\nend",
        "begin\n-- Completed on 2026-01-01\n--\nend",
        "begin\n/*\n\\restrict x\n\\unrestrict x\n*/\nend",
    ],
)
def test_no_body_of_a_function_is_taken_for_a_boundary(
    servers: tuple[Server, Server], source_database: str, body: str
) -> None:
    with connect(source_database) as connection:
        connection.execute(
            f"create function shop.zz_last() returns trigger language plpgsql as $tricky${body}$tricky$"
        )
    dump = dump_schema(*servers, NAMES, "pre-data")
    (found,) = [e for e in dump.entries if e.title.startswith("FUNCTION shop zz_last")]
    assert body in found.sql
    assert len(dump.entries) == len({(e.kind, e.title) for e in dump.entries})


def test_the_destinations_program_is_preferred_and_an_older_one_than_the_source_never_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    have = {15: Path("/15/pg_dump"), 17: Path("/17/pg_dump"), 18: Path("/18/pg_dump")}
    monkeypatch.setattr(tools, "installed", lambda _program: have)
    assert tools.find("pg_dump", at_least=15, prefer=17) == have[17]
    assert tools.find("pg_dump", at_least=16, prefer=16) == have[17]
    assert tools.find("pg_dump", at_least=10, prefer=16) == have[17]
    assert tools.find("pg_dump", at_least=18, prefer=18) == have[18]
    with pytest.raises(ToolFailed, match=r"pg_dump 19 or newer .* \(found: 15, 17, 18\)") as missing:
        tools.find("pg_dump", at_least=19, prefer=19)
    assert missing.value.hint == "install the package postgresql-client-19"


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], Path]:
    """A factory of programs, each a shell script."""

    def create(text: str) -> Path:
        path = tmp_path / "pg_dump"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    return create


def test_a_password_goes_through_the_environment_and_never_through_the_arguments(
    program: Callable[[str], Path],
) -> None:
    shows = program('echo "$@"; echo "$PGPASSWORD $PGAPPNAME"')
    said = tools.run(shows, ["-x"], conninfo="postgresql://ann:s%20cret@db/shop", application="us").decode()
    arguments, environment = said.splitlines()
    assert "cret" not in arguments
    assert "--no-password" in arguments
    assert "user=ann" in arguments
    assert environment == "s cret us"


def test_a_failure_says_what_the_program_said_without_passwords(program: Callable[[str], Path]) -> None:
    fails = program("echo 'cannot reach postgresql://ann:secret@db/shop' >&2; exit 3")
    with pytest.raises(ToolFailed, match="exit code 3: cannot reach") as failed:
        tools.run(fails, [], conninfo=None, application="us")
    assert "secret" not in failed.value.message


def test_programs_are_found_by_their_major_version(pytestconfig: pytest.Config) -> None:
    for side in ("source", "destination"):
        major = pytestconfig.getoption(f"--{side}-major")
        found = tools.installed("postgres")
        assert major in found or not os.access(find_binaries(major) / "postgres", os.X_OK)
