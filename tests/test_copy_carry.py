"""How a copy behaves as a process: its memory, its pace, its pauses."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fixtures import small
from tests.fixtures.project import clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.road import Road

    Roads = Callable[..., Road]

MB = 1024 * 1024
VALUE = 150 * MB
# The kernel's word for the most memory that the program itself, from its start, has had.
MEASURED = """
import sys
from migrator.cli.main import main
try:
    main(sys.argv[2:])
finally:
    status = open("/proc/self/status").read()
    open(sys.argv[1], "w").write(status.partition("VmHWM:")[2].split()[0])
"""
# One row that travels in binary, and one as text.
FILLED = f"""
create table small (id int primary key, text text);
insert into small select n, 'text ' || n from generate_series(1, 1000) n;
create table huge (id int primary key, bytes bytea);
alter table huge alter bytes set storage external;
insert into huge values (1, convert_to(repeat('a', {VALUE}), 'utf8'));
create type kind as enum ('one');
create table huge_text (id int primary key, kinds kind[], text text);
alter table huge_text alter text set storage external;
insert into huge_text values (1, '{{one}}', repeat('abcdefgh', {VALUE // 8}));
"""
PROGRESS = """
select p.pid, p.bytes_processed
from pg_stat_progress_copy p
join pg_stat_activity a using (pid)
where p.relid = 'much'::regclass and a.application_name ~ '^migrator/'
"""
MUCH = """
create table much (id int primary key, text text);
insert into much select n, repeat('x', 1000) from generate_series(1, 12000) n;
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel says it in /proc")
def test_the_memory_does_not_depend_on_the_size_of_a_value(road: Roads, tmp_path: Path) -> None:
    moved = road("schema_copied", setup=FILLED)
    measured = tmp_path / "peak"
    words = ["--config", str(moved.project.path), "advance", "--yes", "--to", "replicating"]
    subprocess.run(
        [sys.executable, "-c", MEASURED, str(measured), *words],
        check=True,
        capture_output=True,
        env=clean_environment(),
    )
    sizes = "select octet_length(bytes), octet_length(text) from huge, huge_text"
    assert moved.on_destination(sizes) == moved.on_source(sizes) == [(VALUE, VALUE)]
    assert int(measured.read_text()) * 1024 <= 150 * MB


def test_a_copy_is_paused_by_a_signal_and_goes_on_where_it_was(road: Roads) -> None:
    moved = road("schema_copied", setup=MUCH, copy={"max_bytes_per_second": "4MB"})
    begun = time.monotonic()
    process = moved.project.start("advance", "--yes", "--to", "replicating")
    small.wait_until(lambda: moved.on_destination(PROGRESS), "the copy to be under way")
    process.send_signal(signal.SIGUSR1)
    time.sleep(0.5)
    paused = moved.on_destination(PROGRESS)
    time.sleep(3)
    assert moved.on_destination(PROGRESS) == paused
    process.send_signal(signal.SIGUSR2)
    small.wait_until(lambda: moved.on_destination(PROGRESS) != paused, "the copy to go on")
    assert [pid for pid, _ in moved.on_destination(PROGRESS)] == [paused[0][0]]
    out, err = process.communicate()
    assert process.returncode == 0, err
    # 12 MB at 4 MB per second, and the pause.
    assert time.monotonic() - begun >= 3 + 2.5
    assert f"kill -USR2 {process.pid}" in out + err
    assert "the copy goes on" in out + err
    assert moved.on_destination("select count(*) from much") == [(12000,)]
    moved.complete()
