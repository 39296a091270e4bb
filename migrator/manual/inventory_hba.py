"""Read the rules of the source's pg_hba.conf, from the server and, for what it does not show, from the file.

``pg_hba_file_rules`` tells no name in quotes from a keyword, ``"all"`` from ``all``, and leaves out some
options (``get_hba_options`` in hbafuncs.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from migrator.manual.hba_tokens import Token, fields, line_at, spelled
from migrator.manual.inventory import Hba, Rule
from migrator.pg.redact import HIDDEN, redact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.pg.session import ReadSession

# In the order in which they are tried. Files can be included since 16.
RULES = """
select coalesce(to_jsonb(r) ->> 'file_name', '') as file,
       r.line_number as line,
       r.type as type,
       r.database as databases,
       r.user_name as users,
       r.address as address,
       r.netmask as netmask,
       r.auth_method as method,
       r.options as options,
       r.error as error
from pg_catalog.pg_hba_file_rules r
"""

MAIN_FILE = "select pg_catalog.current_setting('hba_file')"
# Rights of their own, unlike the view's. Before pg_read_server_files nobody may look outside of the data.
MAY_READ_FILES = """
select pg_catalog.has_function_privilege('pg_catalog.pg_stat_file(text)', 'execute')
   and pg_catalog.has_function_privilege('pg_catalog.pg_read_binary_file(text)', 'execute')
   and (exists (select from pg_catalog.pg_roles where rolname = 'pg_read_server_files')
        or strpos(pg_catalog.current_setting('hba_file'), pg_catalog.current_setting('data_directory')) = 1)
"""
FILES = """
select file as name,
       pg_catalog.pg_read_binary_file(file) as content,
       (pg_catalog.pg_stat_file(file)).modification > pg_catalog.pg_conf_load_time() as pending
from unnest(%s::text[]) as f (file)
"""

SECRETS = ("ldapbindpasswd", "radiussecrets")
NOT_SHOWN = ("ldapscheme", "pam_use_hostname", "compat_realm", "upn_username")
# What an url says by its beginning, and the server shows in parts, is shown without that.
LDAPS_URL = "ldapurl=ldaps:"
LDAPS = "ldapscheme=ldaps"


def read_hba(session: ReadSession, *, with_passwords: bool) -> Hba:
    """Read the rules in order, those with errors included.

    Secrets in a rule's options are hidden unless ``with_passwords``. Only a superuser may read the rules.
    """
    rows = session.rows(RULES)
    main = session.value(MAIN_FILE)
    texts: dict[str, list[str]] = {}
    pending = None
    if session.value(MAY_READ_FILES):
        files = session.rows(FILES, [sorted({main, *(row.file for row in rows if row.file)})])
        pending = any(file.pending for file in files)
        texts = {file.name: file.content.decode(errors="replace").split("\n") for file in files}
    rules = [rule_of(row, texts.get(row.file or main, []), with_passwords=with_passwords) for row in rows]
    return Hba(tuple(rules), pending)


def rule_of(row: Any, lines: list[str], *, with_passwords: bool) -> Rule:
    """Return the rule that the server shows as ``row``; ``lines`` are its file's, or none."""
    databases, users, options = row.databases or [], row.users or [], row.options or []
    seen = _seen(lines, row)
    named = seen[1:3] if seen else [[Token(text) for text in texts] for texts in (databases, users)]
    if seen:
        options = [*options, *_not_shown(seen)]
    if not with_passwords:
        options = [_hidden(option) for option in options]
    return Rule(
        file=row.file,
        line=row.line,
        type=row.type,
        databases=tuple(map(spelled, named[0])),
        users=tuple(map(spelled, named[1])),
        address=row.address,
        netmask=row.netmask,
        method=row.method,
        options=tuple(options),
        error=None if row.error is None else redact(row.error),
        complete=seen is not None,
    )


def _seen(lines: list[str], row: Any) -> list[list[Token]] | None:
    """Return the fields of the line that a rule is made of; None where it is not found there.

    Before 14 a backslash at the end continues no line, and names may come from a file of their own.
    """
    for line in {line_at(lines, row.line), *lines[row.line - 1 : row.line]}:
        found = fields(line)
        if [[token.text for token in field] for field in found[1:3]] == [row.databases, row.users]:
            return found
    return None


def _not_shown(seen: list[list[Token]]) -> Iterator[str]:
    for token in (token for field in seen[3:] for token in field):
        if token.text.partition("=")[0] in NOT_SHOWN:
            yield token.text
        elif token.text.startswith(LDAPS_URL):
            yield LDAPS


def _hidden(option: str) -> str:
    name = option.partition("=")[0]
    return f"{name}={HIDDEN}" if name in SECRETS else option
