"""The scripts by their names: what the old one did, and what it does now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrator.parts import PARTS

if TYPE_CHECKING:
    from migrator.workflow import Transition

ACTIVATE = "activate"


@dataclass(frozen=True)
class Script:
    """One script: what the old one did, and what it does now."""

    name: str
    was: str
    now: str

    @property
    def transition(self) -> Transition | None:
        """Return the transition that it runs a part of; None of one that only looks."""
        return PARTS[self.name].whole if self.name in PARTS else None

    @property
    def steps(self) -> tuple[str, ...]:
        """Return the steps that it runs."""
        return PARTS[self.name].steps.steps if self.name in PARTS else ()


SCRIPTS: tuple[Script, ...] = (
    Script(
        "check-user",
        "listed the roles and wrote pg_users, without any membership",
        "The roles with their memberships, settings and expiry, as the definition of the new cluster.",
    ),
    Script(
        "check-db",
        "listed the database's properties, schemas and extensions",
        "The database with its locale, settings, schemas and extensions, as a definition.",
    ),
    Script(
        "check-hba",
        "printed pg_hba.conf, fetched by ssh",
        "The rules of pg_hba.conf in their order, as a definition; read by SQL, no ssh is needed.",
    ),
    Script(
        "check-repl",
        "listed tables without a primary key and wrote SQL, parts of which the server refused",
        "The tables that have no usable replica identity, with SQL that gives them one.",
    ),
    Script(
        "check-misc",
        "listed relations that are neither tables, indexes, views nor sequences",
        "Every object that logical replication does not carry, and what becomes of it.",
    ),
    Script(
        "copy-schema",
        "piped pg_dump into psql, without owners and grants; a second run dropped what was there",
        "Copies the schema with owners, grants and comments, in one transaction.",
    ),
    Script(
        "create-pub",
        "created a publication; one unlogged table made it fail, some schemas were left out",
        "Publishes the tables that [tables] takes in.",
    ),
    Script(
        "create-sub",
        "created a subscription, and had it copy the rows",
        "Copies the rows from one snapshot, builds the indexes, and has the stream go on from there.",
    ),
    Script(
        "copy-progress",
        "compared the sizes of tables that were not in yet",
        "How far the copy, the index builds and the stream are, with rate, lag and retained WAL.",
    ),
    Script(
        "copy-diff",
        "counted each table on both sides; sequences always passed",
        "Counts every table and compares every sequence on both sides; ends with 4 when one differs.",
    ),
    Script(
        "copy-seq",
        "set the sequences once, maybe backwards, before writes were stopped",
        "Sets every sequence that is behind to the source's position plus a shift, never backwards. "
        "The cutover does it once more, while nobody writes.",
    ),
    Script(
        "disable-src",
        "was a comment: your own program",
        "Takes the writes away from the source in one transaction, when the destination has all of them, and "
        "opens the destination. pgbouncer and haproxy lead the clients over in the same breath.",
    ),
    Script(
        "re-routing",
        "was a comment: your own program",
        "Completes the cutover: the application is led to the destination by [cutover] router, sessions that "
        "still sit on the source are ended, and the rows are proven equal.",
    ),
    Script(
        "drop-sub",
        "dropped the subscription; not while the source was down",
        "Drops the subscriptions and the slots of both directions. There is no way back from here.",
    ),
    Script(
        "drop-pub",
        "dropped the publication",
        "Drops the publications, the fence and migrator's schema, and proves that nothing is left.",
    ),
)
NAMES = tuple(script.name for script in SCRIPTS)
