"""What a comparison found counts when the writes are about to change hands."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from migrator.data_diff import Options
from migrator.diff import counts
from migrator.errors import ChecksBlocked, GateClosed
from migrator.switchover import quick
from tests.fixtures.servers import connect
from tests.test_copy_diff import behind_its_back

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.fixtures.road import Road

    Roads = Callable[..., Road]

NEW = "insert into products (id, title, price) values (1000, 'only there', 1)"
OLD = "delete from products where id = 1000"


def found(moved: Road) -> dict[str, tuple[str, str]]:
    """Return what the check says before the cutover, by subject and severity."""
    return {
        f"{f.subject} {f.severity}": (f.message, f.waived)
        for f in moved.app.preview_advance(None).findings
        if f.check == "last_comparison"
    }


def test_a_difference_stops_the_cutover_until_the_table_is_compared_equal_or_it_is_waived(
    road: Roads,
) -> None:
    moved = road("seq_synced")
    assert found(moved) == {"rows warn": ("all 7 tables: never compared since they were copied", "")}

    # Right before the fence nobody has compared anything yet, and still it is seen.
    behind_its_back(moved.destination, NEW)
    message = moved.refuse(GateClosed, 4)
    assert "public.products has 1 rows or more only on the destination" in message

    assert moved.app.diff(Options(("products",))).verdict == "different"
    findings = found(moved)
    assert findings.keys() == {"public.products block", "rows warn"}
    assert "different in 1 of its rows or more when it was last compared, 0:00:0" in str(findings)
    assert findings["rows warn"][0].startswith("6 of 7 tables, public.customers, public.events_in")
    assert moved.refuse(ChecksBlocked, 4) == "1 finding must be fixed first"

    # As many rows on both sides are not the same rows.
    behind_its_back(moved.destination, f"{OLD}; update products set title = 'other' where id = 1")
    assert moved.app.diff(Options(only_count=True)).verdict == "equal"
    assert found(moved).keys() == {"public.products block", "rows warn"}
    moved.app.waive(["last_comparison:public.products=known"])
    assert found(moved)["public.products block"][1] == "known"
    moved.app.rehearse()
    moved.on_source("update products set title = 'the same' where id = 1")
    assert moved.app.diff(Options()).verdict == "equal"
    assert found(moved) == {}
    moved.advance("cutover")


def test_the_quick_look_takes_no_longer_than_it_may_and_says_nothing_of_what_it_did_not_see(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = road("seq_synced", cutover={"quick_diff": "200ms"})
    behind_its_back(moved.destination, NEW)
    took: list[float] = []

    def under_a_lock(*arguments: Any, **options: Any) -> list[counts.Counted]:
        with connect(moved.destination) as holder, holder.transaction():
            holder.execute("lock table products in access exclusive mode")
            began = time.monotonic()
            found = counts.count_briefly(*arguments, **options)
            took.append(time.monotonic() - began)
            return found

    monkeypatch.setattr(quick, "count_briefly", under_a_lock)
    moved.app.rehearse()
    assert 0.2 <= took[0] < 2
