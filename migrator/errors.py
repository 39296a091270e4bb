"""Every way migrator says no, as one tree.

MigratorError
├── UsageProblem (2): ConfigError, UnknownMigration, UnknownName, NeedsConfirmation, MissingPackage
├── Refused (3): OutOfOrder, LeaseHeld, StaleState, PastNoReturn, WrongServer,
│               NotReversible, StoreTooNew, MigrationExists, WorkflowChanged, Declined
├── Blocked (4): ChecksBlocked, GateClosed, Different
├── StepFailed (5): Conflict, VerifyFailed, TimedOut, StatementFailed, ConnectionLost,
│                   LostPastNoReturn, SnapshotLost, ToolFailed, SourceProtected
└── Unreachable (6)

A class docstring says when it is raised; the message says what happened, where, and what is
accepted; ``hint`` is the next thing to type. ``fields`` holds the facts for ``--json``. Only the
command line turns an error into text and an exit code.
"""

from __future__ import annotations

from typing import Any, ClassVar


class MigratorError(Exception):
    """Anything that migrator itself reports; never a bug."""

    exit_code: ClassVar[int] = 5

    def __init__(self, message: str, *, hint: str = "", **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.fields = fields

    @property
    def kind(self) -> str:
        """Return the error's name as JSON and the journal know it."""
        return type(self).__name__

    def as_dict(self) -> dict[str, Any]:
        """Return the error as one JSON-ready object."""
        return {
            "error": self.kind,
            "message": self.message,
            "hint": self.hint,
            "exit_code": self.exit_code,
            **self.fields,
        }


class UsageProblem(MigratorError):
    """The command or its configuration cannot be used as given."""

    exit_code = 2


class ConfigError(UsageProblem):
    """A configuration file is missing, unreadable, or holds a key or value that is not accepted."""


class UnknownMigration(UsageProblem):
    """The store holds no migration of that name."""


class UnknownName(UsageProblem):
    """No step, check, state, router or fence has that name."""


class NeedsConfirmation(UsageProblem):
    """A mutating command has no terminal to ask at and was not given ``--yes``."""


class MissingPackage(UsageProblem):
    """A library that only this command needs is not installed; the hint names the extra that brings it."""


class Refused(MigratorError):
    """The command is understood and not allowed now; nothing was written."""

    exit_code = 3


class OutOfOrder(Refused):
    """A transition was asked for in a state that does not allow it."""


class LeaseHeld(Refused):
    """Another operator is working on this migration."""


class StaleState(Refused):
    """The stored state changed under this command (compare-and-swap failed)."""


class PastNoReturn(Refused):
    """The cutover is committed in the databases; the way asked for is closed."""


class WrongServer(Refused):
    """A server is not the one that was pinned: other system identifier, timeline or database."""


class NotReversible(Refused):
    """A step that cannot be undone was asked to undo."""


class StoreTooNew(Refused):
    """The state store was written by a newer migrator."""


class MigrationExists(Refused):
    """A migration of that name is already planned."""


class WorkflowChanged(Refused):
    """The migration was begun with a different list of steps."""


class Declined(Refused):
    """The operator answered no."""


class Blocked(MigratorError):
    """A check or a gate says that going on would do harm."""

    exit_code = 4


class ChecksBlocked(Blocked):
    """Preflight found something that must be fixed first."""


class GateClosed(Blocked):
    """A condition that must hold right before the cutover does not hold."""


class Different(Blocked):
    """Both sides were compared and are not the same, or something could not be compared."""


class StepFailed(MigratorError):
    """A step could not be completed; the same command resumes it."""

    exit_code = 5


class Conflict(StepFailed):
    """An object with the wanted name exists and is not ours; it was not touched."""


class VerifyFailed(StepFailed):
    """A step was applied and its proof does not hold."""


class TimedOut(StepFailed):
    """A wait reached its deadline."""


class StatementFailed(StepFailed):
    """A server refused a statement."""

    @property
    def sqlstate(self) -> str:
        """Return the SQLSTATE that the server gave, or an empty string."""
        return str(self.fields.get("sqlstate", ""))


class ConnectionLost(StepFailed):
    """A connection broke while a statement ran; whether it took effect is asked of the server."""


class LostPastNoReturn(ConnectionLost):
    """A connection broke right after the switchover's commit; both sides are closed until it is completed."""


class SnapshotLost(ConnectionLost):
    """The connection that held the copy's snapshot broke; what is in stays, the rest needs a later one."""


class ToolFailed(StepFailed):
    """A program that migrator runs (``pg_dump``, ``pg_restore``, a router's command) failed."""


class SourceProtected(StepFailed):
    """The source would keep more WAL for the copy than is allowed; the slot was given up."""


class Unreachable(MigratorError):
    """A server cannot be reached or does not let us in."""

    exit_code = 6
