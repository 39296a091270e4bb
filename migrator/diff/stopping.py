"""Stop what several threads ask of servers."""

from __future__ import annotations

from concurrent.futures import wait
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from concurrent.futures import Future

INTERVAL = 0.02


def stop(futures: Collection[Future[Any]], cancel: Callable[[], object]) -> None:
    """Let what was not begun be, and ``cancel`` statements until the rest has ended.

    More than once: a statement may begin right after it would have been cancelled.
    """
    for future in futures:
        future.cancel()
    while wait(futures, timeout=INTERVAL).not_done:
        cancel()
