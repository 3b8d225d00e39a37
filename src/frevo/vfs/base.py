"""The contract of a VFS backend: names are resolved, files opened, handles used. `vfs/local.py` is the first
one.

Paths: a *wire path* is what a client sent, share-relative, components parted by a backslash, no leading
backslash, "" for the share's root, possibly with a stream suffix (`file:stream:$DATA`). A *real path* is
share-relative with slashes, as it is on disk. Every method may raise `SMBError` (a rule of ours) or `OSError`
(the dispatcher maps its errno); nothing else. Methods without `async` are short metadata calls and run in the
event loop; the `async` ones move data and go through `frevo.aio.ring`."""

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
    """What makes two opens the same file: device and inode, and the stream's folded name ("" = main
    stream).
    """

    device: int
    inode: int
    stream: str = ""


class OpenIntent(Bits):
    """What the handle must be able to do; PATH alone only reaches metadata (works on special files, too)."""

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
    """A wire path found (or not) on disk.

    `parent` is the real path of the containing directory ("" = root, also for the root itself), `name` the
    real name on disk when the file exists, else the real name under which it would be created. `stat` is None
    when the file (or, with a stream, the file below it) does not exist. `stream` is "" or the stream's name
    without `:$DATA`; `stream_exists` says whether that stream exists. `requested` is the last name (the
    stream's, if one is named) as the client spelled it: a rename to another spelling of the same
    name wants that one."""

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
        """Whether the thing that an open would open (the stream, if one is named) is there."""
        return self.stat is not None and (not self.stream or self.stream_exists)


class DirectoryItem(NamedTuple):
    """One name of a listing: as the client sees it, and the metadata of what it names."""

    name: str  # wire name (mapped characters)
    stat: FileStat


class VolumeInfo(msgspec.Struct, frozen=True):
    """Answers of the file system information classes ([MS-FSCC] 2.5)."""

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
    """There is too much to look at it at once (the names of a large folder, very many opens), and nothing was done
    yet. `steps` looks, a piece at each step; then the request is to be tried again."""

    def __init__(self, steps: Callable[[], Generator[None, None, None]]) -> None:
        super().__init__(NTStatus.INSUFFICIENT_RESOURCES, "there is too much to look at it at once")
        self.steps = steps


class Quota(Protocol):
    """Counts the directories that somebody's watches have."""

    def room(self) -> bool:
        """Whether there may be one more; asked from any thread."""

    def change(self, count: int) -> None:
        """Counts *count* more, or less; called in the event loop."""


class Watch(ABC):
    """A running directory watch; `close()` ends it, after that the callback is never called."""

    @abstractmethod
    def close(self) -> None: ...


class Handle(ABC):
    """An open file, directory or stream. Closing twice is fine; using a closed one raises
    SMBError(FILE_CLOSED).
    """

    __slots__ = ()

    identity: FileIdentity
    is_directory: bool
    path: str  # real path of the file (without stream); the server updates it after a rename
    stream: str

    @property
    @abstractmethod
    def fd(self) -> int | None:
        """File descriptor for the data plane's fast path (opened for reading), or None when there is none."""

    @property
    @abstractmethod
    def wire_path(self) -> str:
        """Path as clients see it, backslashes, without leading backslash, with `:stream` where there is
        one.
        """

    @abstractmethod
    def follow(self, renamed: Handle) -> None:
        """Takes over the name of a stream that was renamed through another handle, *renamed*."""

    @abstractmethod
    def stat(self) -> FileStat:
        """Fresh metadata. Works after the name is gone (unlinked or renamed)."""

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
        """Sets what is not None (change_time may be ignored: Linux keeps it itself)."""

    @abstractmethod
    def keep_access_time(self, keep: bool) -> None:
        """Whether reads through this handle leave the time of last access, where the system can do that."""

    @abstractmethod
    def truncate(self, size: int) -> None:
        """Sets the end of file."""

    @abstractmethod
    def allocate(self, size: int) -> None:
        """Sets the allocation: reserves up to *size* without moving the end of file; smaller than EOF
        truncates ([MS-FSCC] 2.4.4).
        """

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
        """Writes all of *data*; gives the count written (less only when the disk is full)."""

    @abstractmethod
    async def flush(self) -> None:
        """Data and metadata reach the disk."""

    @abstractmethod
    def allocated_ranges(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """(offset, length) of the ranges that hold data (SEEK_DATA/SEEK_HOLE)."""

    @abstractmethod
    async def zero(self, offset: int, beyond: int) -> None:
        """FSCTL_SET_ZERO_DATA: [offset, beyond) reads as zeros, deallocated when the file is sparse."""

    @abstractmethod
    def list_directory(self) -> Iterator[DirectoryItem]:
        """Everything in the directory, "." and ".." first, one consistent pass, lazily: a directory of a
        million names is not read at once. Names that vanish meanwhile are left out.
        """

    @abstractmethod
    def drop_extras(self) -> None:
        """Removes the named streams and the EAs of a file that is overwritten."""

    @abstractmethod
    def extended_attributes(self) -> list[tuple[bytes, bytes]]:
        """EAs as (name, value), names in the case they were set in; frevo's and Samba's own xattrs are
        hidden.
        """

    @abstractmethod
    def set_extended_attributes(self, attributes: Iterable[tuple[bytes, bytes]]) -> None:
        """Sets each (name, value); an empty value deletes."""

    @abstractmethod
    def security_descriptor(self) -> bytes | None:
        """The stored self-relative security descriptor, or None: then the caller makes one from mode, uid,
        gid.
        """

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
        """Starts watching this directory. Callbacks come from the event loop, changes in the order of the
        kernel. *quota* counts the directories that are watched.
        """

    @property
    def busy(self) -> bool:
        """Whether a read, write or flush is under way."""
        return False

    def when_idle(self, action: Callable[[], None]) -> None:
        """Calls *action* when nothing is under way any more: now, or when the last operation ends."""
        action()

    @abstractmethod
    def close(self) -> None:
        """Closes; operations that are under way keep the file open until they end."""


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
        """Raises SMBError ACCESS_DENIED when whoever acts now may not get to the root, through all folders above it."""

    @abstractmethod
    def security_descriptor(self, resolved: Resolved) -> bytes | None:
        """The stored descriptor (as `Handle.security_descriptor`) of the file that was found: `open` opens
        this very file, whatever its name has become meanwhile.
        """

    @abstractmethod
    def parent(self, resolved: Resolved) -> tuple[bytes | None, FileStat]:
        """Stored descriptor and metadata of the directory that has the name, or would get it: `create`,
        `rename` and `link` add the name to this very directory. OBJECT_NAME_NOT_FOUND when the name is
        another file's there by now.
        """

    @abstractmethod
    def open(self, resolved: Resolved, intent: OpenIntent) -> Handle:
        """Opens what exists: the very file that *resolved* tells of; OBJECT_NAME_NOT_FOUND when it has
        vanished.
        """

    @abstractmethod
    def create(
        self, resolved: Resolved, *, directory: bool, intent: OpenIntent, attributes: int, mode: int
    ) -> Handle:
        """Creates exclusively (OBJECT_NAME_COLLISION when somebody was faster) with DOS *attributes* and Unix
        *mode*; for a stream of an existing file, creates the stream."""

    @abstractmethod
    def rename(self, handle: Handle, target: Resolved, *, replace: bool) -> None:
        """Renames the handle's file to target.path (case-only renames included); OBJECT_NAME_COLLISION when
        it exists and not *replace*. Updates handle.path. For a stream handle renames the stream.
        """

    @abstractmethod
    def link(self, handle: Handle, target: Resolved, *, replace: bool) -> None:
        """Makes another hard link to the handle's file."""

    @abstractmethod
    def remove(self, handle: Handle) -> None:
        """Unlinks the handle's name if it still names this very file (else nothing); a directory must be
        empty (DIRECTORY_NOT_EMPTY); for a stream handle removes the stream.
        """

    @abstractmethod
    def check_removable(self, handle: Handle) -> None:
        """Raises SMBError when `remove` would be refused by the system, as far as that can be known before:
        ACCESS_DENIED, CANNOT_DELETE, MEDIA_WRITE_PROTECTED.
        """

    @abstractmethod
    def is_empty(self, handle: Handle) -> bool:
        """Whether a directory has no entries (veto files count as entries)."""

    @abstractmethod
    def volume(self, handle: Handle) -> VolumeInfo:
        """The volume that the handle's file lies on: below the share's root there may be several."""

    @abstractmethod
    def serial_number(self, handle: Handle) -> int:
        """The serial number of that volume, the same as in `VolumeInfo`, without asking for the rest."""

    @abstractmethod
    def close(self) -> None: ...
