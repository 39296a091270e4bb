"""Turn single events into lines of text; ``plain`` and ``live`` share them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from migrator.render.units import bytes_text, count_text, plural, seconds_text, visible

if TYPE_CHECKING:
    from migrator.events import (
        CopyStarted,
        Event,
        SourceSampled,
        StateChanged,
        StepFailedEvent,
        StepFinished,
        StepFound,
        StepNote,
        TableProgressed,
        TransitionStarted,
    )

SINGULARS = {"entries": "entry", "indexes": "index"}


def transition_line(event: TransitionStarted) -> str:
    """Return the head of a transition: ``replicate  schema_copied → replicating``."""
    verb = "undo " if event.undo else ""
    return f"{verb}{event.transition}  {event.source} → {event.target}"


def state_line(event: StateChanged) -> str:
    """Return the line of a changed state."""
    return f"state  {event.target}"


def found_line(event: StepFound) -> str:
    """Return what a probe saw: ``found partial (3 tables)``."""
    detail = facts(event.detail)
    return f"found {event.found}" + (f" ({detail})" if detail else "")


def finished_line(event: StepFinished, verbose: bool) -> str:
    """Return the end of a step: ``done in 31 s  14 tables · 5 rows``, all evidence when verbose."""
    verb = "undone" if event.undo else "done"
    told = f"{verb} in {seconds_text(event.seconds)}"
    if verbose:
        evidence = facts(event.evidence)
        return told + (f" ({evidence})" if evidence else "")
    amounts = counts(event.evidence)
    return told + (f"  {amounts}" if amounts else "")


def failed_line(event: StepFailedEvent) -> str:
    """Return why a step stopped."""
    return f"failed: {visible(str(event.error.get('message') or facts(event.error)))}"


def note_line(event: StepNote) -> str:
    """Return a step's note."""
    return visible(event.text)


def copy_line(event: CopyStarted) -> str:
    """Return what a copy sets out to carry."""
    return f"{plural(len(event.tables), 'table')} · {bytes_text(sum(size for _, size in event.tables))}"


def table_line(event: TableProgressed) -> str:
    """Return a table of the copy: ``public.orders  copied  1.2 GB · 5 rows``."""
    amount = f"{bytes_text(event.bytes)} · {plural(event.rows, 'row')}"
    return f"{visible(event.table)}  {event.state}  {amount}"


def source_line(event: SourceSampled) -> str:
    """Return what the source bears: ``source  retained WAL 16 MB · lag 1.2 MB · snapshot 12 s old``."""
    told = [f"retained WAL {bytes_text(event.retained_bytes)}"]
    if event.wal_status not in ("", "reserved"):
        told.append(f"WAL {event.wal_status}")
    if event.safe_wal_size is not None:
        told.append(f"lost after {bytes_text(event.safe_wal_size)} more")
    if event.lag_bytes is not None:
        told.append(f"lag {bytes_text(event.lag_bytes)}")
    if event.snapshot_age:
        told.append(f"snapshot {seconds_text(event.snapshot_age)} old")
    return f"source  {' · '.join(told)}"


def generic_line(event: Event) -> str:
    """Return any event as its name and its fields."""
    fields = event.as_dict()
    return f"{fields.pop('event')}  {facts(fields)}".rstrip()


def counts(evidence: dict[str, Any]) -> str:
    """Return what evidence counts: ``14 tables · 1 007 585 rows · 74 MB``."""
    amounts = {key: value for key, value in evidence.items() if type(value) is int and key.endswith("s")}
    return " · ".join(
        bytes_text(count)
        if key == "bytes"
        else f"{count_text(count)} {SINGULARS.get(key, key.removesuffix('s')) if count == 1 else key}"
        for key, count in amounts.items()
    ).replace("_", " ")


def facts(values: dict[str, Any]) -> str:
    """Return a dictionary as ``key value, key value``, empty values left out."""
    return ", ".join(
        f"{key} {visible(str(value))}" for key, value in values.items() if value not in (None, "", [], {}, ())
    )
