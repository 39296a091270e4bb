"""Restore the entries of a schema dump one by one, each in one transaction with its record."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from migrator.errors import StatementFailed
from migrator.pg.made import record_attached
from migrator.pg.patience import LOCK_TIMEOUT, patiently

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

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

    def one(entry: Entry) -> None:
        with registry.session.transaction():
            registry.session.script(f"{preamble}\n{rewrite(entry)}")
            registry.run(RECORD, [entry.key, step])
            record_attached(registry, step, entry.key)

    with registry.session.bounded(LOCK_TIMEOUT):
        for number, entry in enumerate(entries, 1):
            if entry.key not in have:
                try:
                    patiently(partial(one, entry), sleep, what=entry.title)
                except StatementFailed as error:
                    raise StatementFailed(
                        f"{error.message}, while restoring {entry.title}",
                        hint=error.hint,
                        **error.fields,
                    ) from error
            done(number, entry)
