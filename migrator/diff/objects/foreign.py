"""Foreign-data wrappers, foreign servers, user mappings. Secrets in their options are not asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.diff.objects.kind import Kind, in_order, quoted, routine
from migrator.diff.objects.operators import own

if TYPE_CHECKING:
    from migrator.diff.objects.kind import Versions

SECRET = "pass|secret|token|credential|_key$"
# Whether there is one is told, never what it is.
OPTIONS = f"""
select case when split_part(o, '=', 1) ~* '{SECRET}' then split_part(o, '=', 1) || ' (set)' else o end
from unnest({{options}}) o
"""


def wrappers(_versions: Versions) -> Kind:
    """Return the kind of foreign-data wrappers."""
    return Kind(
        kind="'foreign-data wrapper'",
        name=quoted("w.fdwname"),
        catalog="pg_foreign_data_wrapper",
        oid="w.oid",
        found=f"""pg_catalog.pg_foreign_data_wrapper w
            where {own("pg_foreign_data_wrapper", "w.oid")}""",
        properties={
            "handler": routine("w.fdwhandler"),
            "validator": routine("w.fdwvalidator"),
            "options": in_order(OPTIONS.format(options="w.fdwoptions")),
        },
        owner="w.fdwowner",
        acl="w.fdwacl",
        default_acl="'F'",
    )


def servers(_versions: Versions) -> Kind:
    """Return the kind of foreign servers."""
    return Kind(
        kind="'foreign server'",
        name=quoted("s.srvname"),
        catalog="pg_foreign_server",
        oid="s.oid",
        found=f"""pg_catalog.pg_foreign_server s
            join pg_catalog.pg_foreign_data_wrapper w on w.oid = s.srvfdw
            where {own("pg_foreign_server", "s.oid")}""",
        properties={
            "wrapper": quoted("w.fdwname"),
            "type": "s.srvtype",
            "version": "s.srvversion",
            "options": in_order(OPTIONS.format(options="s.srvoptions")),
        },
        owner="s.srvowner",
        acl="s.srvacl",
        default_acl="'S'",
    )


def user_mappings(_versions: Versions) -> Kind:
    """Return the kind; whoever may not see the options of one is told that they are hidden."""
    return Kind(
        kind="'user mapping'",
        name=f"""case u.umuser when 0 then 'PUBLIC' else {quoted("u.usename")} end
            || ' on ' || {quoted("u.srvname")}""",
        of=f"'foreign server ' || {quoted('u.srvname')}",
        catalog="",
        oid="u.umid",
        found="pg_catalog.pg_user_mappings u",
        properties={
            "options": in_order(OPTIONS.format(options="u.umoptions")),
            "hidden": """nullif(u.umoptions is null and not exists (
                select from pg_catalog.pg_roles r where r.rolname = current_user and r.rolsuper
            ), false)""",
        },
    )
