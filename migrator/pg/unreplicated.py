"""Every object of a source that logical replication does not carry, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrator.pg.catalog import NOT_OF_EXTENSION, USER_SCHEMA, all_tables, not_of_extension, selected
from migrator.pg.extension_rows import tables_with_rows
from migrator.pg.large_objects import amount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.config import TablesSection
    from migrator.pg.names import Names
    from migrator.pg.session import ReadSession

# What stands in a schema by a name, or belongs to what does.
NAMED = f"""
select case c.relkind
            when 'S' then 'sequence'
            when 'v' then 'view'
            when 'f' then 'foreign table'
            when 'p' then 'partitioned table'
            else case when c.relispopulated then 'materialized view' else 'empty materialized view' end
       end as kind,
       c.oid::pg_catalog.regclass::text as name,
       case when c.relkind = 'm' then pg_catalog.pg_table_size(c.oid) end as bytes
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('S', 'v', 'f', 'p', 'm')
  and c.relpersistence <> 't'
  and {USER_SCHEMA}
  and {NOT_OF_EXTENSION}
union all
select 'generated column',
       c.oid::pg_catalog.regclass::text || '.' || pg_catalog.quote_ident(a.attname),
       null
from pg_catalog.pg_attribute a
join pg_catalog.pg_class c on c.oid = a.attrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where a.atthasdef
  and coalesce(to_jsonb(a) ->> 'attgenerated', '') <> ''
  and c.relkind in ('r', 'p')
  and not c.relispartition
  and c.relpersistence <> 't'
  and {USER_SCHEMA}
  and {NOT_OF_EXTENSION}
union all
select 'rule', pg_catalog.quote_ident(r.rulename) || ' on ' || c.oid::pg_catalog.regclass::text, null
from pg_catalog.pg_rewrite r
join pg_catalog.pg_class c on c.oid = r.ev_class
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where r.rulename <> '_RETURN'
  and {USER_SCHEMA}
  and {NOT_OF_EXTENSION}
union all
select 'statistics', pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(s.stxname), null
from pg_catalog.pg_statistic_ext s
join pg_catalog.pg_namespace n on n.oid = s.stxnamespace
where {USER_SCHEMA}
union all
select 'event trigger', pg_catalog.quote_ident(v.evtname), null
from pg_catalog.pg_event_trigger v
where {not_of_extension("pg_event_trigger", "v.oid")}
union all
select 'foreign server', pg_catalog.quote_ident(s.srvname), null
from pg_catalog.pg_foreign_server s
where {not_of_extension("pg_foreign_server", "s.oid")}
union all
select 'user mapping',
       case when u.umuser = 0 then 'public' else u.umuser::pg_catalog.regrole::text end
           || ' on ' || pg_catalog.quote_ident(s.srvname),
       null
from pg_catalog.pg_user_mapping u
join pg_catalog.pg_foreign_server s on s.oid = u.umserver
union all
select 'security labels', l.provider || ' (' || count(*) || ')', null
from pg_catalog.pg_seclabel l
group by l.provider
"""
# What belongs to the database as a whole, or to the cluster. Ours carries our mark, or our name.
AROUND = """
select 'publication' as kind, pg_catalog.quote_ident(p.pubname) as name, null::bigint as bytes
from pg_catalog.pg_publication p
where coalesce(pg_catalog.obj_description(p.oid, 'pg_publication'), '') !~ '^migrator:'
union all
select 'subscription', pg_catalog.quote_ident(s.subname), null
from pg_catalog.pg_subscription s
where s.subdbid = (select oid from pg_catalog.pg_database where datname = current_database())
  and coalesce(pg_catalog.obj_description(s.oid, 'pg_subscription'), '') !~ '^migrator:'
union all
select 'replication slot', s.slot_name, null
from pg_catalog.pg_replication_slots s
where s.database = current_database()
  and s.slot_name <> all (%(slots)s)
union all
select case when s.setrole = 0 then 'setting of the database'
            else 'setting of a role in the database' end,
       case when s.setrole = 0 then '' else s.setrole::pg_catalog.regrole::text || ': ' end
           || split_part(c.setting, '=', 1),
       null
from pg_catalog.pg_db_role_setting s
cross join lateral unnest(s.setconfig) as c (setting)
where s.setdatabase = (select oid from pg_catalog.pg_database where datname = current_database())
union all
select 'setting of a role', s.setrole::pg_catalog.regrole::text || ': ' || split_part(c.setting, '=', 1), null
from pg_catalog.pg_db_role_setting s
cross join lateral unnest(s.setconfig) as c (setting)
where s.setdatabase = 0
  and s.setrole <> 0
union all
select 'tablespace',
       pg_catalog.quote_ident(t.spcname),
       sum(c.relpages::bigint) * pg_catalog.current_setting('block_size')::bigint
from pg_catalog.pg_class c
join pg_catalog.pg_tablespace t on t.oid = c.reltablespace
where t.spcname <> 'pg_global'
group by t.spcname
union all
select 'prepared transaction', p.gid, null
from pg_catalog.pg_prepared_xacts p
where p.database = current_database()
"""
SIZES = "select oid, pg_catalog.pg_table_size(oid) as bytes from pg_catalog.pg_class where oid = any (%s)"

UNLOGGED = {
    "refuse": "refused, until [tables] unlogged says what is to be",
    "copy": "schema and rows copied; rows again while the cutover holds writes back",
    "skip": "schema copied, rows left behind: [tables] unlogged",
}
LARGE_OBJECTS = {
    "refuse": "refused, until [tables] large_objects says what is to be",
    "copy": "copied; those that change again while the cutover holds writes back",
    "ignore": "left behind: [tables] large_objects",
}
SETTING = "copied with the schema; timeouts and preloaded libraries when the destination opens"
# In the order in which they are told.
BECOMES = {
    "sequence": "made with the schema; set by sync_sequences, and in the cutover",
    "materialized view": "made with the schema; filled from the copied rows, refresh it after the cutover",
    "empty materialized view": "made with the schema, and left empty",
    "view": "made with the schema",
    "partitioned table": "made with the schema; its partitions are streamed",
    "foreign table": "made with the schema; its rows stay where they are",
    "excluded table": "made with the schema, rows left behind: [tables]",
    "table of an extension": "made by its extension, rows left behind",
    "generated column": "computed by the destination",
    "rule": "made with the schema; does not fire for what streams in",
    "statistics": "made with the schema; gathered by analyze",
    "event trigger": "made with the schema, last",
    "foreign server": "made with the schema as it is, and leads where it does now",
    "user mapping": "made with the schema as it is, with its password",
    "security labels": "made with the schema, by the provider's library",
    "setting of the database": SETTING,
    "setting of a role in the database": SETTING,
    "setting of a role": "left behind, as the role is: migrator check-user",
    "tablespace": "left behind: all goes to the destination's default",
    "publication": "left behind: make it again on the destination",
    "subscription": "left behind: disable it before the cutover, make it again on the destination",
    "replication slot": "left behind: its reader begins anew on the destination",
    "prepared transaction": "refused: commit it or roll it back",
}
CHANGES = "not streamed: make none from copy_schema on; the cutover is refused where the schemas differ"
KINDS = ("unlogged table", "large objects", *BECOMES)


@dataclass(frozen=True)
class Unreplicated:
    """One object, or all of a kind by their number: what becomes of it; ``bytes`` where it has a size."""

    kind: str
    name: str
    becomes: str
    bytes: int | None = None


def unreplicated(
    session: ReadSession, options: TablesSection, names: Names | None = None
) -> list[Unreplicated]:
    """Return what a source has that no stream carries, kind by kind; ``names`` are those of ours."""
    slots = [stream.slot for stream in names.streams] if names else []
    rows = [*session.rows(NAMED), *session.rows(AROUND, {"slots": slots})]
    found = [Unreplicated(r.kind, r.name, BECOMES[r.kind], _int(r.bytes)) for r in rows]
    found += _tables(session, options)
    found += [
        Unreplicated("table of an extension", t.relation, BECOMES["table of an extension"])
        for t in tables_with_rows(session)
    ]
    objects = amount(session)
    if objects.objects:
        what = LARGE_OBJECTS[options.large_objects]
        found.append(Unreplicated("large objects", f"{objects.objects} of them", what, objects.bytes))
    found.sort(key=lambda one: (KINDS.index(one.kind), one.name))
    return [*found, Unreplicated("change of the schema", "", CHANGES)]


def _tables(session: ReadSession, options: TablesSection) -> Iterator[Unreplicated]:
    kinds = {
        t: "unlogged table" if selected(t.schema, t.name, options) else "excluded table"
        for t in all_tables(session)
        if t.kind == "r" and not (t.publishable and selected(t.schema, t.name, options))
    }
    sizes = {row.oid: row.bytes for row in session.rows(SIZES, [[t.oid for t in kinds]])}
    becomes = {"unlogged table": UNLOGGED[options.unlogged], **BECOMES}
    for table, kind in kinds.items():
        yield Unreplicated(kind, table.label, becomes[kind], sizes.get(table.oid))


def _int(value: object) -> int | None:
    return None if value is None else int(str(value))
