"""Write a ``migrator.toml`` from plain values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

Sections = Mapping[str, Mapping[str, Any]]


def render_toml(sections: Sections) -> str:
    """Return TOML for tables of strings, numbers, booleans, lists and further tables."""
    return "\n".join(_table(name, values) for name, values in sections.items())


def _table(name: str, values: Mapping[str, Any]) -> str:
    lines = [f"[{name}]"]
    tables = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            tables.append(_table(f"{name}.{key}", value))
        else:
            # JSON's strings, numbers, booleans and lists are TOML's too, unless escaped as
            # surrogate pairs.
            written = key if re.fullmatch("[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)
            lines.append(f"{written} = {json.dumps(value, ensure_ascii=False)}")
    if len(lines) == 1 and tables:
        lines = []
    return "\n".join([*lines, *tables]) + "\n"
