"""Each server can connect to the other one as the stream will.

Each is asked to create a subscription to the other one, disabled and without a slot, in a transaction that is
rolled back. For that it connects as our worker will, with the replication protocol: it needs a role with
replication, a free walsender, and a line of pg_hba.conf for the database itself; one for the database named
replication is for standbys only.

Why it matters: the stream's worker runs in the destination's server and connects to the source by itself,
from that host, with its own network and password file; after the cutover it is the other way round. The
copy, which goes through migrator, proves nothing of that.
How to fix: what the message says: a line in pg_hba.conf, a password in [replication] source_conninfo or
destination_conninfo or in the .pgpass of the user that runs the server that connects, an address that leads
there, a way through the firewall.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity, directions
from migrator.pg.publication import published_streams
from migrator.pg.session import WriteSession
from migrator.switchover import subscribing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.HBA
BEFORE = ("plan", "copy_schema", "replicate")

# In seconds; each address that a name stands for is given so many.
PATIENCE = 5
# Where a server connects from, and whether it is on the machine that migrator runs on.
PLACE = """
select pg_catalog.host(pg_catalog.inet_server_addr()) as address,
       pg_catalog.inet_client_addr() is not distinct from pg_catalog.inet_server_addr() as here
"""
LOOPBACK = re.compile(r"localhost|127\..*|::1|/.*|")


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Have each server try."""
    if ctx.source_server.in_recovery or ctx.destination_server.in_recovery:
        return
    # From then on the steps that subscribe connect by themselves, and again when a connection is lost.
    if published_streams(ctx.source, ctx.names):
        return
    for way, severity in directions(ctx):
        there, here = way.source.side, way.destination.side
        parts = subscribing.worker_parameters(way)
        # As libpq does where nothing is said.
        host, user = parts.get("host", ""), parts.get("user", "")
        database = parts.get("dbname") or user
        where = f"{there} ({host or 'local'}:{parts.get('port', '5432')}/{database})"
        place = way.destination.rows(PLACE)[0]
        with WriteSession.open(
            way.destination_server.conninfo, side=here, application=ctx.names.observer, autocommit=False
        ) as session:
            why = subscribing.try_to_connect(way, session, PATIENCE)
        if "pg_hba.conf" in why:
            rule = f"host {_word(database)} {_word(user)} {_network(place.address)}"
            yield Finding(
                severity,
                here,
                f"the {here}'s server is not let into the {where}: {why}",
                f"in the {there}'s pg_hba.conf: {rule} scram-sha-256\n"
                f"then on the {there}: select pg_reload_conf()",
            )
        elif why:
            yield Finding(
                severity,
                here,
                f"the {here}'s server cannot connect to the {where}: {why}",
                f"[replication] {there}_conninfo says how the {here}'s server reaches the {there}; a "
                f"password goes there, or into the .pgpass of the user that runs the {here}'s server",
            )
        elif LOOPBACK.fullmatch(host) and not place.here:
            yield Finding(
                Severity.WARN,
                here,
                f"the {here}'s server connects to the {where}, which from there is its own machine",
                f"unless the {there} is on that machine too, say in [replication] {there}_conninfo how the "
                f"{here}'s server reaches it",
            )


def _word(name: str) -> str:
    """Return a name as pg_hba.conf wants it, where keywords and signs mean something else."""
    return '"' + name.replace('"', '""') + '"'


def _network(address: str | None) -> str:
    if address is None:
        return "ADDRESS-OF-THAT-SERVER"
    return f"{address}/{128 if ':' in address else 32}"
