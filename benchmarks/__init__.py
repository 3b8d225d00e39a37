"""frevo compared with Samba's smbd and with what the machine can do, under the same load in one run.

`python -m benchmarks` (or `make bench`) runs everything; `--help` lists the options and docs/performance.md explains
them. What counts are ratios of figures measured seconds apart; the report names the machine.

    run.py          the command line: rounds, pairs, results
    options.py      its options
    rows.py         what is measured, and the goals
    servers.py      frevo and its rivals on private configurations, and their memory
    network.py      the loopback, or a veth pair between two network namespaces
    frevo_bench.py  `frevo bench` as the load; tools.py: smbtorture, and limit.c; transfers.py: get and put
    sample.py       what one run took, with the processor time of both ends
    results.py      ratios, and whether the goals are met; report.py: the table; html.py: the page
    rungs.py        the ways to read and write that can be forced
    machine.py      the conditions of the machine
    contention.py   what threads of the data plane cost each other
    idle.py         the memory of idle connections
    talk.py         large reads between two machines with fast network cards
    soak/           a long run under mixed load that looks for wrong bytes and for leaks
    client_bench.py  frevo bench and smbtorture's clients against one smbd
    client_library.py  frevo's client, smbprotocol and smbclient; client_work.py is one process of it
    quic.py         SMB over QUIC, over TCP, and other QUIC stacks, also on a path with a rate and loss: quic_runs.py
                    runs them, first_read.py is a client of ours, quic_bulk.py and quinn_bulk/ are the other stacks
    direct.py       SMB over SMB Direct (emulated, iwarp) and over TCP
    micro_*.py      single functions, in microseconds
"""

from __future__ import annotations

import sys
from pathlib import Path

#: The servers are started by tests/peers, as in the tests.
sys.path.append(str(Path(__file__).parent.parent / "tests"))
