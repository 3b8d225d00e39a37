"""How messages reach the server: the contract (`base`), addresses, and what each transport is (`traits`).

`tcp` opens listening sockets, `dataplane` lets the Rust threads serve them, `memory` joins both ends in one
process for tests. Nothing here knows what a message means.
"""
