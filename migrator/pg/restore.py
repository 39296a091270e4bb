"""Restore the entries of a schema dump one by one, each in one transaction with its record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.errors import StatementFailed
from migrator.pg.made import record_attached
from migrator.pg.patience import LOCK_TIMEOUT, patiently

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from migrator.pg.dump import Entry
    from migrator.pg.registry import Registry, WritableRegistry

RESTORED = "select key from {schema}.restored"
RECORD = "insert into {schema}.restored (key, step) values (%s, %s)"


def restored_keys(registry: Registry) -> set[str]:
    """Return the keys of the entries that are in."""
    return {row.key for row in registry.rows(RESTORED)}


def restore(
    registry: WritableRegistry,
    step: str,
    preamble: str,
    entries: Iterable[Entry],
    *,
    sleep: Callable[[float], None],
    rewrite: Callable[[Entry], str] = lambda entry: entry.sql,
    done: Callable[[int, Entry], None] = lambda _number, _entry: None,
) -> None:
    """Run the entries that are not in yet, in order; ``done`` is told the number of each.

    Raises StatementFailed naming the entry.
    """
    have = restored_keys(registry)
    for number, entry in enumerate(entries, 1):
        if entry.key not in have:
            restore_together(registry, step, preamble, [entry], sleep=sleep, rewrite=rewrite)
        done(number, entry)


def restore_together(
    registry: WritableRegistry,
    step: str,
    preamble: str,
    entries: Sequence[Entry],
    *,
    sleep: Callable[[float], None],
    rewrite: Callable[[Entry], str] = lambda entry: entry.sql,
) -> None:
    """Run entries that are not in yet in one transaction with their records, again while a lock is lost.

    Raises StatementFailed naming the entry.
    """
    session = registry.session

    def together() -> None:
        with session.transaction():
            session.script(preamble)
            for entry in entries:
                try:
                    session.script(rewrite(entry))
                except StatementFailed as error:
                    raise StatementFailed(
                        f"{error.message}, while restoring {entry.title}", hint=error.hint, **error.fields
                    ) from error
                registry.run(RECORD, [entry.key, step])
            record_attached(registry, step, entries[0].key)

    with session.bounded(LOCK_TIMEOUT):
        patiently(together, sleep, what=entries[0].title)
