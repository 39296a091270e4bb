"""Give way: when a lock is not to be had at once, step back and try again.

Between two tries we hold and wait for nothing, so nobody queues behind us.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.errors import StatementFailed, TimedOut

if TYPE_CHECKING:
    from collections.abc import Callable

# lock_not_available and deadlock_detected: somebody else goes first.
GIVE_WAY = ("55P03", "40P01")
LOCK_TIMEOUT = 2.0
ATTEMPTS = 60
PAUSE = 0.2


def patiently(
    work: Callable[[], object],
    sleep: Callable[[float], None],
    *,
    what: str,
    attempts: int = ATTEMPTS,
    pause: float = PAUSE,
    explain: Callable[[], str] = lambda: "",
) -> None:
    """Do ``work``, again as long as it loses a lock, ``attempts`` times at most.

    ``pause`` is seconds. Raises TimedOut naming ``what`` wanted the lock and what ``explain`` says.
    """
    for attempt in range(1, attempts + 1):
        try:
            work()
        except StatementFailed as error:
            if error.sqlstate not in GIVE_WAY:
                raise
            if attempt == attempts:
                why = explain()
                raise TimedOut(
                    f"{what}: no lock was to be had in {attempts} tries" + (f"; {why}" if why else ""),
                    hint="end the transactions that hold it, then migrator advance",
                ) from error
            sleep(pause)
        else:
            return
