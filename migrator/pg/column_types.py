"""The types of columns and all they are made of, as parts of queries."""

from __future__ import annotations

# For each type and what it is made of: the base of a domain, the elements of an array, the bounds of a
# range, the fields of a composite. ``{roots}`` says which types are wanted.
PARTS = """
part (root, type) as (
    select t.oid, t.oid
    from pg_catalog.pg_type t
    where {roots}
    union
    select p.root, q.type
    from part p
    join pg_catalog.pg_type t on t.oid = p.type
    cross join lateral (
        select t.typbasetype where t.typtype = 'd'
        union all
        select t.typelem where t.typelem <> 0 and t.typlen = -1
        union all
        select r.rngsubtype from pg_catalog.pg_range r where r.rngtypid = t.oid
        union all
        select a.atttypid
        from pg_catalog.pg_attribute a
        where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
    ) as q (type)
)
"""

# As roots: the types of the user's columns. There are as many row types as tables, which few columns have.
OF_COLUMNS = """
t.oid in (
    select a.atttypid
    from pg_catalog.pg_attribute a
    join pg_catalog.pg_class c on c.oid = a.attrelid
    where c.relkind in ('r', 'p', 'm')
      and c.oid >= 16384
      and a.attnum > 0
      and not a.attisdropped
)
"""

# Whether type ``t`` has an equality of one of these access methods, as PostgreSQL looks for it
# (GetDefaultOpClass): of its own, or of a type that it can be read as.
HAS_EQUALITY = """
(t.typtype in ('e', 'r', 'm')
 or exists (
     select
     from pg_catalog.pg_opclass o
     join pg_catalog.pg_am m on m.oid = o.opcmethod
     where o.opcdefault
       and m.amname in ({methods})
       and (o.opcintype = t.oid
            or exists (
                select
                from pg_catalog.pg_cast k
                where k.castsource = t.oid
                  and k.casttarget = o.opcintype
                  and k.castmethod = 'b'
                  and k.castcontext = 'i'
            ))
 ))
"""
