"""Who works on a migration."""

from __future__ import annotations

import os
import subprocess
import threading
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from migrator.errors import LeaseHeld
from migrator.store.lease import Holder, process_is_gone
from migrator.workflow import STATES
from tests.test_store_fixtures import plan

if TYPE_CHECKING:
    from migrator.store.journal import Journal

pytest_plugins = ["tests.test_store_fixtures"]


def alive(_holder: Holder) -> bool:
    return False


def gone_for_good(_holder: Holder) -> bool:
    return True


def test_a_free_lease_is_taken_kept_and_given_back(journal: Journal) -> None:
    migration, me = plan(journal).id, Holder.here("migrator advance")
    assert journal.lease.holder(migration) is None
    assert journal.lease.take(migration, me, dead=alive) == me
    assert journal.lease.take(migration, me, dead=alive) == me
    assert journal.lease.holder(migration) == me
    assert journal.lease.beat(me.token)
    journal.lease.release(me.token)
    journal.lease.release(me.token)
    assert journal.lease.holder(migration) is None
    assert not journal.lease.beat(me.token)


def test_a_second_operator_is_told_who_holds_it_since_when(journal: Journal) -> None:
    migration = plan(journal).id
    first = journal.lease.take(migration, Holder.here("migrator advance", "anna"), dead=alive)
    with pytest.raises(LeaseHeld) as caught:
        journal.lease.take(migration, Holder.here("migrator status"), dead=alive)
    assert f"anna@{first.host}" in caught.value.message
    assert "migrator advance" in caught.value.message
    assert f"{first.since:%Y-%m-%d %H:%M:%S} UTC" in caught.value.message
    assert caught.value.exit_code == 3
    assert caught.value.as_dict()["since"] == first.since.isoformat()
    assert journal.lease.holder(migration) == first


def test_leases_of_two_migrations_do_not_meet(journal: Journal) -> None:
    for name in ("a", "b"):
        journal.lease.take(plan(journal, name).id, Holder.here(name), dead=alive)


def test_a_dead_holder_is_replaced(journal: Journal) -> None:
    migration = plan(journal).id
    gone = journal.lease.take(migration, Holder.here("migrator advance"), dead=alive)
    heir = journal.lease.take(migration, Holder.here("migrator advance"), dead=gone_for_good)
    assert journal.lease.holder(migration) == heir
    assert not journal.lease.beat(gone.token)
    journal.lease.release(gone.token)
    assert journal.lease.holder(migration) == heir


def test_of_two_heirs_exactly_one_wins(journal: Journal) -> None:
    migration = plan(journal).id
    gone = journal.lease.take(migration, Holder.here("gone"), dead=alive)
    barrier, refused = threading.Barrier(2), []

    def inherit() -> None:
        barrier.wait()
        try:
            dead = lambda other: other.token == gone.token  # noqa: E731
            journal.lease.take(migration, Holder.here("heir"), dead=dead)
        except LeaseHeld as error:
            refused.append(error)

    threads = [threading.Thread(target=inherit) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1


def test_the_last_state_takes_the_lease_with_it(journal: Journal) -> None:
    migration = plan(journal).id
    journal.lease.take(migration, Holder.here("migrator advance"), dead=lambda _: False)
    for here, there in pairwise(STATES):
        assert journal.lease.holder(migration) is not None
        journal.move(migration, here, there)
    assert journal.lease.holder(migration) is None


def test_a_process_is_gone_when_it_ended_or_its_number_was_given_to_another() -> None:
    me = Holder.here("migrator advance")
    assert not process_is_gone(me)
    assert process_is_gone(replace(me, process_start="another boot:1"))
    assert not process_is_gone(replace(me, process_start=""))
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    assert process_is_gone(replace(me, pid=ended.pid))
    assert not process_is_gone(replace(me, host="elsewhere", pid=ended.pid))


def test_a_process_of_another_user_is_alive() -> None:
    if os.getuid() == 0:
        assert not process_is_gone(replace(Holder.here(""), pid=1, process_start=""))
    else:
        assert not process_is_gone(replace(Holder.here(""), pid=1))
