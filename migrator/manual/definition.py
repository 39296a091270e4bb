"""Write what a source has as the definition of its new cluster, in one of three forms.

``pigsty`` is YAML for the variables of a cluster in ``pigsty.yml``; ``sql`` is for psql, its rules being
lines of pg_hba.conf; ``json`` is the inventory itself. What a form cannot carry stands in it as a comment,
with the SQL that says it.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from migrator.errors import MissingPackage
from migrator.manual import pigsty, pigsty_hba, plain, plain_hba
from migrator.manual.inventory import PARTS, Inventory, Part
from migrator.manual.inventory_database import read_database
from migrator.manual.inventory_hba import read_hba
from migrator.manual.inventory_roles import read_users

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from migrator.manual.plain import Note
    from migrator.pg.session import ReadSession

Form = Literal["pigsty", "sql", "json"]
FORMS: tuple[Form, ...] = ("pigsty", "sql", "json")

ORIGIN = "select pg_catalog.current_setting('server_version')"
# Lines are not folded, so that a rule or a statement stands on one.
ANY_WIDTH = 1_000_000
VARIABLES = "all.children.<cluster>.vars"


def read_inventory(
    session: ReadSession,
    parts: Collection[Part] = PARTS,
    *,
    new_name: str = "",
    with_passwords: bool = False,
) -> Inventory:
    """Read these parts of what a source has; ``new_name`` is the database's in the new cluster.

    Raises StatementFailed where a right is missing: the rules, and passwords, are for superusers.
    """
    where = session.parameters()
    return Inventory(
        origin=f"{where['host']}:{where['port']}, PostgreSQL {session.value(ORIGIN)}",
        users=read_users(session, with_passwords=with_passwords) if "users" in parts else None,
        database=read_database(session, new_name) if "database" in parts else None,
        hba=read_hba(session, with_passwords=with_passwords) if "hba" in parts else None,
    )


def definition(inventory: Inventory, form: Form = "pigsty", *, empty: bool = False) -> str:
    """Return the parts that were read as one text: users, the database, rules.

    ``empty`` leaves out what is inside the database, for one that migrator fills. Raises MissingPackage
    where the form is pigsty and PyYAML is not installed.
    """
    if form == "json":
        parts = {name: part for name, part in asdict(inventory).items() if part is not None}
        return json.dumps(parts, indent=2) + "\n"
    write = _pigsty if form == "pigsty" else _sql
    return "\n".join(write(inventory, empty)) + "\n"


def _sql(inventory: Inventory, empty: bool) -> Iterator[str]:
    if users := inventory.users:
        what = f"Roles of {inventory.origin}. For psql, as a superuser of the new cluster"
        yield from _part("--", what, plain.users_notes(users), plain.users_script(users))
    if database := inventory.database:
        what = f"Database of {inventory.origin}. For psql, as a superuser of the new cluster, after the roles"
        notes = [*plain.provider_note(database), *plain.database_notes(database, empty=empty)]
        yield from _part(
            "--", f"{what}. {_purpose(empty)}", notes, plain.database_script(database, empty=empty)
        )
    if hba := inventory.hba:
        alone = inventory.users is None and inventory.database is None
        what = f"pg_hba.conf of {inventory.origin}"
        for line in _part("#", what, plain_hba.hba_notes(hba), plain_hba.hba_lines(hba)):
            # In a file for psql these lines are for somebody else.
            yield line if alone else f"-- {line}".rstrip()


def _pigsty(inventory: Inventory, empty: bool) -> Iterator[str]:
    if users := inventory.users:
        defined, notes = pigsty.users_definition(users)
        what = f"Roles of {inventory.origin}. For {VARIABLES}; dates are of UTC"
        yield from _part("#", what, notes, _yaml("pg_users", defined))
    if database := inventory.database:
        defined, notes = pigsty.database_definition(database, empty=empty)
        what = f"Database of {inventory.origin}. For {VARIABLES}. {_purpose(empty)}"
        yield from _part("#", what, notes, _yaml("pg_databases", defined))
    if hba := inventory.hba:
        defined, notes = pigsty_hba.hba_definition(hba)
        what = f"pg_hba.conf of {inventory.origin}. For {VARIABLES}"
        yield from _part("#", what, notes, _yaml("pg_hba_rules", defined))


def _purpose(empty: bool) -> str:
    if empty:
        return "Schemas and extensions come with copy_schema"
    return "With schemas and extensions, which migrator does not expect: check-db --empty leaves them to it"


def _part(comment: str, title: str, notes: Iterable[Note], lines: Iterable[str]) -> Iterator[str]:
    """Yield a part's lines after its title, and before them what they do not carry, as comments."""
    yield f"{comment} {title}."
    for note in notes:
        yield f"{comment} not carried: {_on_one_line(note.text)}"
        for statement in note.sql:
            yield f"{comment}   {_on_one_line(statement)}"
    yield from lines
    yield ""


def _on_one_line(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\{ord(c):04X}" for c in text)


def _yaml(key: str, defined: list[pigsty.Definition]) -> list[str]:
    try:
        import yaml
    except ImportError:
        raise MissingPackage(
            "the form pigsty is YAML, and PyYAML is not installed",
            hint="pip install 'migrator[manual]', or --format sql",
        ) from None

    class Dumper(yaml.SafeDumper):
        """Says in quotes what cannot be printed, so that each line stays one."""

    Dumper.add_representer(
        str,
        lambda dumper, text: dumper.represent_scalar(
            "tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"'
        ),
    )
    dumped: str = yaml.dump(
        {key: defined}, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=ANY_WIDTH
    )
    return dumped.rstrip("\n").split("\n")
