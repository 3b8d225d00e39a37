"""Asynchronous file I/O for the event loop: `Ring` (io_uring or threads) and the system calls `os` lacks.

`frevo.aio.ring` is the public face and may be used by any layer that has the loop; `frevo.aio.syscalls` holds
the calls that are so short that they run in the loop itself; `frevo.aio.features` says what the kernel offers.
"""
