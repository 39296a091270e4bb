"""Both databases have the same encoding and the same locale, of the same provider.

Why it matters: text that the destination's encoding does not have stops the copy at that row. Another locale
or provider (libc, icu, builtin) sorts text and tells upper from lower case otherwise: the order of results,
citext, range partitions and full-text search change with it.
How to fix: create the destination anew, from template0, with the source's encoding and locale.
When to ignore: the change of the locale is wanted; what is LATIN1 here fits into UTF8 there. SQL_ASCII does
where all text is UTF8 in truth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import sql

from migrator.check import Finding, Group, Severity
from migrator.pg.locales import PROVIDERS, database_locale
from migrator.pg.versions import Feature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext
    from migrator.pg.locales import Locale

GROUP = Group.DB


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Compare encoding, then locale."""
    here, there = database_locale(ctx.source), database_locale(ctx.destination)
    if here.encoding != there.encoding:
        yield Finding(
            Severity.WARN if there.encoding == "UTF8" else Severity.BLOCK,
            "destination",
            f"encoding is {here.encoding} here and {there.encoding} there",
            _anew(ctx, here),
        )
    if here.ordering != there.ordering:
        yield Finding(
            Severity.WARN,
            "destination",
            f"the locale is {here.told} here and {there.told} there: sorting may differ",
            _anew(ctx, here),
        )
    elif here.case != there.case:
        yield Finding(
            Severity.WARN,
            "destination",
            f"lc_ctype is {here.ctype} here and {there.ctype} there: upper and lower case may differ",
            _anew(ctx, here),
        )


def _anew(ctx: ReadContext, wanted: Locale) -> str:
    server = ctx.destination_server
    if wanted.provider != "c" and not server.has(Feature.DATABASE_LOCALE_PROVIDER):
        return f"a destination of version 15 or newer: older ones know no provider {wanted.provider_name}"
    options: dict[str, Any] = {"encoding": wanted.encoding}
    if server.has(Feature.DATABASE_LOCALE_PROVIDER):
        options["locale_provider"] = PROVIDERS[wanted.provider]
    options |= {"lc_collate": wanted.collate, "lc_ctype": wanted.ctype}
    if wanted.provider == "i":
        options["icu_locale"] = wanted.name
    elif wanted.provider == "b":
        options["builtin_locale"] = wanted.name
    if wanted.rules:
        options["icu_rules"] = wanted.rules
    database = sql.Identifier(server.database)
    clauses = [sql.SQL(f"{name} {{}}").format(sql.Literal(value)) for name, value in options.items()]
    statements = [
        sql.SQL("drop database {};").format(database),
        sql.SQL("create database {} template template0 {};").format(database, sql.SQL(" ").join(clauses)),
    ]
    return "from another database of the destination: " + sql.SQL(" ").join(statements).as_string()
