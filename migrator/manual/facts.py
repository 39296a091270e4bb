"""What the manual tells of both servers, as far as they can be reached. Writes nothing."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from migrator.connections import observer, reading
from migrator.errors import StepFailed, UnknownMigration, Unreachable
from migrator.events import ignore
from migrator.manual import pair
from migrator.observe import rehearsed, warnings
from migrator.pg.catalog import NOT_OF_EXTENSION, USER_SCHEMA, all_tables, unidentified, wanted_tables
from migrator.pg.catalog_sequences import sequences
from migrator.pg.names import Names
from migrator.pg.server import Server
from migrator.preflight import Preflight
from migrator.store.journal import Journal
from migrator.switchover.subscribing import source_conninfo
from migrator.switchover.way_back import way_back
from migrator.workflow import Lifecycle, State

if TYPE_CHECKING:
    from migrator.config import Config, LoadedConfig
    from migrator.context import ReadContext, Side
    from migrator.pg.catalog import Table
    from migrator.report import FindingReport
    from migrator.store.journal import MigrationRecord

DATABASE = """
select pg_catalog.pg_encoding_to_char(d.encoding)::text as encoding,
       coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', d.datcollate::text) as locale,
       pg_catalog.pg_database_size(d.oid)::bigint as bytes
from pg_catalog.pg_database d
where d.datname = pg_catalog.current_database()
"""
# What logical replication does not carry, or not by itself, by the columns' names.
UNCARRIED = (
    """
select count(*) filter (where c.relkind = 'r' and c.relpersistence = 'u') as unlogged_tables,
       count(*) filter (where c.relkind = 'm') as materialized_views,
       count(*) filter (where c.relkind = 'f') as foreign_tables,
       count(*) filter (where c.relkind = 'S') as sequences,
       (select count(*) from pg_catalog.pg_largeobject_metadata) as large_objects,
       (select count(*) from pg_catalog.pg_event_trigger) as event_triggers,
       (select count(*) from pg_catalog.pg_extension e where e.extname <> 'plpgsql') as extensions,
       (select count(*)
        from pg_catalog.pg_subscription s
        join pg_catalog.pg_database d on d.oid = s.subdbid
        where d.datname = pg_catalog.current_database()
          and s.subname !~ '^migrator_') as subscriptions
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where """
    + USER_SCHEMA
    + " and "
    + NOT_OF_EXTENSION
)
LARGEST = 10


@dataclass(frozen=True)
class ServerFacts:
    """One side: where it is by its url, and what was seen of it; ``error`` says why nothing was."""

    side: Side
    host: str
    database: str
    where: str = ""
    version: str = ""
    encoding: str = ""
    locale: str = ""
    bytes: int = 0
    tables: int = 0
    sequences: int = 0
    error: str = ""


@dataclass(frozen=True)
class Facts:
    """Both sides, and what only both together tell. ``unknown`` says what could not be found out, and why.

    ``findings`` are those of the checks before ``before``: ``plan``, the next transition, or at the end
    nothing.
    """

    source: ServerFacts
    destination: ServerFacts
    state: State | None = None
    names: Names | None = None
    source_conninfo: str = ""
    before: str = ""
    findings: tuple[FindingReport, ...] = ()
    tables: int = 0
    bytes: int = 0
    largest: tuple[Table, ...] = ()
    uncarried: dict[str, int] = field(default_factory=dict)
    rehearsal: str = ""
    way_back: str = ""
    warnings: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def seen(self) -> bool:
        """Return whether both servers told all that they were asked."""
        return not self.unknown


def gather(loaded: LoadedConfig) -> Facts:
    """Look at both servers; what cannot be had is named in ``unknown``, never raised."""
    config = loaded.config
    unknown: list[str] = []
    with ExitStack() as stack:
        journal = _journal(loaded, unknown)
        if journal is not None:
            stack.callback(journal.close)
        return _gather(config, journal, unknown)


def _gather(config: Config, journal: Journal | None, unknown: list[str]) -> Facts:
    record = journal.find(config.migration.name) if journal else None
    source = _server(config.source.url, "source", record)
    destination = _server(config.destination.url, "destination", record)
    unknown += [side.error for side in (source, destination) if side.error]
    facts = Facts(
        source,
        destination,
        state=record.state if record else None,
        names=_names(config, record, source.database, destination.database),
    )
    if not unknown:
        try:
            with reading(config, record, ignore) as ctx:
                facts = _together(ctx, facts, journal, record)
        except (Unreachable, StepFailed) as error:
            unknown.append(error.message)
    return replace(facts, unknown=tuple(unknown))


def _journal(loaded: LoadedConfig, unknown: list[str]) -> Journal | None:
    try:
        return Journal.open(loaded.state_url, create=False)
    except UnknownMigration:
        return None
    except (Unreachable, StepFailed) as error:
        unknown.append(error.message)
        return None


def _server(url: str, side: Side, record: MigrationRecord | None) -> ServerFacts:
    facts = ServerFacts(side, pair.host(url), pair.database(url))
    try:
        with observer(url, side, record) as session:
            server = Server.read(session, url)
            told = session.rows(DATABASE)[0]
            return replace(
                facts,
                host=facts.host or session.connection.info.host,
                database=server.database,
                where=server.address,
                version=server.version_text,
                encoding=told.encoding,
                locale=told.locale,
                bytes=told.bytes,
                tables=sum(t.kind == "r" for t in all_tables(session)),
                sequences=len(sequences(session)),
            )
    except (Unreachable, StepFailed) as error:
        return replace(facts, error=error.message)


def _names(config: Config, record: MigrationRecord | None, source: str, destination: str) -> Names | None:
    """Return the names of what migrator makes: from its plan, or from both databases' names."""
    if record is not None:
        return Names(record.name, record.key)
    return Names.of(config.migration.name, source, destination) if source and destination else None


def _together(
    ctx: ReadContext, facts: Facts, journal: Journal | None, record: MigrationRecord | None
) -> Facts:
    before = "plan"
    if facts.state not in (None, State.PLANNED):
        following = Lifecycle(facts.state).next()
        before = following.name if following else ""
    wanted = wanted_tables(ctx.source, ctx.config.tables, sizes=True)
    preflight = Preflight(ctx.config.checks.waive, {})
    uncarried = {name: int(count) for name, count in ctx.source.rows(UNCARRIED)[0]._asdict().items()}
    return replace(
        facts,
        source_conninfo=source_conninfo(ctx),
        before=before,
        findings=tuple(preflight.look(ctx, before, journal, record)) if before else (),
        tables=len(wanted),
        bytes=sum(t.bytes for t in wanted),
        largest=tuple(sorted(wanted, key=lambda t: (-t.bytes, t.label))[:LARGEST]),
        uncarried={**uncarried, "unidentified_tables": len(unidentified(wanted))},
        rehearsal=rehearsed(ctx),
        way_back=way_back(ctx),
        warnings=tuple(warnings(ctx, record)) if record else (),
    )
