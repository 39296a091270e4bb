"""Take passwords out of any text before it is shown, logged or stored. The one place that does."""

from __future__ import annotations

import re

HIDDEN = "***"

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # postgresql://user:secret@host — the last @ before a slash, blank or quote ends the password
    (re.compile(r"(\w+://[^\s:/?#@\[\]]*):[^\s/'\"]*@"), rf"\1:{HIDDEN}@"),
    # the same without its beginning: user:secret@host
    (re.compile(r"(?<![\w/])([\w.~%-]+):[^\s/:'\"]+@(?=[\w\[])"), rf"\1:{HIDDEN}@"),
    # query parameters: ?password=secret
    (re.compile(r"([?&](?:ssl)?password=)[^\s&'\"]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    # conninfo: password='se\'cret', the same inside an SQL literal, password=secret up to the next blank
    (
        re.compile(
            r"""(?<![?&])\b((?:ssl|pg)?password\s*=\s*)
            (?: ''(?:[^'\\]|\\+''|\\+[^'])+''
              | '(?:[^'\\]|\\.)*'
              | (?:\\.|[^\s\\])+?(?=['")\],;]*(?:\s|\Z)) )""",
            re.IGNORECASE | re.DOTALL | re.VERBOSE,
        ),
        rf"\1{HIDDEN}",
    ),
    # SQL: password 'secret', password E'se\'cret'
    (
        re.compile(r"\b(password\s+)(?:e'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*')", re.IGNORECASE | re.DOTALL),
        rf"\1'{HIDDEN}'",
    ),
    (re.compile(r"SCRAM-SHA-256\$[^\s'\"]+"), HIDDEN),
    (re.compile(r"\bmd5[0-9a-f]{32}\b"), HIDDEN),
)


def redact(text: str) -> str:
    """Return ``text`` with every password in urls, conninfo strings and SQL replaced by ``***``."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text
