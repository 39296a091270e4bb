"""No setting of our roles, databases or servers gets in the way of the stream's processes.

Why it matters: the worker logs in as our role of the side that receives, the sender as the role that the
worker connects as, and both get what alter role, alter database and the configuration files give such a
login. Of timeouts they obey four. transaction_timeout (17 and newer) ends the worker, or the sender, in the
middle of every transaction that takes longer, which then begins again and never gets through. A short
wal_sender_timeout or wal_receiver_timeout does the same to large transactions, over which one of them is
silent for a while. lock_timeout ends a worker that waits while an index or a foreign key is built, which then
tries again. Timeouts of statements and of idle sessions do not reach them. The worker reads values by its own
array_nulls and xmloption: elements that are null would become the text NULL, and XML that is no whole
document would be refused.
How to fix: run the SQL given. Timeouts of the source's database are copied when the destination opens.
When to ignore: the timeout is longer than any transaction of the application takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from migrator.check import Finding, Group, Severity, directions
from migrator.pg.login import given_at_login, milliseconds
from migrator.switchover import subscribing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from migrator.context import ReadContext

GROUP = Group.REPL
BEFORE = ("plan", "copy_schema", "replicate", "cut_over")

# In milliseconds. The default is 60 seconds, and some hosted servers have 30.
SHORT = 30_000


class Harm(NamedTuple):
    """What a setting does unless ``harmless`` says otherwise of its value, and a value that does no harm."""

    harmless: Callable[[str], bool]
    severity: Severity
    what: str
    instead: str


def never(value: str) -> bool:
    """Return whether a timeout is turned off."""
    return milliseconds(value) == 0


def patient(value: str) -> bool:
    """Return whether a timeout leaves time to be silent."""
    return not 0 < milliseconds(value) < SHORT


TRANSACTIONS = Harm(never, Severity.WARN, "a transaction that takes longer never gets through", "0")
SILENCE = Harm(patient, Severity.WARN, "a large transaction may take longer in silence", "60s")
SENDER = {"transaction_timeout": TRANSACTIONS, "wal_sender_timeout": SILENCE}
WORKER = {
    "transaction_timeout": TRANSACTIONS,
    "wal_receiver_timeout": SILENCE,
    "lock_timeout": Harm(never, Severity.WARN, "the worker breaks off where it waits longer", "0"),
    "array_nulls": Harm(
        {"on", "t", "tr", "tru", "true", "y", "ye", "yes", "1"}.__contains__,
        Severity.BLOCK,
        "the worker would read elements that are null as the text NULL",
        "on",
    ),
    "xmloption": Harm(
        "content".__eq__, Severity.WARN, "the worker refuses XML that is no whole document", "content"
    ),
}


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Look at what the sender and the worker of each direction are given."""
    seen: set[tuple[str, str]] = set()
    for way, _severity in directions(ctx):
        for session, role, harms in (
            (way.source, subscribing.worker_parameters(way).get("user", way.source_server.role), SENDER),
            (way.destination, way.destination_server.role, WORKER),
        ):
            for name, given in given_at_login(session, role, list(harms)).items():
                harm = harms[name]
                if harm.harmless(given.value.lower()) or (session.side, name) in seen:
                    continue
                seen.add((session.side, name))
                yield Finding(
                    harm.severity,
                    session.side,
                    f"{name} is {given.value} in {given.where}: {harm.what}",
                    given.change(name, harm.instead),
                    session.side,
                )
