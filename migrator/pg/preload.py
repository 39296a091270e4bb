"""The libraries that a server's sessions have loaded, and whether files are on its host."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from migrator.pg.versions import Feature, has

if TYPE_CHECKING:
    from collections.abc import Iterable

    from migrator.pg.session import ReadSession

SETTINGS = ("shared_preload_libraries", "session_preload_libraries", "local_preload_libraries")
VALUES = "select setting from pg_catalog.pg_settings where name = any (%s)"
DIRECTORIES = "select name, setting from pg_catalog.pg_config where name in ('PKGLIBDIR', 'SHAREDIR')"
# A path that leads nowhere has no size. Before 11 no path outside of the data directory is looked at.
SIZES = """
select p.path, (pg_catalog.pg_stat_file(p.path, true)).size as size
from unnest(%s::text[]) as p (path)
"""


def preloaded(session: ReadSession, *settings: str) -> list[str]:
    """Return the names of the libraries that are preloaded, by these settings or by any, in order."""
    rows = session.rows(VALUES, [list(settings or SETTINGS)])
    words = [word.strip(' "') for row in rows for word in re.split(",", row.setting)]
    return [word.rpartition("/")[2].removesuffix(".so") for word in words if word]


def directory(session: ReadSession, name: str) -> str:
    """Return where a server's installation has its libraries (``PKGLIBDIR``) or files (``SHAREDIR``)."""
    return {row.name: str(row.setting) for row in session.rows(DIRECTORIES)}[name]


def can_look(session: ReadSession) -> bool:
    """Return whether the server tells of files outside of its data directory."""
    return has(session.version, Feature.ABSOLUTE_FILE_PATHS)


def sizes(session: ReadSession, paths: Iterable[str]) -> dict[str, int]:
    """Return the size of each of the files that are on the server's host; see ``can_look``."""
    wanted = sorted(set(paths))
    rows = session.rows(SIZES, [wanted]) if wanted and can_look(session) else []
    return {row.path: row.size for row in rows if row.size is not None}
