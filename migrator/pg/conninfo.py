"""Say what a conninfo leads to and what is wrong with it, never repeating a password: what libpq stumbles
over may be a piece of one.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from migrator.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

# Where libpq's complaint begins to quote what it was given, rather than a sign that it misses.
_QUOTED = re.compile(r'(?: after| option|:)? "(?!=|\])')
_URL = re.compile(r"postgres(?:ql)?://(?P<authority>[^/?]*)(?P<path>[^?]*)")
# The keywords of libpq that hold a secret (documentation 32.1.2).
_SECRETS = ("password", "sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret")


def impatient(conninfo: str, seconds: float) -> str:
    """Return the conninfo with that much time to connect, in whole ``seconds`` and at least two."""
    return make_conninfo(conninfo, connect_timeout=max(2, int(seconds)))


def flaw(conninfo: str) -> str:
    """Return why libpq cannot read a conninfo, or surely takes it amiss; nothing for a usable one."""
    try:
        parts = conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError as error:
        return _QUOTED.split(str(error))[0].strip()
    if "sslpassword" in parts:
        # libpq knows no variable for it, and pg_dump's arguments are in every process list.
        return "sslpassword would be seen by others; take a key file without a passphrase"
    url = _URL.match(conninfo)
    if url is not None:
        signs = url["authority"].count("@")
        if signs > 1 or (signs == 0 and "@" in url["path"]):
            return "a sign of the user or password ends it early"
    return ""


def require_usable(conninfo: str, side: str) -> None:
    """Raise ConfigError where ``flaw`` finds one in a side's conninfo."""
    if why := flaw(conninfo):
        raise ConfigError(f"the {side}'s url cannot be used: {why}", side=side)


def database_of(conninfo: str) -> str:
    """Return the database that a conninfo or the environment names; empty where neither does."""
    return str(conninfo_to_dict(conninfo).get("dbname") or os.environ.get("PGDATABASE", ""))


def to_database(conninfo: str, database: str) -> str:
    """Return the conninfo that leads to another database of the same server."""
    return make_conninfo(conninfo, dbname=database)


def parts_of(conninfo: str) -> dict[str, str]:
    """Return what a conninfo says, by libpq's keywords, secrets left out. It is one without a flaw."""
    parts = conninfo_to_dict(conninfo)
    return {name: str(value) for name, value in parts.items() if name not in _SECRETS and value is not None}


def without_password(conninfo: str) -> str:
    """Return the conninfo without its secrets: as it is where it holds none, a url as a url."""
    parts = parts_of(conninfo)
    if len(parts) == len(conninfo_to_dict(conninfo)):
        return conninfo
    return url_of(parts) if _URL.match(conninfo) else make_conninfo("", **parts)


def conninfo_of(parts: Mapping[str, str]) -> str:
    """Return libpq's ``keyword=value`` form of ``parts``, those that are empty left out."""
    return make_conninfo("", **{name: value for name, value in parts.items() if value})


def url_of(parts: Mapping[str, str], scheme: str = "postgresql") -> str:
    """Return a url that says what ``parts`` say: host, port, user and database where a url has them."""
    left = dict(parts)
    authority = ""
    host = left.get("host", "")
    if re.fullmatch(r"[\w.-]+|[0-9A-Fa-f:]+:[0-9A-Fa-f:.]*", host, re.ASCII):
        del left["host"]
        authority = f"[{host}]" if ":" in host else host
        if re.fullmatch("[0-9]+", left.get("port", "")):
            authority += f":{left.pop('port')}"
    if user := left.pop("user", ""):
        authority = f"{quote(user, safe='')}@{authority}"
    database = quote(left.pop("dbname", ""), safe="")
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in left.items() if value)
    return f"{scheme}://{authority}/{database}" + (f"?{query}" if query else "")
