"""frevo.bench.processor: which process serves a local port, and what processes use."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time

from frevo.bench.processor import Meter, exists, find_server, name_of, usage, use_batch_scheduling


def burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_the_server_is_found() -> None:
    """The process with the listening socket, while it listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert find_server("localhost", port) == [os.getpid()]
    assert find_server("127.0.0.1", port) == []


def test_a_server_elsewhere() -> None:
    """A server on another machine, or a name without an address, has no local process."""
    assert find_server("192.0.2.1", 445) == [] == find_server("no-such-host.invalid", 445)


def test_time_of_this_process_and_its_children() -> None:
    """Threads, running children and ended children count; the figure grows with the time used."""
    before = usage([os.getpid()])
    burn(0.05)
    script = "import time\nwhile time.process_time() < 0.15: pass\nprint('x', flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=-1, stdout=-1) as child:
        assert child.stdout is not None and child.stdin is not None
        child.stdout.read(1)
        during = usage([os.getpid()])
        assert during.processes == before.processes + 1
        assert during.seconds - before.seconds >= 0.19
        child.stdin.write(b"\n")
    after = usage([os.getpid()])
    assert after.processes == before.processes
    assert after.seconds >= during.seconds - 0.03  # ended children are counted in ticks


def test_a_meter_measures_both_ends() -> None:
    """The time of this process between start and stop, and the server's."""
    meter = Meter([os.getpid()])
    meter.start()
    burn(0.03)
    meter.stop()
    assert meter.client_s >= 0.03 and meter.server_s is not None and meter.server_s >= 0.03
    unknown = Meter([])
    unknown.start()
    unknown.stop()
    assert unknown.server_s is None


def test_processes_that_are_gone() -> None:
    """A process that has ended uses nothing and is not an error."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    assert not exists(child.pid) and usage([child.pid]).seconds == 0 and name_of(child.pid) == "?"
    assert exists(os.getpid())


def test_batch_scheduling_is_for_one_thread_and_its_children() -> None:
    """A thread that yields the processor, and those it starts, are scheduled in batches; the others are unchanged."""
    found: list[int] = []
    before = os.sched_getscheduler(0)

    def starts_another() -> None:
        use_batch_scheduling()
        inner = threading.Thread(target=lambda: found.append(os.sched_getscheduler(0)))
        inner.start()
        inner.join()

    outer = threading.Thread(target=starts_another)
    outer.start()
    outer.join()
    assert found == [os.SCHED_BATCH]
    assert os.sched_getscheduler(0) == before
