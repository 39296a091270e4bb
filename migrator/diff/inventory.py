"""Ask both servers for their schemas at once, kind after kind, and compare what they tell."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from migrator.diff.objects import KINDS
from migrator.diff.objects.kind import Versions
from migrator.diff.schema_diff import Thing
from migrator.errors import StatementFailed
from migrator.pg.streamed import nothing, one_moment, pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor, Future

    from migrator.diff.objects.kind import Kind
    from migrator.diff.schema_diff import SchemaComparison
    from migrator.pg.session import ReadSession


def compare_schemas(
    source: ReadSession,
    destination: ReadSession,
    comparison: SchemaComparison,
    progress: Callable[[int, int, str], None] = lambda _done, _total, _kind: None,
) -> list[str]:
    """Compare every kind of object; return what could not be compared, with the reason.

    Memory is bounded by what differs. Raises ConnectionLost.
    """
    not_compared = list[str]()
    least = min(source.version, destination.version)
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(2))
        for session in (source, destination):
            stack.enter_context(one_moment(session))
        for number, kind_of in enumerate(KINDS, 1):
            name = kind_of.__name__.replace("_", " ")
            before = len(comparison.differences)
            try:
                with (
                    _Ahead(pool, source, kind_of, least) as here,
                    _Ahead(pool, destination, kind_of, least) as there,
                ):
                    comparison.add(here, there)
            except StatementFailed as error:
                del comparison.differences[before:]
                not_compared.append(f"{name}: {error.message}")
            progress(number, len(KINDS), name)
    hidden = [f"{address}: not all of it may be seen" for address in comparison.hidden]
    return not_compared + hidden


def settle(shadow: ReadSession, comparison: SchemaComparison, by: str) -> None:
    """Look again at what is undecided, as the server of side ``by`` prints what the other side has.

    It has that in a ``shadow``, restored from the other side's dump.
    """
    least = min(comparison.source_version, comparison.destination_version)
    versions = Versions(shadow.version, least)
    undecided = {
        f"{d.kind} {d.name}": number for number, d in enumerate(comparison.differences) if d.is_undecided
    }
    with one_moment(shadow):
        for kind in filter(None, (kind_of(versions) for kind_of in KINDS)):
            for rows in pieces(shadow, kind.question(versions)):
                for thing in (Thing(*row) for row in rows):
                    if (number := undecided.get(thing.address)) is not None:
                        settled = comparison.differences[number].settled(json.loads(thing.told), by)
                        comparison.differences[number] = settled


class _Ahead:
    """The objects of a kind on one side, the next ones asked for while the last ones are compared."""

    def __init__(
        self, pool: Executor, session: ReadSession, kind_of: Callable[[Versions], Kind | None], least: int
    ) -> None:
        versions = Versions(session.version, least)
        kind = kind_of(versions)
        self._session = session
        self._pieces = pieces(session, kind.question(versions)) if kind else nothing()
        self._pool = pool
        self._next: Future[list[Any]] = pool.submit(self._fetch)

    def __iter__(self) -> Iterator[Thing]:
        while rows := self._next.result():
            self._next = self._pool.submit(self._fetch)
            for row in rows:
                yield Thing(*row)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_rest: object) -> None:
        # An operator who interrupts does not wait for an answer; one who is told of a refusal may.
        if error is not None and not issubclass(error, Exception):
            self._session.cancel()
        wait([self._next])
        self._pieces.close()

    def _fetch(self) -> list[Any]:
        return next(self._pieces, [])
