"""Which stream carries which table: pure, and the same for the same tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def divide(
    sizes: Mapping[int, int],
    ties: Iterable[tuple[int, int]],
    streams: Sequence[int],
    placed: Mapping[int, int] | None = None,
) -> dict[int, int]:
    """Return for each table of ``sizes`` (bytes, by oid) its stream, one of ``streams``.

    Tables that ``ties`` hold together, directly or through others, come into one stream: the groups go
    to the least loaded, largest first. Tables that are ``placed`` stay, and draw what is tied to them;
    where a group is placed in several, to the one that has most of it. With fewer groups than streams
    the last streams get nothing.
    """
    known = dict(placed or {})
    # A table without rows is a burden too: every one must count.
    weights = {table: size + 1 for table, size in sizes.items()}
    loads = dict.fromkeys(streams, 0)
    for table, stream in known.items():
        loads[stream] += weights.get(table, 0)
    for group in sorted(groups(weights, ties), key=lambda g: (-sum(weights[t] for t in g), g)):
        new = [table for table in group if table not in known]
        there = dict.fromkeys(streams, 0)
        for table in group:
            if table in known:
                there[known[table]] += weights[table]
        drawn = max(there.values()) > 0
        chosen = max(streams, key=lambda s: there[s]) if drawn else min(streams, key=lambda s: loads[s])
        for table in new:
            known[table] = chosen
            loads[chosen] += weights[table]
    return {table: known[table] for table in sizes}


def groups(tables: Iterable[int], ties: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Return the connected components of ``tables``, each sorted; ``ties`` may lead through others."""
    parent: dict[int, int] = {}

    def root(node: int) -> int:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for one, other in ties:
        parent[root(one)] = root(other)
    found: dict[int, list[int]] = {}
    for table in sorted(tables):
        found.setdefault(root(table), []).append(table)
    return list(found.values())
