"""Build keys as any other index, and make them keys at the end.

``alter table … add primary key`` locks its table while it builds, so that the table's other indexes wait for
it. A unique index can be built beside them; ``add constraint … using index`` then changes catalogs only
(documentation, ALTER TABLE).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from migrator.context import ReadContext
    from migrator.pg.dump import Entry

# Of each key of a table: what pg_dump writes when there is no more to it than the key itself (no storage
# parameters, no replica identity, no clustering), the index behind it, and what makes that one the key.
KEYS = """
select k.oid,
       pg_catalog.format(
           E'ALTER TABLE ONLY %%I.%%I\n    ADD CONSTRAINT %%I %%s;',
           n.nspname, c.relname, k.conname, pg_catalog.pg_get_constraintdef(k.oid)
       ) as definition,
       pg_catalog.pg_get_indexdef(k.conindid) as index,
       pg_catalog.format(
           'alter table only %%I.%%I add constraint %%I %%s using index %%I%%s%%s',
           n.nspname, c.relname, k.conname,
           case k.contype when 'p' then 'primary key' else 'unique' end,
           x.relname,
           case when k.condeferrable then ' deferrable' else '' end,
           case when k.condeferred then ' initially deferred' else '' end
       ) as adoption
from pg_catalog.pg_constraint k
join pg_catalog.pg_class c on c.oid = k.conrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_class x on x.oid = k.conindid
where k.contype in ('p', 'u')
  and c.relkind = 'r'
  and pg_catalog.pg_indexes_size(c.oid) >= %s
"""


@dataclass(frozen=True)
class Key:
    """The index behind a key, as an entry of its own, and the statement that adopts it."""

    index: Entry
    adoption: str


def by_index(ctx: ReadContext, entries: list[Entry], above: int) -> dict[str, Key]:
    """Return those of ``entries`` that can come as an index first, by their keys in the dump.

    Only of tables whose indexes have ``above`` bytes together.
    """
    rows = {row.oid: row for row in ctx.source.rows(KEYS, [above])}
    found: dict[str, Key] = {}
    for entry in entries:
        row = rows.get(entry.object_oid)
        if entry.kind == "CONSTRAINT" and row is not None and entry.definition.strip() == row.definition:
            found[entry.key] = Key(replace(entry, kind="INDEX", sql=row.index), row.adoption)
    return found
