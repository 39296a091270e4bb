"""Turn what TOML holds into typed sections, telling every problem by the key's full name."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from migrator.pg.redact import redact

DURATION_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
SIZE_UNITS = {"B": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}


class Duration(float):
    """A length of time in seconds, written with its unit."""

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Return the duration that ``text`` writes.

        Bounded by what the servers' timeouts hold: below 1 ms they would round to 0, which turns
        them off; above 24 days they do not fit. Raises ValueError.
        """
        found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?(ms|s|min|h|d)", text)
        seconds = float(found[1]) * DURATION_UNITS[found[2]] if found else 0.0
        if not DURATION_UNITS["ms"] <= seconds <= 24 * DURATION_UNITS["d"]:
            raise ValueError(text)
        return cls(seconds)


class Allowance(Duration):
    """A length of time that may be none, written ``"0s"``."""

    @classmethod
    def parse(cls, text: str) -> Allowance:
        """Return the time that ``text`` writes. Raises ValueError."""
        return cls(0) if text == "0s" else cls(Duration.parse(text))


class Size(int):
    """A number of bytes, written with its unit."""

    @classmethod
    def parse(cls, text: str) -> Size:
        """Return the size that ``text`` writes. Raises ValueError."""
        found = re.fullmatch(r"([0-9]+) ?(B|kB|MB|GB|TB)", text)
        if found is None:
            raise ValueError(text)
        return cls(int(found[1]) * SIZE_UNITS[found[2]])

    @property
    def text(self) -> str:
        """Return the size with the largest unit that it fills, as a message may show it."""
        unit = next((u for u, size in reversed(SIZE_UNITS.items()) if self >= size), "B")
        return f"{round(self / SIZE_UNITS[unit], 1):g} {unit}"


def convert(found: Any, wanted: Any, name: str, problems: list[str]) -> Any:
    """Return ``found`` as the type ``wanted``, adding what is wrong below ``name`` to problems."""
    if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        if isinstance(found, dict):
            return _convert_section(found, wanted, name, problems)
        problems.append(f"{name} is {show(found)}; accepted is a table, written [{name}]")
        return None
    try:
        return msgspec.convert(found, wanted, dec_hook=_parse)
    except (msgspec.ValidationError, ValueError):
        problems.append(f"{name} is {show(found)}; accepted is {_accepted(wanted)}")
        return None


def _convert_section(
    found: dict[str, Any], wanted: type[msgspec.Struct], name: str, problems: list[str]
) -> Any:
    fields = {field.encode_name: field for field in msgspec.structs.fields(wanted)}
    prefix = f"{name}." if name else ""
    for key in (key for key in found if key not in fields):
        near = get_close_matches(key, fields, n=1)
        written = key if re.fullmatch("[A-Za-z0-9_-]+", key) else show(key)
        problems.append(
            f"{prefix}{written} is not a known key; "
            + (f"[{name}] accepts " if name else "accepted are ")
            + ", ".join(fields)
            + (f"; did you mean {prefix}{near[0]}?" if near else "")
        )
    values: dict[str, Any] = {}
    for key, field in fields.items():
        if key in found:
            values[field.name] = convert(found[key], field.type, prefix + key, problems)
        elif field.required:
            values[field.name] = _missing(field.type, prefix + key, problems)
    return wanted(**values)


def _missing(wanted: Any, name: str, problems: list[str]) -> Any:
    if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        return _convert_section({}, wanted, name, problems)
    problems.append(f"{name} is missing; accepted is {_accepted(wanted)}")
    return None


def _parse(wanted: type, found: Any) -> Any:
    if not isinstance(found, str) or not issubclass(wanted, Duration | Size):
        raise ValueError(found)
    return wanted.parse(found)


def _accepted(wanted: Any) -> str:
    if get_origin(wanted) is Annotated:
        return str(get_args(wanted)[1].description)
    if get_origin(wanted) is Literal:
        return " or ".join(f'"{value}"' for value in get_args(wanted))
    if get_origin(wanted) is tuple:
        item = get_args(wanted)[0]
        return f"a list of {'texts in quotes' if item is str else _accepted(item)}"
    names = {
        str: "a text in quotes",
        bool: "true or false",
        Duration: 'a duration from "1ms" to "24d", in ms, s, min, h or d',
        Allowance: 'a duration up to "24d", in ms, s, min, h or d; "0s" is none',
        Size: 'a size such as "1GB", in B, kB, MB, GB or TB',
    }
    return names[wanted]


def show(found: Any) -> str:
    """Return a value as an error may show it: short enough, and without a password."""
    shown = redact(repr(found))
    return shown if len(shown) <= 100 else f"{shown[:99]}…"
