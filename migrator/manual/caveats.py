"""What logical replication does not carry, or not by itself, and what becomes of it here."""

from __future__ import annotations

from dataclasses import dataclass

ALWAYS = ""


@dataclass(frozen=True)
class Caveat:
    """One kind of thing; ``counted`` names its count in ``Facts.uncarried``, or is ``ALWAYS``."""

    counted: str
    title: str
    words: str


CAVEATS: tuple[Caveat, ...] = (
    Caveat(
        "unidentified_tables",
        "Tables without a usable replica identity",
        "Their UPDATE and DELETE would fail on the source as soon as they are published, so they are not: "
        "create-pub refuses, and check-repl has the SQL that helps.",
    ),
    Caveat(
        "sequences",
        "Sequences",
        "The stream carries the rows, not the position of their sequences. copy-seq sets it, and the "
        "cutover sets it again while nobody writes, plus [sequences] shift.",
    ),
    Caveat(
        "large_objects",
        "Large objects",
        "Not in the stream. [tables] large_objects says what becomes of them: the plan is refused, they are "
        "copied (in the cutover those that have changed once more), or they stay behind.",
    ),
    Caveat(
        "unlogged_tables",
        "Unlogged tables",
        "They write no WAL to stream. [tables] unlogged says what becomes of them: the plan is refused, they "
        "are copied (and once more in the cutover), or only their definition is.",
    ),
    Caveat(
        "materialized_views",
        "Materialized views",
        "Filled on the destination after the copy, from its own tables, and not again in the cutover: "
        "refresh those whose content matters.",
    ),
    Caveat(
        "foreign_tables",
        "Foreign tables",
        "Their definition is copied; their rows stay where they are, and the destination must reach them.",
    ),
    Caveat(
        "event_triggers",
        "Event triggers",
        "Copied as the last of the schema; migrator's own statements do not set them off where it connects "
        "as a superuser.",
    ),
    Caveat(
        "extensions",
        "Extensions",
        "Created on the destination by copy-schema, where their files must be installed. Rows in tables that "
        "an extension owns are not in the stream: see the check extension_tables.",
    ),
    Caveat(
        "subscriptions",
        "Subscriptions that bring changes into the source",
        "They are not moved; what they bring after the cutover would stop at the fence.",
    ),
    Caveat(
        ALWAYS,
        "Schema changes",
        "The stream carries no DDL. Make none between copy-schema and the cutover; a table that is added is "
        "taken in by migrator refresh, anything else closes a gate of the cutover.",
    ),
    Caveat(
        ALWAYS,
        "What belongs to the whole cluster",
        "Roles, tablespaces, postgresql.conf, pg_hba.conf and scheduled jobs are yours to carry; check-user "
        "and check-hba write the definition.",
    ),
    Caveat(
        ALWAYS,
        "Statistics of use",
        "The planner's statistics are gathered anew on the destination; counters (pg_stat_…) begin at zero, "
        "and its caches are cold.",
    ),
)
