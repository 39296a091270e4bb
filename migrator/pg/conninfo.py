"""Say what is wrong with a conninfo without repeating any of it: what libpq stumbles over may be a
piece of a password.
"""

from __future__ import annotations

import os
import re

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

# Where libpq's complaint begins to quote what it was given, rather than a sign that it misses.
_QUOTED = re.compile(r'(?: after| option|:)? "(?!=|\])')
_URL = re.compile(r"postgres(?:ql)?://(?P<authority>[^/?]*)(?P<path>[^?]*)")


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


def database_of(conninfo: str) -> str:
    """Return the database that a conninfo or the environment names; empty where neither does."""
    return str(conninfo_to_dict(conninfo).get("dbname") or os.environ.get("PGDATABASE", ""))
