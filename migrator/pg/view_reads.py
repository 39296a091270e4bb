"""What the filled materialized views read, through views, down to foreign tables: a part of queries."""

from __future__ import annotations

# Each view with itself, and with every view and foreign table below it.
READS = """
reads (matview, relation) as (
    select c.oid, c.oid from pg_catalog.pg_class c where c.relkind = 'm' and c.relispopulated
    union
    select v.matview, d.refobjid
    from reads v
    join pg_catalog.pg_rewrite r on r.ev_class = v.relation
    join pg_catalog.pg_depend d
      on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
     and d.objid = r.oid
     and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    join pg_catalog.pg_class c on c.oid = d.refobjid and c.relkind in ('v', 'f')
)
"""
