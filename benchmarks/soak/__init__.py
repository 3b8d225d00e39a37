"""A long run under mixed load that looks for wrong bytes and for leaks: `make soak`, or `python -m benchmarks.soak`.

Clients connect, read, write, resize, cancel, are killed and interrupted, while a program on the server reads the same
files. Every 8 bytes of these files say which file, place and version they belong to, so that a torn, stale or misplaced
byte is found. Between rounds, when no client is left, the server must hold as many descriptors and as much memory as
before.

    __main__.py  the command line
    words.py     what every word of a file says, and whether what was read may be so
    ledger.py    which versions were sent and written: memory that all processes of a run share
    client.py    a process with frevo's client, which may be killed at any time; storage.py: what it reads and writes
    rough.py     a client that ends connections in the middle of everything, and cancels what waits
    local.py     a program on the server that reads the files that clients write
    transfers.py frevo get and put, with and without Ctrl-C
    crew.py      starts, kills and ends all of these
    server.py    what the server holds, and whether it grows
    legs.py      the ways to read and write that are tried, each with a server of its own
    rounds.py    a leg, round by round; what is left after each
"""
