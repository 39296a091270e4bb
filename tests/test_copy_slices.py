"""However the network cuts the source's messages, what asyncpg is given means the same."""

from __future__ import annotations

import struct
from typing import Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from migrator.copy import slices
from migrator.copy.slices import Slicer

LARGEST = 40
READY = b"Z\x00\x00\x00\x05I"


class Collector:
    """Stands for asyncpg: takes messages apart, and knows how much it had to keep for it."""

    def __init__(self) -> None:
        self.rest = b""
        self.most = 0
        self.messages: list[tuple[bytes, bytes]] = []

    def data_received(self, data: bytes) -> None:
        self.rest += data
        while len(self.rest) >= 5:
            size = 1 + struct.unpack_from(">xI", self.rest)[0]
            if len(self.rest) < size:
                break
            self.messages.append((self.rest[:1], self.rest[5:size]))
            self.rest = self.rest[size:]
        self.most = max(self.most, len(self.rest))


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">I", len(body) + 4) + body


def joined(messages: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Put neighbouring data messages together: where they are cut means nothing."""
    found: list[tuple[bytes, bytes]] = []
    for kind, body in messages:
        if kind == b"d" and found and found[-1][0] == b"d":
            found[-1] = kind, found[-1][1] + body
        else:
            found.append((kind, body))
    return [each for each in found if each != (b"d", b"")]


bodies = st.integers(0, 4 * LARGEST).map(lambda size: bytes(i % 251 for i in range(size)))
streams = st.lists(st.tuples(st.sampled_from([b"d", b"d", b"d", b"N", b"c"]), bodies), max_size=12)


@given(sent=streams, cuts=st.lists(st.integers(1, 3 * LARGEST), min_size=1, max_size=20))
def test_cutting_changes_only_where_data_messages_end(
    sent: list[tuple[bytes, bytes]], cuts: list[int]
) -> None:
    asyncpg = Collector()
    with mock.patch.object(slices, "LARGEST_WHOLE", LARGEST):
        feed(started(asyncpg), b"".join(message(*each) for each in sent), cuts)
    assert asyncpg.rest == b""
    assert joined(asyncpg.messages[1:]) == joined(sent)
    if all(kind == b"d" for kind, _ in sent):
        assert asyncpg.most <= LARGEST


@given(cuts=st.lists(st.integers(1, 8), min_size=1, max_size=8))
def test_cutting_begins_after_an_answer_only_and_ends_with_a_message(cuts: list[int]) -> None:
    asyncpg = Collector()
    slicer: Any = Slicer(asyncpg)
    slicer.slice(wanted=True)
    assert not slicer._slicing
    feed(slicer, message(b"C", b"BEGIN\x00") + READY, cuts)
    slicer.slice(wanted=True)
    assert slicer._slicing
    slicer.data_received(message(b"d", b"abc")[:4])
    slicer.slice(wanted=False)
    assert slicer._slicing
    slicer.data_received(message(b"d", b"abc")[4:])
    slicer.slice(wanted=False)
    assert not slicer._slicing
    assert asyncpg.messages[-1] == (b"d", b"abc")


def started(asyncpg: Any) -> Slicer:
    slicer = Slicer(asyncpg)
    slicer.data_received(READY)
    slicer.slice(wanted=True)
    return slicer


def feed(slicer: Slicer, stream: bytes, cuts: list[int]) -> None:
    position, turn = 0, 0
    while position < len(stream):
        size = cuts[turn % len(cuts)]
        slicer.data_received(stream[position : position + size])
        position, turn = position + size, turn + 1
