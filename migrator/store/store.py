"""Open a state store and close it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from migrator.store.database import open_engine, require_store
from migrator.store.schema import upgrade

if TYPE_CHECKING:
    from types import TracebackType

    from sqlalchemy import Engine


class Store:
    """A state store, opened: a context manager."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, url: str, *, create: bool = False) -> Self:
        """Open the store at an absolute ``url`` and bring it up to date.

        Raises UnknownMigration when there is none and ``create`` is not given, StoreTooNew,
        ConfigError for a file that cannot be used, Unreachable for a server.
        """
        engine = open_engine(url, create=create)
        try:
            if not create:
                require_store(engine)
            upgrade(engine)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    def close(self) -> None:
        """Close the store's connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        """Return the store; it is closed at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the store."""
        self.close()
