"""Compare the schemas of both sides of a migration, or of any two databases. Writes to neither.

With ``shadow`` a temporary database is made, which is asked before.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from migrator.connections import observer, reading, require_pinned
from migrator.diff.inventory import compare_schemas, settle
from migrator.diff.schema_diff import SchemaComparison, nothing_expected
from migrator.diff.shadow import shadow as shadow_database
from migrator.diff.shadow import shadow_name
from migrator.errors import Declined, OutOfOrder
from migrator.events import StepProgress
from migrator.pg import identities
from migrator.pg.catalog import label
from migrator.pg.conninfo import require_usable
from migrator.pg.database import LATE
from migrator.pg.names import Names
from migrator.pg.registry import Registry
from migrator.pg.server import Server
from migrator.report_diff_schema import ORDER, ObjectDifference, PropertyDifference, SchemaDiffReport
from migrator.workflow import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.config import Config
    from migrator.diff.schema_diff import Difference
    from migrator.events import Emit
    from migrator.pg.session import ReadSession
    from migrator.store.journal import MigrationRecord

NAME = "diff --schema"
WITHOUT_MIGRATION = "diff"

# What the rows are copied without: it comes after them.
AFTER_ROWS = frozenset(
    (
        "constraint",
        "default privileges",
        "event trigger",
        "index",
        "policy",
        "rule",
        "statistics object",
        "trigger",
    )
)
PROPERTIES_AFTER_ROWS = ("not populated", "row security", "forced row security", "replica identity")
# A view that needs a primary key stands in for itself until there is one.
VIEWS, OF_VIEWS = ("view", "materialized view"), ("definition", "columns")
BEFORE_CUTOVER = (State.SCHEMA_COPIED, State.REPLICATING, State.SEQ_SYNCED)


def diff_schema(
    config: Config,
    record: MigrationRecord,
    emit: Emit,
    *,
    shadow: bool,
    confirm: Callable[[str], bool],
) -> SchemaDiffReport:
    """Compare the two sides of a migration, in any state in which there are two.

    Raises OutOfOrder before the schema is copied, WrongServer, and what ``diff_schemas`` does.
    """
    if record.state is State.PLANNED:
        raise OutOfOrder(
            f"refused: the migration is {record.state}, and {NAME} compares from {State.SCHEMA_COPIED} on",
            hint="migrator advance",
            state=record.state.value,
            allowed=["copy_schema"],
        )
    with reading(config, record, emit) as ctx:
        # A failover may have happened since the cutover, and either timeline has a schema.
        require_pinned(record, ctx, timeline=False)
        given = {
            label(row.schema, row.name)
            for session in (ctx.source, ctx.destination)
            for row in Registry(session, ctx.names).rows(identities.RECORDED)
        }
        found = _compare(
            (ctx.source, ctx.source_server),
            (ctx.destination, ctx.destination_server),
            ctx.names,
            emit,
            expected=_expected(record.state, given),
            confirm=confirm if shadow else None,
        )
    return replace(found, migration=record.name, state=record.state.value)


def diff_schemas(
    source: str,
    destination: str,
    emit: Emit,
    *,
    shadow: bool = False,
    confirm: Callable[[str], bool] = lambda _question: False,
) -> SchemaDiffReport:
    """Compare any two databases, given by their urls.

    With ``shadow`` what is not told alike is printed by one server, for which a temporary database is made
    on the newer one; ``confirm`` is asked before. Raises ConfigError, Unreachable, Declined, Conflict,
    ToolFailed, StatementFailed.
    """
    with ExitStack() as stack:
        sides = []
        for side, url in (("source", source), ("destination", destination)):
            require_usable(url, side)
            session = stack.enter_context(observer(url, side, None))
            sides.append((session, Server.read(session, url)))
        names = Names.of(WITHOUT_MIGRATION, *(server.database for _, server in sides))
        return _compare(sides[0], sides[1], names, emit, confirm=confirm if shadow else None)


def _compare(
    source: tuple[ReadSession, Server],
    destination: tuple[ReadSession, Server],
    names: Names,
    emit: Emit,
    *,
    expected: Callable[[str, str, str, str], str] = nothing_expected,
    confirm: Callable[[str], bool] | None,
) -> SchemaDiffReport:
    started = time.monotonic()
    (here, source_server), (there, destination_server) = source, destination
    comparison = SchemaComparison(source_server.version, destination_server.version, expected)
    not_compared = compare_schemas(
        here,
        there,
        comparison,
        lambda done, total, kind: emit(StepProgress(NAME, done, total, "kinds", kind)),
    )
    by_one = confirm is not None and any(d.is_undecided for d in comparison.differences)
    if confirm is not None and by_one:
        _by_one_server(source, destination, names, comparison, confirm)
    differences = sorted(map(_told, comparison.differences), key=lambda d: ORDER.index(d.verdict))
    return SchemaDiffReport(
        source=f"{source_server.where} ({source_server.version_text})",
        destination=f"{destination_server.where} ({destination_server.version_text})",
        objects=comparison.objects,
        seconds=round(time.monotonic() - started, 2),
        differences=tuple(differences),
        not_compared=tuple(not_compared),
        shadow=by_one,
    )


def _by_one_server(
    source: tuple[ReadSession, Server],
    destination: tuple[ReadSession, Server],
    names: Names,
    comparison: SchemaComparison,
    confirm: Callable[[str], bool],
) -> None:
    """Have the newer server print both schemas; of two of one version, the destination."""
    is_source = source[1].major > destination[1].major
    server = (source if is_source else destination)[1]
    seen, original = destination if is_source else source
    name = shadow_name(server, original)
    if not confirm(f"create database {name} on the {server.side} at {server.address}, and drop it again?"):
        raise Declined("declined; nothing was made", hint=f"migrator {NAME}, without --shadow")
    with shadow_database(server, original, seen, names) as session:
        settle(session, comparison, server.side)


def _expected(state: State, given: set[str]) -> Callable[[str, str, str, str], str]:
    """Return what says why the migration itself has an object, or a property, on one side only for now.

    ``given`` are the tables that have got a replica identity for as long as they are replicated.
    """

    def why(kind: str, name: str, changed: str, on: str) -> str:
        later = state is State.SCHEMA_COPIED
        if later and (
            (on == "source" and kind in AFTER_ROWS)
            or changed in PROPERTIES_AFTER_ROWS
            or (kind in VIEWS and changed in OF_VIEWS)
        ):
            return "comes with replicate"
        setting = name.partition(" of role ")[0].strip('"').lower()
        if state in BEFORE_CUTOVER and kind == "setting" and on != "destination" and setting.endswith(LATE):
            return "comes with cut_over"
        if changed == "replica identity" and name in given:
            return "given back by clean_up"
        return ""

    return why


def _told(difference: Difference) -> ObjectDifference:
    return ObjectDifference(
        difference.kind,
        difference.name,
        difference.verdict.value,
        tuple(PropertyDifference(**asdict(change)) for change in difference.changes),
        difference.expected,
    )
