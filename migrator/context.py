"""What a step receives: sessions on both servers, the router, names, options, ways to tell and to wait.

A ``ReadContext`` can only look: its sessions are read-only by the server's own rule, and its type
has no way to write. A ``WriteContext`` adds writing sessions.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Self

from msgspec import structs

from migrator.errors import TimedOut
from migrator.events import Emit, StepNote, StepProgress, ignore

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.config import Config
    from migrator.diff.snapshots import Snapshots
    from migrator.fences import Fence
    from migrator.pg.names import Names
    from migrator.pg.server import Server
    from migrator.pg.session import ReadSession, WriteSession
    from migrator.report_diff import ComparedTable, ProvenRows
    from migrator.routers import Router


Side = Literal["source", "destination"]


@dataclass(frozen=True)
class Roles:
    """Who takes the writes now, the publisher, and who is to take them, the subscriber."""

    publisher: Side
    subscriber: Side


FORWARD = Roles("source", "destination")
BACK = Roles("destination", "source")


@dataclass
class ReadContext:
    """Both servers, read-only. ``compared`` asks the store what comparisons said of tables, by label."""

    source: ReadSession
    destination: ReadSession
    source_server: Server
    destination_server: Server
    names: Names
    config: Config
    emit: Emit = ignore
    step: str = ""
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    router: Router = field(kw_only=True)
    fence: Fence = field(kw_only=True)
    roles: Roles = FORWARD
    compared: Callable[[], dict[str, ComparedTable]] = dict

    def mirrored(self) -> Self:
        """Return this context with the roles of the two sides swapped.

        Whatever leads from the source to the destination leads the other way in it: what is called
        ``source`` takes the writes now, what is called ``destination`` is to take them.
        """
        replication = self.config.replication
        return replace(
            self,
            source=self.destination,
            destination=self.source,
            source_server=self.destination_server,
            destination_server=self.source_server,
            config=structs.replace(
                self.config,
                replication=structs.replace(
                    replication,
                    source_conninfo=replication.destination_conninfo,
                    destination_conninfo=replication.source_conninfo,
                ),
            ),
            roles=Roles(self.roles.subscriber, self.roles.publisher),
        )

    def reader(self, side: Side) -> ReadSession:
        """Return the session that looks at a side, whatever its role."""
        return self.source if side == self.roles.publisher else self.destination

    def server(self, side: Side) -> Server:
        """Return what is known of a side's server, whatever its role."""
        return self.source_server if side == self.roles.publisher else self.destination_server


@dataclass
class WriteContext(ReadContext):
    """Both servers, and sessions that may write. ``confirm`` asks the operator a yes/no question.

    ``snapshots`` are what the switchover keeps of both sides until its proof is made, ``proven`` writes into
    the store what that found; ``leads`` says whether it also leads the application to the other side, where
    that takes the operator or his programs.
    """

    write_source: WriteSession = field(kw_only=True)
    write_destination: WriteSession = field(kw_only=True)
    snapshots: Snapshots = field(kw_only=True)
    confirm: Callable[[str], bool] = field(default=lambda _question: True, kw_only=True)
    proven: Callable[[ProvenRows], None] = field(default=lambda _rows: None, kw_only=True)
    leads: bool = field(default=True, kw_only=True)

    def mirrored(self) -> Self:
        """Return this context with the roles of the two sides swapped, writing sessions included."""
        return replace(
            super().mirrored(), write_source=self.write_destination, write_destination=self.write_source
        )

    def writer(self, side: Side) -> WriteSession:
        """Return the session that may write to a side, whatever its role."""
        return self.write_source if side == self.roles.publisher else self.write_destination

    def progress(self, done: int, total: int, unit: str, what: str = "") -> None:
        """Tell how far the current step is."""
        self.emit(StepProgress(self.step, done, total, unit, what))

    def note(self, text: str) -> None:
        """Tell the operator something about the current step."""
        self.emit(StepNote(self.step, text))

    def wait_until(
        self,
        condition: Callable[[], bool],
        *,
        what: str,
        timeout: float,
        interval: float = 0.05,
        explain: Callable[[], str] = lambda: "",
    ) -> None:
        """Wait until ``condition`` holds.

        ``timeout`` and ``interval`` are seconds. Raises TimedOut naming ``what`` was waited for and
        what ``explain`` says stands in the way.
        """
        deadline = self.now() + timeout
        while not condition():
            if self.now() > deadline:
                why = explain()
                raise TimedOut(
                    f"gave up after {timeout:g} s waiting for {what}" + (f": {why}" if why else ""),
                    hint="migrator advance",
                    step=self.step,
                )
            self.sleep(interval)
