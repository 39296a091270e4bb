"""What values in ``migrator.toml`` look like, each with the words that an error says of it."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from migrator.pg.redact import redact


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file; shown without its passwords."""

    def __repr__(self) -> str:
        return redact(super().__repr__())


Name = Annotated[
    str,
    Meta(
        max_length=200,
        pattern=r"^(?=.*\S)[^\x00-\x1f\x7f-\x9f\u2028\u2029]+\Z",
        description="a text of 1 to 200 characters, without control characters",
    ),
]
# A part of the name of a context's directory, which stands in the PATH.
Cluster = Annotated[
    str,
    Meta(
        max_length=100,
        pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029/:]*\Z",
        description="a text of up to 100 characters, without / and : and control characters",
    ),
]
Url = Annotated[
    str,
    Meta(
        pattern=r"^postgres(ql)?://|=",
        description='"postgresql://user@host:port/database" or "service=name"',
    ),
]
StateUrl = Annotated[
    str,
    Meta(
        pattern=r"^(sqlite|postgresql|postgresql\+psycopg)://",
        description='"sqlite:///FILE" or "postgresql://user@host:port/database"',
    ),
]
Pattern = Annotated[
    str,
    Meta(pattern=r"(?s).\..", description='shell patterns on schema.table, such as "public.*"'),
]
Patterns = Annotated[
    tuple[Pattern, ...],
    Meta(min_length=1, description='a list of shell patterns, such as ["public.*"]'),
]
Reasons = Annotated[
    dict[str, Annotated[str, Meta(pattern=r"\S")]],
    Meta(description='a table of checks and reasons, such as { unlogged_tables = "rebuilt every night" }'),
]
Count = Annotated[int, Meta(ge=1, description="a whole number from 1")]
# What is looked for on a server is looked for by the names of so many.
MAX_STREAMS = 16
Streams = Annotated[int, Meta(ge=1, le=MAX_STREAMS, description=f"a whole number from 1 to {MAX_STREAMS}")]
Shift = Annotated[int, Meta(ge=0, lt=2**62, description="a whole number from 0 to 2^62 - 1")]
