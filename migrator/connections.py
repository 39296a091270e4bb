"""Connect to both servers, make sure that they are the ones pinned, and keep other operators out."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from migrator import fences, routers
from migrator.context import ReadContext, WriteContext
from migrator.diff.snapshots import Snapshots
from migrator.errors import LeaseHeld, MigrationExists, WrongServer
from migrator.pg.activity import end_orphans, hold_lock
from migrator.pg.names import Names
from migrator.pg.registry import Registry
from migrator.pg.server import Server
from migrator.pg.session import ReadSession, WriteSession
from migrator.store.journal import Journal, MigrationRecord, Pin
from migrator.store.lease import Holder
from migrator.switchover.records import handed_over

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from migrator.config import Config
    from migrator.events import Emit
    from migrator.fences import Fence
    from migrator.routers import Router

# A lock wait of an observer is never worth holding anybody up for.
OBSERVER_TIMEOUT = "10s"


def pin_of(server: Server) -> Pin:
    """Return what is pinned of a server."""
    return Pin(server.system_identifier, server.timeline, server.database, server.version)


def require_pinned(record: MigrationRecord, ctx: ReadContext, *, timeline: bool = True) -> None:
    """Raise WrongServer unless both servers are the ones that the migration was planned with.

    ``timeline`` False forgives a failover, for the way back only: what is to be undone may be on
    either timeline.
    """
    for server, pin in (
        (ctx.source_server, record.source),
        (ctx.destination_server, record.destination),
    ):
        facts = {
            "system identifier": (server.system_identifier, pin.system_identifier),
            "database": (server.database, pin.database),
        }
        if timeline:
            facts["timeline"] = (str(server.timeline), str(pin.timeline))
        for what, (now, pinned) in facts.items():
            if now != pinned:
                raise WrongServer(
                    f"the {server.side} at {server.where} is not the server this migration was "
                    f"planned with: {what} {now}, planned with {pinned}",
                    hint=(
                        "a failover may have lost the slot: migrator rollback-to planned, then migrator plan"
                        if what == "timeline"
                        else "connect to the server it was planned with"
                    ),
                    side=server.side,
                    what=what,
                    now=now,
                    pinned=pinned,
                )


def refuse_other_servers(ctx: ReadContext, record: MigrationRecord | None) -> None:
    """Raise MigrationExists when the migration was begun between other databases than the context's.

    What was begun there is to be undone before it is forgotten.
    """
    if record is None or record.key == ctx.names.key:
        return
    if Registry(ctx.source, Names(record.name, record.key)).is_ours():
        raise MigrationExists(
            f"refused: migration {record.name!r} was begun between other databases",
            hint="name those again and migrator rollback-to planned, or give this one another name",
        )


@contextmanager
def reading(config: Config, record: MigrationRecord | None, emit: Emit) -> Iterator[ReadContext]:
    """Give a read-only context on both servers, which disturbs nobody and is disturbed by nobody."""
    with ExitStack() as stack:
        sessions: dict[str, ReadSession] = {}
        servers: dict[str, Server] = {}
        for side, url in (("source", config.source.url), ("destination", config.destination.url)):
            session = observer(url, side, record)
            sessions[side] = stack.enter_context(session)
            servers[side] = Server.read(session, url)
        yield ReadContext(
            source=sessions["source"],
            destination=sessions["destination"],
            source_server=servers["source"],
            destination_server=servers["destination"],
            names=_names(config, servers),
            config=config,
            emit=emit,
            router=_router(config, stack),
            fence=_fence(config, stack),
        )


def observer(url: str, side: str, record: MigrationRecord | None) -> ReadSession:
    """Open a session that only looks, under a name that no operator takes for an orphan."""
    name = Names(record.name, record.key).observer if record else "migrator-status"
    return ReadSession.open(
        url, side=side, application=name, statement_timeout="60s", lock_timeout=OBSERVER_TIMEOUT
    )


@contextmanager
def writing(
    config: Config,
    record: MigrationRecord,
    journal: Journal,
    command: str,
    *,
    emit: Emit,
    confirm: Callable[[str], bool],
    timeline: bool = True,
) -> Iterator[WriteContext]:
    """Give a writing context, alone: under an advisory lock on both servers and the store's lease.

    The servers are compared with their pins before anything is locked. Sessions that a killed run
    left behind are ended, and writers that it kept out are let in before anything else. Raises
    WrongServer, LeaseHeld, Unreachable, ToolFailed.
    """
    names = Names(record.name, record.key)
    urls = {"source": config.source.url, "destination": config.destination.url}
    with ExitStack() as stack:

        def read(side: str) -> ReadSession:
            # Under the observer's name until the lock is ours: whoever has it may be ending orphans.
            session = ReadSession.open(
                urls[side], side=side, application=names.observer, lock_timeout=OBSERVER_TIMEOUT
            )
            return stack.enter_context(session)

        def write(side: str) -> WriteSession:
            return stack.enter_context(
                WriteSession.open(urls[side], side=side, application=names.application)
            )

        source, destination = read("source"), read("destination")
        seen = ReadContext(
            source=source,
            destination=destination,
            source_server=Server.read(source, urls["source"]),
            destination_server=Server.read(destination, urls["destination"]),
            names=names,
            config=config,
            emit=emit,
            router=_router(config, stack),
            fence=_fence(config, stack),
            compared=partial(journal.compared, record.id),
        )
        # After the cutover is committed only forward is safe, and a failover may have happened since.
        require_pinned(record, seen, timeline=timeline and handed_over(seen) is None)
        for session in (source, destination):
            _lock(session, names, journal, record)
            session.execute("select set_config('application_name', %s, false)", [names.application])
        ctx = WriteContext(
            **vars(seen),
            write_source=write("source"),
            write_destination=write("destination"),
            snapshots=_snapshots(stack),
            confirm=confirm,
            proven=partial(journal.prove, record.id),
        )
        holder = journal.lease.take(record.id, Holder.here(command), dead=lambda _holder: True)
        stack.callback(journal.lease.release, holder.token)
        for reader, writer in ((source, ctx.write_source), (destination, ctx.write_destination)):
            end_orphans(writer, names, [reader.pid, writer.pid])
        for way in (ctx, ctx.mirrored()):
            ctx.fence.let_in(way)
        yield ctx


def _lock(session: ReadSession, names: Names, journal: Journal, record: MigrationRecord) -> None:
    try:
        hold_lock(session, names)
    except LeaseHeld as error:
        holder = journal.lease.holder(record.id)
        if holder is None:
            raise
        raise LeaseHeld(
            f"{holder.operator}@{holder.host} (pid {holder.pid}) is working on this migration with "
            f"“{holder.command}” since {holder.since:%Y-%m-%d %H:%M:%S %Z}; {error.message}",
            hint=error.hint,
            operator=holder.operator,
            host=holder.host,
            pid=holder.pid,
            since=holder.since.isoformat(),
        ) from error


def _router(config: Config, stack: ExitStack) -> Router:
    router = routers.load(config.cutover.router)
    stack.callback(router.release)
    return router


def _fence(config: Config, stack: ExitStack) -> Fence:
    fence = fences.load(config.cutover.fence)
    stack.callback(fence.release)
    return fence


def _snapshots(stack: ExitStack) -> Snapshots:
    snapshots = Snapshots()
    stack.callback(snapshots.release)
    return snapshots


def _names(config: Config, servers: dict[str, Server]) -> Names:
    return Names.of(config.migration.name, servers["source"].database, servers["destination"].database)
