"""Render the files of a context: the manual, ``activate``, the scripts."""

from __future__ import annotations

import importlib
import inspect
import re
import shlex
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migrator import __version__
from migrator.errors import MissingPackage
from migrator.manual import markdown
from migrator.manual.caveats import CAVEATS
from migrator.manual.files import EXECUTABLE, MARK, READABLE, File
from migrator.manual.markdown import Markdown
from migrator.manual.pair import Pair
from migrator.manual.scripts import ACTIVATE, SCRIPTS
from migrator.pg.redact import redact
from migrator.render.findings import SEVERITIES, WAIVED
from migrator.render.units import bytes_text, moment_text, seconds_text
from migrator.step import load_step
from migrator.switchover.gates import GATES
from migrator.workflow import STATE_MANUALS, TRANSITIONS, Lifecycle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType

    from jinja2 import Environment

    from migrator.config import LoadedConfig
    from migrator.manual.facts import Facts
    from migrator.report import FindingReport

MANUAL, PAGE = "README.md", "README.html"
TEMPLATES = Path(__file__).parent / "templates"
# More of one check than so many are for migrator check to tell.
SHOWN = 10


def require_packages() -> None:
    """Raise MissingPackage when a library of the extra ``manual`` is not installed."""
    for name in ("jinja2", "markdown_it"):
        _imported(name)


def files(loaded: LoadedConfig, facts: Facts, *, html: bool = False) -> list[File]:
    """Return everything that ``migrator manual`` writes beside ``migrator.toml``."""
    pair = Pair.of(loaded, facts)
    shell = _environment(_quoted)
    activate = shell.get_template("activate.j2").render(mark=Markdown(MARK), pair=pair)
    scripts = [File(script.name, _script(shell, script.name, pair, loaded), EXECUTABLE) for script in SCRIPTS]
    text = manual(loaded, facts)
    page = [File(PAGE, as_html(text, pair), READABLE)] if html else []
    return [File(MANUAL, text, READABLE), *page, File(ACTIVATE, activate, READABLE), *scripts]


def manual(loaded: LoadedConfig, facts: Facts) -> str:
    """Return the manual of this pair, in Markdown."""
    environment = _environment(markdown.text)
    environment.filters |= {
        "code": markdown.code,
        "block": markdown.block,
        "words": markdown.words,
        "size": bytes_text,
        "seconds": seconds_text,
        "pad": lambda value, width: Markdown(f"{value:<{width}}"),
    }
    pair = Pair.of(loaded, facts)
    text = environment.get_template("README.md.j2").render(
        mark=Markdown(MARK),
        activate=Markdown(shlex.quote(f"{pair.directory}/{ACTIVATE}")),
        summary=summary,
        version=__version__,
        rendered=moment_text(datetime.now().astimezone()),
        pair=pair,
        facts=facts,
        config=loaded.config,
        scripts=SCRIPTS,
        transitions=TRANSITIONS,
        state_words=STATE_MANUALS,
        following=Lifecycle(facts.state).next() if facts.state else None,
        gates=[inspect.getdoc(gate) or "" for gate in GATES],
        findings=grouped(facts.findings),
        caveats=sorted(CAVEATS, key=lambda caveat: not facts.uncarried.get(caveat.counted)),
    )
    # Nothing that is shown holds a password; this is for what a server's or a check's words may quote.
    return redact(text)


def as_html(text: str, pair: Pair) -> str:
    """Return the manual as one page without anything from elsewhere."""
    tables = _imported("markdown_it").MarkdownIt("commonmark", {"html": False}).enable("table")
    environment = _environment(lambda value: value, autoescape=True)
    return environment.get_template("README.html.j2").render(
        mark=MARK,
        title=f"{pair.context} → {pair.destination_cluster}.{pair.destination_database}",
        body=_imported("markupsafe").Markup(tables.render(text.partition("\n")[2])),
    )


def summary(step: str) -> str:
    """Return what a step says of itself in its first sentence."""
    paragraph = (inspect.getdoc(type(load_step(step))) or "").split("\n\n")[0]
    return re.split(r"(?<=\.) ", " ".join(paragraph.split()))[0]


@dataclass(frozen=True)
class Found:
    """What one check found of one weight: the first findings, and how many more there are."""

    verb: str
    check: str
    shown: list[FindingReport]
    more: int


def grouped(findings: Iterable[FindingReport]) -> list[Found]:
    """Return findings by weight and check, those that stop the migration first, waived ones last."""
    alike: dict[tuple[str, str], list[FindingReport]] = {}
    for finding in findings:
        verb = WAIVED if finding.waived else SEVERITIES[finding.severity]
        alike.setdefault((verb, finding.check), []).append(finding)
    order = [*SEVERITIES.values(), WAIVED]
    return [
        Found(verb, check, found[:SHOWN], len(found[SHOWN:]))
        for (verb, check), found in sorted(alike.items(), key=lambda group: order.index(group[0][0]))
    ]


def _script(shell: Environment, name: str, pair: Pair, loaded: LoadedConfig) -> str:
    return shell.get_template("script.j2").render(
        mark=Markdown(MARK),
        name=name,
        pair=pair,
        # Quoted for who reads the hint, and once more as a value of the script.
        activate=shlex.quote(str(loaded.path.resolve().parent / ACTIVATE)),
        python=sys.executable,
    )


def _quoted(value: object) -> str:
    return value if isinstance(value, Markdown) else shlex.quote(str(value))


def _environment(finalize: Callable[[Any], Any], *, autoescape: bool = False) -> Environment:
    """Return templates whose every value goes through ``finalize``: escaped unless it says that it is."""
    jinja2 = _imported("jinja2")
    environment: Environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        finalize=finalize,
        autoescape=autoescape,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingPackage(
            f"the manual needs {error.name}, which is not installed", hint="pip install 'migrator[manual]'"
        ) from None
