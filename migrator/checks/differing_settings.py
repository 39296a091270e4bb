"""The destination's server is set up as the source's, where the application would notice.

Why it matters: the database's own settings are copied, those of the server are not. Some change what
statements return (the time zone, the order of day and month, how text is searched), some which plans are
chosen, some how many sessions are let in. Only differences that somebody has made are told: not new
defaults of a newer version, nor what is to suit the machine (memory, workers).
How to fix: run the SQL given, which makes the destination's server as the source's; or alter database … set
on the source, which is copied and concerns no other database.
When to ignore: the difference is meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import sql

from migrator.check import Finding, Group, Severity
from migrator.pg.locales import plain
from migrator.pg.login import milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from migrator.context import ReadContext

GROUP = Group.MISC

# In lower case. These change what statements return or accept, or which of them fail.
RESULTS = (
    "array_nulls",
    "backslash_quote",
    "bytea_output",
    "datestyle",
    "default_table_access_method",
    "default_tablespace",
    "default_text_search_config",
    "default_toast_compression",
    "default_transaction_isolation",
    "extra_float_digits",
    "gin_fuzzy_search_limit",
    "intervalstyle",
    "row_security",
    "search_path",
    "session_replication_role",
    "standard_conforming_strings",
    "timezone",
    "transform_null_equals",
    "xmlbinary",
    "xmloption",
)
LOCALES = ("lc_monetary", "lc_numeric", "lc_time")
# Where the destination ends what the source lets go on.
TIMEOUTS = (
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "lock_timeout",
    "statement_timeout",
    "transaction_timeout",
)
# Of which the destination has less.
ROOM = ("max_connections", "max_prepared_transactions")
PLANS = (
    "constraint_exclusion",
    "cursor_tuple_fraction",
    "default_statistics_target",
    "from_collapse_limit",
    "geqo",
    "geqo_threshold",
    "jit",
    "join_collapse_limit",
    "max_parallel_workers_per_gather",
    "plan_cache_mode",
    "random_page_cost",
    "seq_page_cost",
)
# What our sessions, our role or the database change for us is read from the server's files. Settings of the
# database are copied, so the server's do not count on the source.
SETTINGS = """
select pg_catalog.lower(s.name) as name,
       case when s.source in ('default', 'configuration file', 'command line') then s.reset_val
            else coalesce(
                (select f.setting
                 from pg_catalog.pg_file_settings f
                 where pg_catalog.lower(f.name) = pg_catalog.lower(s.name) and f.applied
                 order by f.seqno desc
                 limit 1),
                s.boot_val)
       end as value,
       s.boot_val as default,
       s.context = 'postmaster' as restart,
       exists (
           select
           from pg_catalog.pg_db_role_setting d
           cross join lateral unnest(d.setconfig) as c (setting)
           where d.setrole = 0
             and d.setdatabase = (
                 select oid from pg_catalog.pg_database where datname = current_database()
             )
             and pg_catalog.lower(split_part(c.setting, '=', 1)) = pg_catalog.lower(s.name)
       ) as of_database
from pg_catalog.pg_settings s
where pg_catalog.lower(s.name) = any (%s)
   or s.name like 'enable\\_%%'
"""
SAME = {"true": "on", "yes": "on", "1": "on", "false": "off", "no": "off", "0": "off"}
UTC = {"etc/utc", "utc", "gmt", "etc/gmt", "uct", "etc/uct", "zulu", "etc/zulu", "universal"}


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Compare the servers' settings, whatever our sessions and databases make of them."""
    names = [[*RESULTS, *LOCALES, *TIMEOUTS, *ROOM, *PLANS]]
    there = {row.name: row for row in ctx.destination.rows(SETTINGS, names)}
    for row in sorted(ctx.source.rows(SETTINGS, names), key=lambda row: str(row.name)):
        other = there.get(row.name)
        if other is None or row.of_database:
            continue
        severity = weight(row.name, row._asdict(), other._asdict())
        if severity is None:
            continue
        yield Finding(
            severity,
            row.name,
            f"{row.name} is {row.value or 'empty'} on the source and {other.value or 'empty'} there",
            f"alter system set {row.name} = {_literal(row.name, row.value)}; "
            f"-- then {'restart' if row.restart else 'reload'} the server",
            "destination",
        )


def weight(name: str, here: Mapping[str, Any], there: Mapping[str, Any]) -> Severity | None:
    """Return how much a difference matters; None where there is none, or it is nobody's doing.

    ``here`` and ``there`` are rows of the source and the destination: value and default.
    """
    mine, other = meant(name, here["value"]), meant(name, there["value"])
    ours, theirs = (meant(name, side["default"]) for side in (here, there))
    if mine == other:
        return None
    if name in RESULTS:
        return None if (mine, other) == (ours, theirs) else Severity.WARN
    if name in LOCALES:
        return Severity.INFO
    if name in TIMEOUTS:
        long, short = milliseconds(mine), milliseconds(other)
        shorter = short > 0 and (long == 0 or short < long)
        idle = name.startswith("idle")
        return (Severity.INFO if idle else Severity.WARN) if shorter else None
    if name in ROOM:
        return Severity.WARN if int(mine) > int(other) else None
    return None if mine == ours else Severity.INFO


def meant(name: str, value: str | None) -> str:
    """Return a value as it is when what means the same is written in one way."""
    text = (value or "").strip().lower()
    if name == "timezone" and text in UTC:
        return "utc"
    if name == "default_text_search_config":
        return text.removeprefix("pg_catalog.")
    if name in LOCALES:
        return "c" if plain(text).startswith("c.") else plain(text)
    if name == "datestyle":
        return ", ".join(sorted(part.strip() for part in text.split(",")))
    return text if name in (*TIMEOUTS, *ROOM, "extra_float_digits") else SAME.get(text, text)


def _literal(name: str, value: str | None) -> str:
    if name != "search_path":
        return sql.Literal(value or "").as_string()
    elements = [part.strip().strip('"') for part in (value or "").split(",")]
    return sql.SQL(", ").join(map(sql.Literal, elements)).as_string()
