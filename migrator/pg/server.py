"""Facts about a server, read once when a session opens."""

from __future__ import annotations

from dataclasses import dataclass

from migrator.pg.session import ReadSession, shown
from migrator.pg.versions import Feature, has, major_of

FACTS = """
select current_database() as database,
       current_user as role,
       (select rolsuper from pg_catalog.pg_roles where rolname = current_user) as superuser,
       (select rolreplication from pg_catalog.pg_roles where rolname = current_user) as replication,
       (select system_identifier::text from pg_catalog.pg_control_system()) as system_identifier,
       pg_catalog.pg_is_in_recovery() as in_recovery,
       pg_catalog.current_setting('server_version') as version_text,
       case when pg_catalog.pg_is_in_recovery()
            then (select timeline_id from pg_catalog.pg_control_checkpoint())
            else ('x' || substr(
                     pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::int
       end as timeline
"""


@dataclass(frozen=True)
class Server:
    """What a server is: where, which version, which cluster, which role we are."""

    side: str
    conninfo: str
    database: str
    role: str
    superuser: bool
    replication: bool
    system_identifier: str
    timeline: int
    in_recovery: bool
    version: int
    version_text: str

    @classmethod
    def read(cls, session: ReadSession, conninfo: str) -> Server:
        """Read the facts through ``session``."""
        row = session.row(FACTS)
        if row is None:
            raise LookupError("the server answered no row to a query that always has one")
        return cls(
            side=session.side,
            conninfo=conninfo,
            database=row.database,
            role=row.role,
            superuser=row.superuser,
            replication=row.replication,
            system_identifier=row.system_identifier,
            timeline=row.timeline,
            in_recovery=row.in_recovery,
            version=session.version,
            version_text=row.version_text.split()[0],
        )

    @property
    def where(self) -> str:
        """Return host, port and database, for people."""
        return shown(self.conninfo)

    @property
    def address(self) -> str:
        """Return host and port, for people."""
        return self.where.rpartition("/")[0]

    @property
    def major(self) -> int:
        """Return the major version."""
        return major_of(self.version)

    def has(self, feature: Feature) -> bool:
        """Return whether this server has the feature."""
        return has(self.version, feature)
