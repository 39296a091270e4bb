"""Keep comparisons of two databases without a migration, each pair by what the servers say that they are."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from migrator.connections import pin_of
from migrator.diff_kept import Kept
from migrator.errors import ConfigError
from migrator.events import StepNote
from migrator.store.journal import Journal
from migrator.store.records import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from migrator.context import ReadContext
    from migrator.diff.subject import Options

DATABASE = "select oid::bigint from pg_catalog.pg_database where datname = current_database()"
# No stream keeps two databases alike: what was found long ago may be true no more.
WITHIN = timedelta(days=1)


@contextmanager
def keeping(ctx: ReadContext, store: str, options: Options) -> Iterator[Callable[[str], Kept] | None]:
    """Give what is kept of the context's databases, by how rows are hashed; None without a ``store``.

    A place that cannot be written to stops no comparison.
    """
    if not store:
        yield None
        return
    try:
        journal = Journal.open(store, create=True)
    except ConfigError as error:
        ctx.emit(StepNote("diff", f"a run that is cut short cannot go on: {error.message}"))
        yield None
        return
    with journal:
        pins = [pin_of(server) for server in (ctx.source_server, ctx.destination_server)]
        oids = [session.value(DATABASE) for session in (ctx.source, ctx.destination)]
        name = " ".join(f"{p.system_identifier}/{oid}" for p, oid in zip(pins, oids, strict=True))
        known = journal.find(name) or journal.create(
            name, key=name, source=pins[0], destination=pins[1], workflow="", tables=(), findings=()
        )
        yield lambda how: Kept(
            journal, known.id, Scope("", how, options.patterns), anew=options.anew, within=WITHIN
        )
