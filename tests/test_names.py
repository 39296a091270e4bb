"""The names of everything migrator makes on a server."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from migrator.pg.names import Names

SLOT = re.compile(r"[a-z0-9_]{1,63}")
IDENTIFIERS = ("schema", "publication", "subscription", "slot", "fence", "application", "observer")
LIMIT = 63

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=300)


def identifiers(names: Names) -> list[str]:
    return [getattr(names, each) for each in IDENTIFIERS]


@given(texts, texts, texts)
def test_every_name_fits_into_63_bytes_whatever_the_migration_is_called(
    migration: str, source: str, destination: str
) -> None:
    names = Names.of(migration, source, destination)
    assert all(len(name.encode()) <= LIMIT for name in identifiers(names))


@given(texts, texts, texts)
def test_the_slot_has_only_characters_that_a_slot_may_have(
    migration: str, source: str, destination: str
) -> None:
    names = Names.of(migration, source, destination)
    assert SLOT.fullmatch(names.slot)


@given(texts, texts, texts, st.integers(1, 2**22))
def test_all_streams_have_names_of_their_own_that_a_server_takes(
    migration: str, source: str, destination: str, pid: int
) -> None:
    names = Names.of(migration, source, destination)
    slots = [*(stream.slot for stream in names.streams), names.temporary_slot(pid)]
    subscriptions = [stream.subscription for stream in names.streams]
    assert len(set(slots)) == len(names.streams) + 1
    assert all(SLOT.fullmatch(name) and len(name) <= LIMIT for name in (*slots, *subscriptions))
    assert names.streams[0].slot == names.slot


@given(texts, texts, texts)
def test_every_run_on_every_host_arrives_at_the_same_names(
    migration: str, source: str, destination: str
) -> None:
    assert Names.of(migration, source, destination) == Names.of(migration, source, destination)


def test_the_names_of_today_are_those_of_tomorrow() -> None:
    # A migration that runs while migrator is upgraded must find what it made.
    names = Names.of("pg-meta.meta", "meta", "meta")
    assert names.slot == "migrator_pg_meta_meta_cf6837db7b"
    assert names.mark == "migrator:pg_meta_meta_cf6837db7b"
    assert names.lock_key == -7986003484301082844


@given(st.lists(st.tuples(texts, texts, texts), min_size=2, max_size=5, unique=True))
def test_different_databases_or_migrations_have_different_names(which: list[tuple[str, str, str]]) -> None:
    made = [Names.of(*each) for each in which]
    for kind in IDENTIFIERS:
        assert len({getattr(names, kind) for names in made}) == len(made)
    assert len({names.lock_key for names in made}) == len(made)
    assert len({names.mark for names in made}) == len(made)


def test_where_one_name_ends_and_the_next_begins_makes_a_difference() -> None:
    assert Names.of("ab", "c", "d") != Names.of("a", "bc", "d")
    assert Names.of("a", "bc", "d").slot != Names.of("a", "b", "cd").slot


def test_a_migration_without_any_plain_letter_still_has_a_name() -> None:
    assert SLOT.fullmatch(Names.of("日本 ÄÖÜ", "ä", "ö").slot)


@given(texts, texts, texts)
def test_the_lock_is_a_signed_64_bit_number(migration: str, source: str, destination: str) -> None:
    assert -(2**63) <= Names.of(migration, source, destination).lock_key < 2**63


def test_nobody_takes_an_observer_for_an_orphan_or_the_stream_for_either() -> None:
    names = Names.of("move", "a", "b")
    assert len({names.application, names.observer, names.subscription}) == 3
