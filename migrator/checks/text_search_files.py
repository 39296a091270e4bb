"""Every file that a text search dictionary reads is on the destination's host, and the same.

Why it matters: dictionaries of words, affixes, synonyms and stop words are files of the server's host. The
destination refuses a dictionary without its files, and with others finds other words: what is computed
from a text, generated columns and indexes, differs.
How to fix: copy the file into tsearch_data of the destination's installation.
When to ignore: a newer edition of the same dictionary is what you want.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.catalog import USER_SCHEMA, label, not_of_extension
from migrator.pg.preload import can_look, directory, sizes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.DB

DICTIONARIES = f"""
select n.nspname as schema, d.dictname as name, t.tmplname as template, d.dictinitoption as options
from pg_catalog.pg_ts_dict d
join pg_catalog.pg_namespace n on n.oid = d.dictnamespace
join pg_catalog.pg_ts_template t on t.oid = d.dicttemplate
where d.dictinitoption is not null
  and {USER_SCHEMA}
  and {not_of_extension("pg_ts_dict", "d.oid")}
order by 1, 2
"""
OPTION = re.compile(r"(\w+)\s*=\s*'((?:[^']|'')*)'")
# The endings of the files that options name (documentation 12.6).
ENDINGS = {
    "dictfile": "dict",
    "afffile": "affix",
    "stopwords": "stop",
    "synonyms": "syn",
    "rules": "rules",
}
THESAURUS = {**ENDINGS, "dictfile": "ths"}


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Look for the files on both hosts."""
    files = [
        (label(row.schema, row.name), f"{value}.{endings[option.lower()]}")
        for row in ctx.source.rows(DICTIONARIES)
        for endings in [THESAURUS if row.template == "thesaurus" else ENDINGS]
        for option, value in OPTION.findall(row.options)
        if option.lower() in endings
    ]
    if not files:
        return
    blind = not can_look(ctx.destination)
    here, there = (
        f"{directory(ctx.source, 'SHAREDIR')}/tsearch_data",
        (f"{directory(ctx.destination, 'SHAREDIR')}/tsearch_data"),
    )
    mine = sizes(ctx.source, (f"{here}/{file}" for _, file in files))
    theirs = sizes(ctx.destination, (f"{there}/{file}" for _, file in files))
    for dictionary, file in files:
        have, want = theirs.get(f"{there}/{file}"), mine.get(f"{here}/{file}")
        if blind:
            what, severity = f"{file}, for which its version has nobody look there", Severity.WARN
        elif have is None:
            what, severity = f"{there}/{file}, which is not on the destination's host", Severity.BLOCK
        elif want is not None and have != want:
            what, severity = f"{file}, which is another file on the destination's host", Severity.WARN
        else:
            continue
        yield Finding(
            severity,
            dictionary,
            f"text search dictionary {dictionary} reads {what}",
            f"copy {here}/{file} of the source's host to {there} of the destination's",
        )
