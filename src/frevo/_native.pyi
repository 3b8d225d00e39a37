"""Types of the Rust module `frevo._native` (crates/frevo-native). Private: use `frevo.aio` and `frevo.transport`."""

__version__: str

# --- syscalls.rs: run in the calling thread; OSError(errno, text, path) ---

def openat2(dirfd: int, path: bytes, flags: int, mode: int, resolve: int) -> int: ...
def statx(
    dirfd: int, path: bytes, flags: int
) -> tuple[int, int, int, int, int, int, int, int, int, int, int, int, int, int, int]: ...
def renameat2(olddirfd: int, old: bytes, newdirfd: int, new: bytes, flags: int) -> None: ...
