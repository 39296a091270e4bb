"""A session that speaks the replication protocol: creating a slot with its snapshot, and nothing else."""

from __future__ import annotations

from typing import Self

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from migrator.pg.session import ReadSession, settings, shown, startup_options
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
        options = startup_options(pinned | {"lock_timeout": str(int(lock_timeout * 1000))})
        given = conninfo_to_dict(conninfo).get("options")
        full = make_conninfo(
            conninfo,
            options=f"{given} {options}" if given else options,
            application_name=application,
            replication="database",
        )
        try:
            # The replication protocol takes simple queries only: the client-side cursor sends those.
            connection = psycopg.connect(full, autocommit=True, cursor_factory=psycopg.ClientCursor)
        except psycopg.Error as error:
            raise unreachable(error, side, shown(conninfo)) from None
        return cls(connection, side)
