"""The commented ``migrator.toml`` that ``migrator init`` writes: keys, defaults, meanings."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

TEMPLATE = """\
# What migrates, from where, to where, and how. Every key is here with its default;
# only migration.name, source.url and destination.url have none, and are yours to say.
# Durations are written "500ms", "10s", "5min", "2h", "1d"; sizes "500kB", "20MB", "1GB".

[migration]
# Names the migration in the state store and on both servers.
name = "shop"

[context]
# What the clusters are called in the context that "activate" sets and the manual tells of. Empty: the
# source's as migration.name says, where it ends with .DATABASE, or else the host of source.url.
source_cluster = ""
# Empty: the host of destination.url.
destination_cluster = ""

[source]
# The database that takes the writes now. libpq rules: service=NAME, the password file and
# the PG* environment variables work, so no password needs to be written here.
url = "postgresql://postgres@source.example:5432/shop"

[destination]
# The database that will take them. It exists, and is empty.
url = "postgresql://postgres@destination.example:5432/shop"

[connections]
# How long a command that has lost a server (a restart, a cut network) tries to have it back before
# it ends. The same command goes on after that, too.
retry_for = "1min"

[replication]
# How the destination server reaches the source server; empty: as source.url says.
source_conninfo = ""
# How the source server reaches the destination server; empty: as destination.url says.
destination_conninfo = ""
# How long the stream may take to catch up after the initial copy.
catch_up_timeout = "1h"
# Over how many subscriptions the tables are divided, where one apply worker cannot follow a busy source.
# Each takes a slot and a walsender on the source and a worker on the destination. A transaction that
# writes to tables of two streams arrives in two parts, until the cutover has waited for both.
streams = 1
# Tables that foreign keys or a common partitioned table hold together stay in one stream; true splits
# them too, where everything hangs together. The stream checks no foreign keys; they hold at the cutover.
split_tied = false

[tables]
# Which tables' rows migrate: shell patterns on schema.table. The schema is always copied whole.
include = ["*.*"]
# Which of these do not.
exclude = []
# The stream carries no unlogged table: "refuse" stops the plan; "copy" copies their rows, and once more
# while writes are held back in the cutover; "skip" leaves their rows behind.
unlogged = "refuse"
# Nor large objects: "refuse" stops the plan; "copy" copies them, and in the cutover those that have
# changed since; "ignore" leaves them behind.
large_objects = "refuse"

[checks]
# Findings of preflight to go on with, each with the reason: a check's name, or "check:subject" for one of
# its findings: { "unlogged_tables:public.cache" = "rebuilt every night" }.
waive = {}

[copy]
# How many tables, or pieces of a large one, are copied at a time, each over a connection of its
# own to both servers.
jobs = 4
# How many indexes are built at a time on the destination, each by a connection of its own.
index_jobs = 4
# How much memory the builds use together, the fewer there are the more each (maintenance_work_mem). "0B":
# as much as the destination's shared_buffers. Never more than half of what is available where it runs on
# this machine, and never less for one than its own maintenance_work_mem.
index_memory = "0B"
# A table larger than this is copied in even pieces of about this size, several at a time. "0B": 1 GB, and
# none is cut where the destination runs on this machine and it has fewer than three cores.
split_above = "0B"
# How long a table's lock may be waited for before it is given up and tried again.
lock_timeout = "2s"
# How often it is tried.
lock_attempts = 30
# How much WAL the source may keep for the copy; "0B": no limit. Past it the slot is given up before
# the source's disk fills, and the copy has to begin again. Leave room for a whole copy's writes.
max_retained_wal = "0B"
# How much all of these copies together read from the source in a second: "20MB"; "0B" is without bounds.
# A running copy is paused by SIGUSR1 and goes on at SIGUSR2; its connections stay open.
max_bytes_per_second = "0B"

[sequences]
# Added to every sequence of the destination, in the direction it counts.
shift = 1000

[cutover]
# The longest time that writes may be held back; past it the source goes on as before.
max_pause = "10s"
# The cutover is begun only when the destination is at most this far behind.
max_lag = "5s"
# How long the lock on all tables may be waited for before it is given up and tried again.
lock_timeout = "1s"
# How often it is tried.
attempts = 5
# A cutover is not begun while a transaction on the tables is older than this.
max_transaction_age = "1min"
# Who keeps the locks from being had is ended when its transaction is older than this.
terminate_blockers_after = "24d"
# The stream that leads back: "required" refuses a cutover without it, "auto" goes on without it where it
# cannot be had, "off" does without.
reverse = "required"
# How the source is kept from taking writes: "lock" (one transaction, a trigger on each table; who writes
# waits for its end). Before it, "read_only" makes the database read-only and ends its sessions, "command"
# runs a program of yours.
fence = "lock"
# For how long, right before writes are held back, small tables are looked at for rows that are missing or too
# many on the destination: a difference stops the cutover. "0s" does without.
quick_diff = "1s"
# Whether all rows of both sides, as they were when the writes changed hands, are compared right after it,
# while the application goes on. It reads every table on both sides, and vacuum waits for it there.
prove = true
# How clients come to the destination: "manual" (you are asked to do it), "command", "pgbouncer" or
# "haproxy"; see the table of that name.
router = "manual"

[fence.command]
# Used with cutover.fence = "command": programs and their arguments, run without a shell.
# Keeps writers out of the side that gives its writes away. Its time is part of max_pause.
raise = []
# Lets them in again, when the cutover is given up or rehearsed, and when that side takes writes again.
release = []
# How long each may run.
timeout = "1min"

[router.command]
# Used with cutover.router = "command": programs and their arguments, run without a shell.
# Tells the clients' side that the source is closing; may be left empty.
disable_source = []
# Runs when the destination takes writes; it must point the clients there.
re_route = []
# How long each may run.
timeout = "1min"

[router.pgbouncer]
# Used with cutover.router = "pgbouncer": the admin console of each, as one of its admin_users.
admin_urls = []
# The file that holds the database's line, writable from here; a list where each has its own.
config_file = "/etc/pgbouncer/pgbouncer.ini"
# The name of that line: the database that clients ask for.
database = ""
# How they reach the source, "host:port"; empty: as source.url says.
source_address = ""
# How they reach the destination, "host:port"; empty: as destination.url says.
destination_address = ""
# How a client comes to the database through each; empty: the address of its console, with the user of
# source.url or destination.url.
probe_urls = []
# How long a console, and a query through it, may take to be answered: longer than server_login_retry.
timeout = "30s"

[router.haproxy]
# Used with cutover.router = "haproxy": the runtime API of each, "/path/of/socket" or "host:port", at
# level admin. haproxy's own file stays as it is: have it say the same before the next restart.
sockets = []
# The backend that leads to the database.
backend = ""
# Its server that is the source.
source_server = ""
# Its server that is the destination; in maintenance until the cutover.
destination_server = ""
# How a client comes to the database through each.
probe_urls = []
# How long an answer may take.
timeout = "10s"

[cleanup]
# Whether the source is left read-only at the end.
source_read_only = true

[state]
# Where migrator keeps its state: "sqlite:///FILE" (relative to this file's directory), or
# "postgresql://user@host:port/database" to share it between operators.
url = "sqlite:///.migrator/state.db"
"""


def fill(values: Mapping[str, str]) -> str:
    """Return the template with ``values`` in the place of its own, by keys such as ``source.url``.

    Raises KeyError for a key that the template does not have.
    """
    left = dict(values)
    section = ""
    lines = []
    for line in TEMPLATE.splitlines():
        if found := re.fullmatch(r"\[(.+)\]", line):
            section = found[1]
        name = line.partition(" = ")[0]
        key = f"{section}.{name}"
        lines.append(f"{name} = {_text(left.pop(key))}" if key in left else line)
    if left:
        raise KeyError(", ".join(left))
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    # JSON's strings are TOML's, but for surrogate pairs and DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
