"""A session that speaks the replication protocol: creating a slot with its snapshot, and nothing else."""

from __future__ import annotations

from typing import Self

import psycopg

from migrator.pg.session import ReadSession, dsn, settings, shown
from migrator.pg.translate import unreachable


class ReplicationSession(ReadSession):
    """A walsender of the database, which takes replication commands and simple queries."""

    read_only = False

    @classmethod
    def of(cls, conninfo: str, *, side: str, application: str, version: int, lock_timeout: float) -> Self:
        """Connect to ``conninfo``; ``lock_timeout`` is seconds, ``version`` the server's.

        Raises Unreachable when the server cannot be reached or does not let us in.
        """
        pinned = settings(read_only=False, version=version)
        pinned["lock_timeout"] = str(int(lock_timeout * 1000))
        full = dsn(conninfo, pinned, application, replication="database")
        try:
            # The replication protocol takes simple queries only: the client-side cursor sends those.
            connection = psycopg.connect(full, autocommit=True, cursor_factory=psycopg.ClientCursor)
        except psycopg.Error as error:
            raise unreachable(error, side, shown(conninfo)) from None
        return cls(connection, side)
