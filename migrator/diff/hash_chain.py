"""Put the hashes of columns together to that of a row."""

from __future__ import annotations

from psycopg import sql

# How many columns' hashes are put into each other: an expression's depth is limited.
DEPTH = 50


def chain(columns: list[tuple[str, sql.Composable]], seed: sql.Composed) -> sql.Composed:
    """Hash columns, each given by its function and value, with the hash of those before as the seed."""
    for function, value in columns:
        seed = sql.SQL(function).format(value=value, seed=seed)
    return seed


def exclusive_or(hashes: list[sql.Composable]) -> sql.Composed:
    """Put hashes together as a tree: one after the other, a thousand are too deep for a server's stack."""
    while len(hashes) > 1:
        pairs = [hashes[number : number + 2] for number in range(0, len(hashes), 2)]
        hashes = [sql.SQL("({})").format(sql.SQL(" # ").join(pair)) for pair in pairs]
    return sql.Composed(hashes)


def mark(number: int) -> int:
    """Return a number of 64 bits that has nothing to do with any other one's, as splitmix64 makes them."""
    mixed = (number + 1) * 0x9E3779B97F4A7C15 % 2**64
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % 2**64
    return (mixed ^ mixed >> 31) - 2**63
