"""By what rules a database sorts and compares text: providers, locales, versions of collations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrator.errors import StatementFailed
from migrator.pg.versions import Feature, has

if TYPE_CHECKING:
    from migrator.pg.session import ReadSession

# The columns of the later ones are null where a version does not have them.
DATABASE = """
select pg_catalog.pg_encoding_to_char(d.encoding) as encoding,
       d.datcollate::text as collate,
       d.datctype::text as ctype,
       coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') as provider,
       coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') as locale,
       coalesce(to_jsonb(d) ->> 'daticurules', '') as rules,
       to_jsonb(d) ->> 'datcollversion' as recorded,
       {actual} as actual
from pg_catalog.pg_database d
where d.datname = current_database()
"""
OF_DATABASE = "pg_catalog.pg_database_collation_actual_version(d.oid)"
# Before 15: that of a collation of the same name, which initdb has made if the machine has the locale.
OF_NAMESAKE = """
(select max(pg_catalog.pg_collation_actual_version(c.oid))
 from pg_catalog.pg_collation c
 where c.collprovider = 'c'
   and replace(lower(c.collcollate), '-', '') = replace(lower(d.datcollate), '-', ''))
"""
# A server accepts a locale for money that its host has, and refuses any other.
TRY_LOCALE = "select pg_catalog.set_config('lc_monetary', %s, true)"
INVALID_VALUE = "22023"
PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}


def plain(locale: str) -> str:
    """Return a locale of libc as it is compared: without the ways to write its encoding."""
    name, _, encoding = locale.lower().partition(".")
    encoding = encoding.replace("-", "")
    return "c" if name in ("c", "posix") and not encoding else f"{name}.{encoding}"


def has_locale(session: ReadSession, locale: str) -> bool:
    """Return whether a server's host has a locale of libc; nothing is changed."""
    try:
        session.value(TRY_LOCALE, [locale])
    except StatementFailed as error:
        if error.sqlstate == INVALID_VALUE:
            return False
        raise
    return True


@dataclass(frozen=True)
class Locale:
    """A database's encoding and locale. ``name`` is that of icu and builtin; versions may be unknown."""

    encoding: str
    collate: str
    ctype: str
    provider: str
    name: str
    rules: str
    recorded: str | None
    actual: str | None

    @property
    def provider_name(self) -> str:
        """Return the provider's name as SQL has it."""
        return PROVIDERS.get(self.provider, self.provider)

    @property
    def told(self) -> str:
        """Return provider and locale, for people."""
        name = self.collate if self.provider == "c" else self.name
        return f"{name} of {self.provider_name}" + (" with rules" if self.rules else "")

    @property
    def ordering(self) -> tuple[str, str, str]:
        """Return what decides how text sorts; the locales that sort by code point are one."""
        if self.provider == "c":
            name = plain(self.collate)
            return ("", "c", "") if name.partition(".")[0] == "c" else ("c", name, "")
        if self.provider == "b":
            return ("", "c", "")
        return (self.provider, self.name, self.rules)

    @property
    def case(self) -> str:
        """Return what decides about upper and lower case."""
        if self.provider == "i":
            return f"icu {self.name}"
        return plain(self.ctype if self.provider == "c" else self.name)


def database_locale(session: ReadSession) -> Locale:
    """Return the locale of the session's database."""
    new = has(session.version, Feature.DATABASE_LOCALE_PROVIDER)
    row = session.rows(DATABASE.format(actual=OF_DATABASE if new else OF_NAMESAKE))[0]
    return Locale(
        encoding=row.encoding,
        collate=row.collate,
        ctype=row.ctype,
        provider=row.provider,
        name=row.locale or "",
        rules=row.rules,
        recorded=row.recorded,
        actual=row.actual,
    )
