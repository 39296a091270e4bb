"""``migrator explain NAME``: the manual of a step, a check, a transition or a state."""

from __future__ import annotations

import inspect
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from textwrap import fill

import click

from migrator.cli.options import Options, with_options
from migrator.cli.output import say, say_json
from migrator.errors import UnknownName
from migrator.workflow import REFRESH, STATE_MANUALS, TRANSITIONS, Transition

WIDTH = 100


@dataclass(frozen=True)
class Manual:
    """What there is to say about one name."""

    name: str
    kind: str
    manual: str

    @property
    def first_sentence(self) -> str:
        """Return the beginning, for lists."""
        paragraph = " ".join(self.manual.split("\n\n")[0].split())
        sentence, dot, _rest = paragraph.partition(". ")
        return sentence + dot.strip()


@click.command("explain", short_help="Tell what a step, check, transition or state is.")
@click.argument("name", required=False)
@with_options
def command(options: Options, name: str | None) -> None:
    """Tell what a step, check, transition or state is; without NAME, list them all."""
    manuals = all_manuals()
    if name is None:
        if options.as_json:
            say_json([asdict(manual) for manual in manuals])
        else:
            say("\n".join(listing(manuals)))
        return
    meant = [manual for manual in manuals if manual.name == name]
    if not meant:
        raise unknown(name, manuals)
    if options.as_json:
        say_json([asdict(manual) for manual in meant])
    else:
        say("\n\n".join(f"{m.name}  ({m.kind})\n\n{readable(m)}" for m in meant))


def readable(manual: Manual) -> str:
    """Return a manual as a terminal shows it: code in plain words, lines of bounded length."""
    text = manual.manual.replace("``", "").rstrip()
    return fill(text, WIDTH) if manual.kind == "state" else text


def all_manuals() -> list[Manual]:
    """Return every name that can be explained; a transition and a step may share one."""
    return (
        [Manual(state, "state", manual) for state, manual in STATE_MANUALS.items()]
        + [Manual(t.name, "transition", transition_manual(t)) for t in (*TRANSITIONS, REFRESH)]
        + [Manual(name, "step", manual) for name, manual in step_manuals().items()]
        + [Manual(name, "check", manual) for name, manual in check_manuals().items()]
    )


def transition_manual(transition: Transition) -> str:
    """Return a transition as its states, its steps in order, and its point of no return."""
    stays = transition.source is transition.target
    where = f"In {transition.source} and after; the state stays." if stays else ""
    lines = [where or f"From {transition.source} to {transition.target}.", ""]
    lines += [f"  {number}. {step}" for number, step in enumerate(transition.steps, start=1)]
    if transition.no_return_at is not None:
        lines += ["", f"The point of no return is {transition.no_return_at}."]
    return "\n".join(lines)


def step_manuals() -> dict[str, str]:
    """Return the manual of every step: its docstring."""
    from migrator.step import load_all

    return {name: inspect.getdoc(type(step)) or "" for name, step in load_all().items()}


def check_manuals() -> dict[str, str]:
    """Return the manual of every check: its file's docstring."""
    from migrator.check import load_all

    return {check.name: check.manual for check in load_all().values()}


def listing(manuals: list[Manual]) -> list[str]:
    """Return all names by kind, each with its first sentence."""
    width = max(len(manual.name) for manual in manuals)
    lines: list[str] = []
    kind = ""
    for manual in manuals:
        if manual.kind != kind:
            kind = manual.kind
            lines.append(f"{kind}s")
        lines.append(f"  {manual.name:<{width}}  {manual.first_sentence}".rstrip())
    return lines


def unknown(name: str, manuals: list[Manual]) -> UnknownName:
    """Return the error for a name that nothing has."""
    names = list(dict.fromkeys(manual.name for manual in manuals))
    near = get_close_matches(name, names, n=1)
    return UnknownName(
        f"no state, transition, step or check is named {name!r}",
        hint=f"migrator explain {near[0]}" if near else "migrator explain lists them all",
        names=names,
    )
