"""How messages reach the server: the contract (`base`), addresses, and one module per transport.

`tcp` and `nbt` open listening sockets, `dataplane` lets the Rust threads serve them, `memory` joins both ends
in one process for tests. Nothing here knows what a message means.
"""
