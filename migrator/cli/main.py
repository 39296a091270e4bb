"""The command line: what commands there are, and how each ends (the exit codes)."""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
import traceback
from difflib import get_close_matches
from typing import TYPE_CHECKING, NoReturn

import click
from click.shell_completion import shell_complete

from migrator import __version__
from migrator.cli.options import Options, group_options
from migrator.cli.output import nobody_reads, refuse, say, say_json
from migrator.errors import MigratorError, UsageProblem

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COMMANDS: dict[str, str] = {
    "init": "Write a commented migrator.toml, or a whole context.",
    "check": "Tell what must be fixed before the migration can go on.",
    "plan": "Look at both servers, tell what a migration will do, and begin it.",
    "advance": "Go on to the next state, or to the one given.",
    "status": "Tell where the migration stands.",
    "refresh": "Take in tables that the source has got since the copy.",
    "rehearse": "Rehearse the cutover: fence, drain, measure, roll back.",
    "rollback-to": "Undo back to an earlier state.",
    "diff": "Compare the rows of both sides, while they change.",
    "progress": "Tell how far the initial copy and the stream are.",
    "history": "List everything that was tried.",
    "graph": "Draw the states as a mermaid diagram.",
    "manual": "Write the manual and the scripts of this migration.",
    "explain": "Tell what a step, check, transition or state is.",
    "demo": "Migrate a sample database between two servers of its own.",
    "check-user": "Write the source's roles as the definition of a new cluster.",
    "check-db": "Write the source's database as the definition of a new cluster.",
    "check-hba": "Write the source's pg_hba.conf as the definition of a new cluster.",
    "check-repl": "Tell which tables cannot be replicated, and give them an identity.",
    "check-misc": "List what logical replication does not carry.",
    "copy-schema": "Copy the schema to the destination.",
    "create-pub": "Publish the tables on the source.",
    "create-sub": "Copy all rows and subscribe the destination to the source.",
    "copy-progress": "The same as progress.",
    "copy-diff": "Count every table and compare every sequence on both sides.",
    "copy-seq": "Bring the destination's sequences to the source's position.",
    "disable-src": "Take the writes from the source and open the destination.",
    "re-routing": "Lead the application to the destination and prove that no row is missing.",
    "drop-sub": "Drop the subscriptions and slots, which gives up the way back.",
    "drop-pub": "Drop the publications and all else of migrator's.",
}

BUG, INTERRUPTED = 1, 130
COMPLETION = "_MIGRATOR_COMPLETE"


class InvalidUsage(UsageProblem):
    """The words on the command line cannot be understood."""


class Interrupted(MigratorError):
    """The operator, or the system, stopped the command."""

    exit_code = INTERRUPTED


class LazyGroup(click.Group):
    """Import a command's module when it is run, not when its name is listed."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the names in the order of a migration's life."""
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command ``cmd_name``, from the module of that name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"migrator.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that ``args`` begin with, or fail with the names there are."""
        unknown = args[0] not in COMMANDS and not args[0].startswith("-")
        if unknown and not ctx.resilient_parsing:
            near = get_close_matches(args[0], COMMANDS, n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            ctx.fail(f"there is no command {args[0]!r}; they are {', '.join(COMMANDS)}{meant}")
        return super().resolve_command(ctx, args)

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands' list from the map, without importing one."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 a bug, 2 usage or configuration, 3 refused, 4 blocked, "
    "5 a step failed and can be resumed, 6 a server cannot be reached, 130 interrupted.",
)
@group_options
@click.version_option(__version__, prog_name="migrator")
@click.pass_context
def cli(
    context: click.Context,
    config: Path | None,
    migration: str | None,
    as_json: bool,
    yes: bool,
    verbose: bool,
) -> None:
    """Move a live PostgreSQL database to another cluster by logical replication."""
    context.obj = Options(config, migration, as_json, yes, verbose)
    if context.invoked_subcommand is None:
        raise click.UsageError("no command is given", context)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup leaves it
        signal.signal(signal.SIGHUP, _interrupt)
    # They pause a copy and let it go on; one that comes when none runs must not end the process.
    signal.signal(signal.SIGUSR1, _disregard)
    signal.signal(signal.SIGUSR2, _disregard)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show an arrow must not stop a cutover.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code; here every error becomes text or JSON."""
    as_json = "--json" in arguments
    if completion := os.environ.get(COMPLETION):
        return shell_complete(cli, {}, "migrator", COMPLETION, completion)
    try:
        # Not cli.main(): it would end any broken pipe, a server's too, without a word.
        with cli.make_context("migrator", list(arguments)) as context:
            cli.invoke(context)
    except click.exceptions.Exit as early:
        return early.exit_code
    except MigratorError as error:
        return refuse(error, as_json=as_json)
    except click.ClickException as error:
        return refuse(_usage(error), as_json=as_json)
    except (click.Abort, KeyboardInterrupt):
        hint = "the same command goes on where this one stopped"
        return refuse(Interrupted("interrupted", hint=hint), as_json=as_json)
    except Exception as error:  # noqa: BLE001 - here a bug becomes a traceback and exit code 1
        if isinstance(error, BrokenPipeError) and nobody_reads():
            return 0
        return _bug(error, as_json=as_json)
    return 0


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _disregard(_signal: int, _frame: object) -> None:
    """Unlike SIG_IGN this is not inherited by the programs that we start."""


def _usage(error: click.ClickException) -> InvalidUsage:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "migrator"
    return InvalidUsage(error.format_message(), hint=f"{command} --help")


def _bug(error: Exception, *, as_json: bool) -> int:
    from migrator.pg.redact import redact

    say(redact("".join(traceback.format_exception(error))).rstrip(), err=True)
    say("error: this is a bug in migrator; please report it with the lines above", err=True)
    if as_json:
        say_json(
            {
                "error": "Bug",
                "message": redact(f"{type(error).__name__}: {error}"),
                "hint": "please report it with the lines on stderr",
                "exit_code": BUG,
            }
        )
    return BUG
