"""The contract of a VFS backend: it resolves names, opens files and operates on handles. `vfs/local.py` is the first
backend.

Paths: a *wire path* comes from the client: share-relative, components separated by backslashes, no leading backslash,
"" for the share's root, possibly with a stream suffix (`file:stream:$DATA`). A *real path* is share-relative with
slashes, as on disk. Methods may raise only `SMBError` (one of our rules) or `OSError` (the dispatcher maps its errno).
Methods without `async` are short metadata calls and run in the event loop; the `async` ones move data and go through
`frevo.aio.ring`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import msgspec

from frevo.errors import SMBError
from frevo.wire.codec import Bits
from frevo.wire.erref import NTStatus

Buffer = bytes | bytearray | memoryview


class FileIdentity(NamedTuple):
    """Two opens with the same identity are of the same file: device, inode, and the stream's folded name ("" = main
    stream)."""

    device: int
    inode: int
    stream: str = ""


class FileLeasedError(Exception):
    """A file cannot be opened for writing yet: somebody has a lease on it (fcntl(2)), and was told to give it up."""


class OpenIntent(Bits):
    """The operations that the handle must support; PATH alone allows metadata only (and works on special files)."""

    PATH = 0
    READ = 1
    WRITE = 2


class FileStat(msgspec.Struct):
    """Metadata of a file, directory or stream. Times are FILETIME; sizes in bytes."""

    identity: FileIdentity
    is_directory: bool
    attributes: int  # FILE_ATTRIBUTE_*; never 0 (NORMAL when nothing else), DIRECTORY set for directories
    creation_time: int
    last_access_time: int
    last_write_time: int
    change_time: int
    end_of_file: int
    allocation_size: int
    link_count: int
    mode: int  # st_mode
    uid: int
    gid: int
    reparse_tag: int = 0
    #: 64-bit FileId of [MS-FSCC] 2.1.9: the file's as long as it exists and no other file's afterwards; all of its
    #: names and streams share it.
    file_id: int = 0


class Resolved(msgspec.Struct):
    """The result of resolving a wire path, whether or not the file exists.

    `parent` is the real path of the containing directory ("" = root, also for the root itself). `name` is the real
    name on disk if the file exists, else the real name under which it would be created. `stat` is None if the file
    (or, with a stream, the stream's file) does not exist. `stream` is "" or the stream's name without `:$DATA`;
    `stream_exists` says whether that stream exists. `requested` is the last name (the stream's, if there is one) as
    the client spelled it: a rename that only changes the spelling uses it.
    """

    parent: str
    name: str
    stat: FileStat | None
    stream: str = ""
    stream_exists: bool = False
    requested: str = ""

    @property
    def path(self) -> str:
        """Real share-relative path of the file, without stream; "" for the root."""
        return f"{self.parent}/{self.name}" if self.parent else self.name

    @property
    def exists(self) -> bool:
        """Whether the object to open (the stream, if there is one) exists."""
        return self.stat is not None and (not self.stream or self.stream_exists)


class DirectoryItem(NamedTuple):
    """One entry of a listing: the name that clients see, and the metadata of the file."""

    name: str  # wire name (mapped characters)
    stat: FileStat


class VolumeInfo(msgspec.Struct, frozen=True):
    """Values of the file system information classes ([MS-FSCC] 2.5)."""

    label: str
    serial_number: int
    creation_time: int
    file_system_name: str  # "NTFS", which is what clients look for
    max_component_length: int
    attributes: int  # FILE_CASE_PRESERVED_NAMES ... [MS-FSCC] 2.5.1
    block_size: int  # bytes per allocation unit
    total_units: int
    free_units: int
    available_units: int


class Change(NamedTuple):
    """One change below a watched directory: FILE_ACTION_* ([MS-FSCC] 2.7.1), wire path relative to it, and
    the FILE_NOTIFY_CHANGE_* bits ([MS-SMB2] 2.2.35) under which it counts.
    """

    action: int
    path: str
    filter: int


class Unread(SMBError):
    """A name could not be looked up yet, because its folder has too many names to read at once. `steps` reads them, a
    piece at each step; after that, try the look-up again."""

    def __init__(self, steps: Callable[[], Generator[None, None, None]]) -> None:
        super().__init__(NTStatus.INSUFFICIENT_RESOURCES, "there is too much to look at it at once")
        self.steps = steps


class Quota(Protocol):
    """Counts the directories watched by one user."""

    def room(self) -> bool:
        """Whether one more is allowed; can be called from any thread."""

    def change(self, count: int) -> None:
        """Add *count* (negative: subtract); call it in the event loop."""


class Watch(ABC):
    """A running directory watch. After `close()`, the callback is never called again."""

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def catch_up(self) -> None:
        """Report changes made before this call, as far as one slice of time allows."""


class Handle(ABC):
    """An open file, directory or stream. It may be closed twice; using it after that raises SMBError(FILE_CLOSED)."""

    __slots__ = ()

    identity: FileIdentity
    is_directory: bool
    path: str  # real path of the file (without stream); the server updates it after a rename
    stream: str

    @property
    @abstractmethod
    def fd(self) -> int | None:
        """The file descriptor for the data plane's fast path, open for what the handle was opened for; or None."""

    @property
    @abstractmethod
    def wire_path(self) -> str:
        """The path as clients see it: backslashes, no leading backslash, `:stream` if there is one."""

    @abstractmethod
    def follow(self, renamed: Handle) -> None:
        """Update the name after the stream was renamed through another handle, *renamed*."""

    @abstractmethod
    def stat(self) -> FileStat:
        """Current metadata, even after the name was removed or renamed."""

    @abstractmethod
    def set_basic(
        self,
        *,
        creation_time: int | None = None,
        last_access_time: int | None = None,
        last_write_time: int | None = None,
        change_time: int | None = None,
        attributes: int | None = None,
    ) -> None:
        """Set the values that are not None (change_time may be ignored, because Linux sets it itself)."""

    @abstractmethod
    def mark_archive(self) -> None:
        """Set FILE_ATTRIBUTE_ARCHIVE of the file, if it can be stored and is not set."""

    @abstractmethod
    def keep_access_time(self, keep: bool) -> None:
        """Whether reads through this handle leave the last access time unchanged, if the system supports it."""

    @abstractmethod
    def truncate(self, size: int) -> None:
        """Set the end of file."""

    @abstractmethod
    def allocate(self, size: int) -> None:
        """Set the allocation size: reserves up to *size* without moving the end of file; a size below the end of file
        truncates ([MS-FSCC] 2.4.4)."""

    def resizes_slowly(self, size: int, *, allocation: bool) -> bool:
        """Whether `truncate` (`allocate` with *allocation*) would move so much that others should not wait for it."""
        return False

    async def resize(self, size: int, *, allocation: bool) -> None:
        """`truncate` or `allocate`, elsewhere."""
        (self.allocate if allocation else self.truncate)(size)

    @abstractmethod
    async def read(self, offset: int, length: int) -> Buffer:
        """Up to *length* bytes; b"" at or after the end of file."""

    @abstractmethod
    async def write(self, offset: int, data: Buffer) -> int:
        """Write all of *data* and return the count (less only if the disk is full)."""

    @abstractmethod
    async def append(self, data: Buffer) -> tuple[int, int]:
        """Write *data* where the stream ends when that happens, whoever else writes to it ([MS-FSA] 2.1.5.4). Returns
        the count (less only if the disk is full) and the offset behind it. Call it once at a time."""

    @abstractmethod
    async def flush(self) -> None:
        """Write data and metadata to disk."""

    @abstractmethod
    def allocated_ranges(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """(offset, length) of the ranges that hold data (SEEK_DATA/SEEK_HOLE)."""

    @abstractmethod
    async def zero(self, offset: int, beyond: int) -> None:
        """FSCTL_SET_ZERO_DATA: [offset, beyond) reads as zeros, deallocated when the file is sparse."""

    @abstractmethod
    def list_directory(self) -> Iterator[DirectoryItem]:
        """All entries, "." and ".." first, in one consistent pass. Lazy, so that a directory with a million names is
        not read at once. Names that vanish meanwhile are skipped."""

    @abstractmethod
    def drop_extras(self) -> None:
        """Remove the named streams and EAs of a file that is being overwritten."""

    @abstractmethod
    def extended_attributes(self) -> list[tuple[bytes, bytes]]:
        """EAs as (name, value), with names in their original case; without the xattrs of frevo and Samba."""

    @abstractmethod
    def set_extended_attributes(self, attributes: Iterable[tuple[bytes, bytes]]) -> None:
        """Set each (name, value); an empty value deletes the EA."""

    @abstractmethod
    def security_descriptor(self) -> bytes | None:
        """The stored self-relative security descriptor; None if there is none, so that the caller derives one from
        mode, uid and gid."""

    @abstractmethod
    def set_security_descriptor(self, descriptor: bytes) -> None: ...

    @abstractmethod
    def streams(self) -> list[tuple[str, int, int]]:
        """(name, size, allocation) of every stream: "" is the main stream (absent for directories)."""

    @abstractmethod
    def watch(
        self,
        recursive: bool,
        filter: int,
        on_changes: Callable[[Sequence[Change]], None],
        on_overflow: Callable[[], None],
        quota: Quota | None = None,
    ) -> Watch:
        """Watch this directory. Callbacks run in the event loop; changes are in the kernel's order. *quota* counts the
        watched directories."""

    @property
    def busy(self) -> bool:
        """Whether a read, write or flush is in progress."""
        return False

    def when_idle(self, action: Callable[[], None]) -> None:
        """Call *action* when no operation is in progress: now, or when the last one ends."""
        action()

    @abstractmethod
    def close(self) -> None:
        """Close the handle; operations in progress keep the file open until they end."""


class Backend(ABC):
    """One shared folder."""

    @abstractmethod
    def resolve(self, wire_path: str) -> Resolved:
        """Finds *wire_path*, case-insensitively where the exact name does not exist.

        Raises SMBError: OBJECT_NAME_INVALID (a name that cannot be), OBJECT_PATH_NOT_FOUND (a parent is
        missing or not a directory), OBJECT_PATH_SYNTAX_BAD ("..", "."); a symlink that leaves the share,
        dangles or goes in circles as smbd 4.17 does with `wide links = no`: OBJECT_NAME_NOT_FOUND as the last
        component, also for an open that would create; OBJECT_PATH_NOT_FOUND before. The same for names that
        `veto files` hides."""

    @abstractmethod
    def check_reachable(self) -> None:
        """SMBError ACCESS_DENIED if the acting user cannot get to the root through the folders above it."""

    @abstractmethod
    def security_descriptor(self, resolved: Resolved) -> bytes | None:
        """The stored descriptor (as `Handle.security_descriptor`) of the resolved file: `open` opens this very file,
        even if its name has changed meanwhile."""

    @abstractmethod
    def parent(self, resolved: Resolved) -> tuple[bytes | None, FileStat]:
        """Stored descriptor and metadata of the directory that contains the name or would contain it. `create`,
        `rename` and `link` add the name to this very directory. OBJECT_NAME_NOT_FOUND if the name belongs to another
        file by now."""

    @abstractmethod
    def open(self, resolved: Resolved, intent: OpenIntent) -> Handle:
        """Open the very file that *resolved* found; OBJECT_NAME_NOT_FOUND if it has vanished, FileLeasedError if it is
        to be opened for writing and somebody has a lease on it."""

    @abstractmethod
    def create(
        self, resolved: Resolved, *, directory: bool, intent: OpenIntent, attributes: int, mode: int
    ) -> Handle:
        """Create a file exclusively (OBJECT_NAME_COLLISION if it exists by now) with DOS *attributes* and Unix *mode*;
        or create a stream of an existing file."""

    @abstractmethod
    def rename(self, handle: Handle, target: Resolved, *, replace: bool) -> None:
        """Rename the handle's file to target.path, even if only the case differs. OBJECT_NAME_COLLISION if it exists
        and not *replace*. Updates handle.path. For a stream handle, renames the stream."""

    @abstractmethod
    def link(self, handle: Handle, target: Resolved, *, replace: bool) -> None:
        """Create another hard link to the handle's file."""

    @abstractmethod
    def remove(self, handle: Handle) -> None:
        """Unlink the handle's name if it still refers to this very file, else do nothing. A directory must be empty
        (DIRECTORY_NOT_EMPTY). For a stream handle, removes the stream."""

    @abstractmethod
    def check_removable(self, handle: Handle) -> None:
        """SMBError if the system would refuse `remove`, as far as this can be known in advance: ACCESS_DENIED,
        CANNOT_DELETE, MEDIA_WRITE_PROTECTED."""

    @abstractmethod
    def is_empty(self, handle: Handle) -> bool:
        """Whether a directory has no entries (vetoed files count)."""

    @abstractmethod
    def volume(self, handle: Handle) -> VolumeInfo:
        """The volume of the handle's file: there may be several below the share's root."""

    @abstractmethod
    def serial_number(self, handle: Handle) -> int:
        """The serial number of that volume, as in `VolumeInfo`, without computing the rest."""

    @abstractmethod
    def close(self) -> None: ...
