"""The local file system as a VFS backend."""

from __future__ import annotations

import asyncio
import errno
import os
import stat as stat_module
from typing import Final

from frevo.aio.syscalls import FileStatus, statx
from frevo.errors import SMBError
from frevo.vfs.attributes import STORED, identity_of, is_special
from frevo.vfs.base import Backend, FileStat, Handle, OpenIntent, Resolved, VolumeInfo
from frevo.vfs.call_runner import CallRunner
from frevo.vfs.deleted_ids import DeletedIds
from frevo.vfs.dirnames import is_empty, link_at, linked_beside, remove_at, rename_at
from frevo.vfs.guard import FolderGuard
from frevo.vfs.handle import LocalHandle, after_unlink, descriptor_of
from frevo.vfs.lookup import (
    READ_FLAGS,
    Found,
    Held,
    LocalResolved,
    Lookup,
    as_local,
    name_not_found,
    open_held,
    path_not_found,
)
from frevo.vfs.metadata import FileMetadata
from frevo.vfs.names import VetoFiles, parse_path
from frevo.vfs.newmodes import mode_from_parent
from frevo.vfs.options import LocalOptions as LocalOptions
from frevo.vfs.owners import give_to_owner_of
from frevo.vfs.removable import check_removable, may_change
from frevo.vfs.security import may_have_descriptor, read_descriptor
from frevo.vfs.shared_folder import SharedFolder
from frevo.vfs.streamhandle import StreamHandle
from frevo.vfs.streams import create_stream, find_xattr, real_name
from frevo.vfs.system import proc_path
from frevo.vfs.vetoed import all_vetoed, remove_vetoed
from frevo.vfs.volume import Volumes, keeps_xattrs, read_volume
from frevo.vfs.watch import WatchHub
from frevo.wire.erref import NTStatus

_OPEN_FLAGS: Final = os.O_NONBLOCK | os.O_NOCTTY
_GONE: Final = (errno.ENOENT, errno.ENOTDIR, errno.EXDEV, errno.ELOOP)
#: How often a new file is made again because its id was another file's a moment ago.
_NEW_IDS_MAX: Final = 16


class LocalBackend(Backend):
    """A directory of this machine and everything below it, and nothing else."""

    def __init__(self, root: str, *, options: LocalOptions | None = None) -> None:
        self.options = options or LocalOptions()
        self.veto = VetoFiles(self.options.veto_files)
        self.hide = VetoFiles(self.options.hide_files)
        self.folder = SharedFolder(
            root,
            follow_symlinks=self.options.follow_symlinks,
            wide_links=self.options.wide_links,
            acted=self.options.acted,
        )
        self.guard = FolderGuard(self.options.guard, self.folder.fd) if self.options.guard else None
        self.xattrs = keeps_xattrs(self.folder.fd)
        self._volumes = Volumes(self.options.volume_label or self.folder.root.rpartition("/")[2] or "root")
        self._lookup = Lookup(self.folder, self.options, veto=self.veto)
        self._hub: WatchHub | None = None
        self._deleted = DeletedIds()
        self._runner: CallRunner | None = None

    def check_reachable(self) -> None:
        self.folder.check_reachable()

    # --- finding ---

    def resolve(self, wire_path: str) -> Resolved:
        wire = parse_path(wire_path)
        found = self._lookup.find(wire)
        requested = wire.stream or (wire.parts[-1] if wire.parts else "")
        if not isinstance(found, Found):
            if self.guard is not None and self.guard.hides(statx(found.directory.fd)):
                raise path_not_found()
            return LocalResolved(
                found.parent, found.name, None, wire.stream, requested=requested, directory=found.directory
            )
        held = found.held
        if self.guard is not None and self.guard.hides(found.status):
            raise name_not_found()
        metadata = FileMetadata(held.fd, readable=held.readable, xattrs=self.xattrs)
        stat = metadata.stat(hidden=self.is_hidden_name(found.name), status=found.status)
        if wire.explicit and stat.is_directory:
            raise SMBError(NTStatus.FILE_IS_A_DIRECTORY, "::$DATA of a directory")
        if wire.directory and not stat.is_directory:
            raise SMBError(NTStatus.NOT_A_DIRECTORY, "::$INDEX_ALLOCATION of a file")
        resolved = LocalResolved(
            found.parent, found.name, stat, wire.stream, False, requested, found.target, held
        )
        resolved.xattr_names = metadata.names
        if wire.stream:
            self._resolve_stream(resolved, metadata)
        return resolved

    def _resolve_stream(self, resolved: LocalResolved, metadata: FileMetadata) -> None:
        xattr = find_xattr(metadata.target, resolved.stream) if self.xattrs else None
        if xattr is not None:
            resolved.stream_exists = True
            resolved.stream_xattr = xattr
            resolved.stream = real_name(xattr)

    def is_hidden_name(self, path: str) -> bool:
        """Whether the real path's last name is hidden by `hide dot files` or `hide files`."""
        name = path.rpartition("/")[2]
        if name[:1] == "." and self.options.hide_dot_files:
            return True
        return self.hide.any and self.hide.hides(name)

    def stat_real(self, path: str, *, hidden: bool) -> FileStat:
        """Metadata of the real *path*, following links. OSError; SMBError if it is outside."""
        try:
            held, status = open_held(self.folder, path)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            held, status = open_held(self.folder, self.folder.canonical(path))
        if self.guard is not None and self.guard.hides(status):
            raise name_not_found()
        metadata = FileMetadata(held.fd, readable=held.readable, xattrs=self.xattrs)
        return metadata.stat(hidden=hidden, status=status)

    # --- opening ---

    def security_descriptor(self, resolved: Resolved) -> bytes | None:
        local = as_local(resolved)
        if not self.xattrs or not may_have_descriptor(local.xattr_names):
            return None
        held = self._found(local)
        return read_descriptor(held.fd if held.readable else proc_path(held.fd))

    def _found(self, local: LocalResolved) -> Held:
        """The file that *local* found. OBJECT_NAME_NOT_FOUND if its name belongs to another file by now."""
        if local.held is None:
            if local.stat is None:
                raise name_not_found()
            try:
                held, status = open_held(self.folder, local.target)
            except OSError as error:
                if error.errno in _GONE:
                    raise name_not_found("it has vanished") from error
                raise
            if identity_of(status.dev_major, status.dev_minor, status.ino) != local.stat.identity:
                raise name_not_found("the name is another file's by now")
            local.held = held
        return local.held

    def open(self, resolved: Resolved, intent: OpenIntent) -> Handle:
        local = as_local(resolved)
        if local.stat is None or not local.exists:
            raise name_not_found()
        held = self._found(local)
        if local.stream:
            local.held = None
            return self._stream_handle(local, held)
        if is_special(local.stat.mode) and intent:
            raise SMBError(NTStatus.ACCESS_DENIED, "neither a file nor a directory")
        writes = intent & OpenIntent.WRITE and not local.stat.is_directory
        if writes or (intent and not held.readable):
            held = self._open_again(held, intent if writes else OpenIntent.READ)
        elif intent:
            os.set_blocking(held.fd, True)
        local.held = None
        return self._handle(local, held, intent)

    def _open_again(self, held: Held, intent: OpenIntent) -> Held:
        """Open the very file that is *held* with *intent*; not by name, which may belong to another file by now."""
        access = (
            os.O_RDONLY
            if not intent & OpenIntent.WRITE
            else os.O_RDWR
            if intent & OpenIntent.READ
            else os.O_WRONLY
        )
        again = Held(self.folder.open_again(held.fd, access | _OPEN_FLAGS), readable=True)
        if not os.fstat(again.fd).st_nlink:
            raise name_not_found("it has vanished")
        os.set_blocking(again.fd, True)
        return again

    def _handle(
        self, local: LocalResolved, held: Held, intent: OpenIntent, status: FileStatus | None = None
    ) -> LocalHandle:
        if status is None and local.stat is not None:
            identity, is_directory = local.stat.identity, local.stat.is_directory
        else:
            status = status or statx(held.fd)
            identity = identity_of(status.dev_major, status.dev_minor, status.ino)
            is_directory = stat_module.S_ISDIR(status.mode)
        return LocalHandle(
            self,
            held.take(),
            path=local.path,
            identity=identity,
            is_directory=is_directory,
            intent=intent,
            readable=held.readable,
        )

    def _stream_handle(self, local: LocalResolved, held: Held) -> StreamHandle:
        status = statx(held.fd)
        return StreamHandle(
            self,
            held.take(),
            path=local.path,
            identity=identity_of(status.dev_major, status.dev_minor, status.ino),
            readable=held.readable,
            xattr=local.stream_xattr,
        )

    # --- creating ---

    def create(
        self, resolved: Resolved, *, directory: bool, intent: OpenIntent, attributes: int, mode: int
    ) -> Handle:
        self._check_writable()
        local = as_local(resolved)
        if local.exists:
            raise SMBError(NTStatus.OBJECT_NAME_COLLISION)
        if self.options.inherit_permissions or self.options.inherit_acls:
            mode = mode_from_parent(self.folder, local.parent, self.options, mode, directory=directory)
        if local.stream:
            return self._create_stream(local, attributes, mode)
        try:
            held = self._make_directory(local, mode) if directory else self._make_file(local, intent, mode)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise path_not_found() from error
        except FileExistsError as error:
            raise SMBError(NTStatus.OBJECT_NAME_COLLISION, "created by someone else meanwhile") from error
        status = statx(held.fd)
        if self._is_old_id(status):
            held, status = self._made_again(local, held, directory, intent, mode)
        if self.options.inherit_owner:
            give_to_owner_of(self._directory(local), held)
        handle = self._handle(local, held, intent, status)
        if attributes & STORED:
            try:
                handle.metadata.store_first(attributes, status)
            except OSError:  # a file that cannot keep its attributes exists all the same
                pass
        return handle

    def _is_old_id(self, status: FileStatus) -> bool:
        return (os.makedev(status.dev_major, status.dev_minor), status.file_id) in self._deleted

    def _made_again(
        self, local: LocalResolved, first: Held, directory: bool, intent: OpenIntent, mode: int
    ) -> tuple[Held, FileStatus]:
        """Create the file again until its ID is not that of a deleted file; the earlier ones keep their numbers
        meanwhile."""
        kept = [first]
        for _ in range(_NEW_IDS_MAX):
            remove_at(self._directory(local), local.name, directory=directory)
            held = self._make_directory(local, mode) if directory else self._make_file(local, intent, mode)
            status = statx(held.fd)
            if not self._is_old_id(status):
                break
            kept.append(held)
        return held, status

    def _make_file(self, local: LocalResolved, intent: OpenIntent, mode: int) -> Held:
        access = os.O_WRONLY if intent == OpenIntent.WRITE else os.O_RDWR
        flags = access | os.O_CREAT | os.O_EXCL | os.O_NOCTTY
        return Held(self.folder.open_in(self._directory(local), local.name, flags, mode & 0o7777), True)

    def _make_directory(self, local: LocalResolved, mode: int) -> Held:
        parent, flags = self._directory(local), os.O_DIRECTORY | os.O_NOFOLLOW
        os.mkdir(local.name, mode & 0o7777, dir_fd=parent)
        try:
            return Held(self.folder.open_in(parent, local.name, READ_FLAGS | flags), True)
        except PermissionError:  # made with a mode that does not let its owner read it
            return Held(self.folder.open_in(parent, local.name, os.O_PATH | flags), False)

    def _create_stream(self, local: LocalResolved, attributes: int, mode: int) -> StreamHandle:
        if not self.xattrs:
            raise SMBError(NTStatus.OBJECT_NAME_INVALID, "the file system does not support streams")
        if local.stat is None:
            held = self._make_file(local, OpenIntent.READ, mode)
            if self.options.inherit_owner:
                give_to_owner_of(self._directory(local), held)
            if attributes & STORED:
                metadata = FileMetadata(held.fd, readable=True, xattrs=self.xattrs)
                metadata.set_dos(attributes, None)
        else:
            held = self._found(local)
            local.held = None
        target = held.fd if held.readable else proc_path(held.fd)
        local.stream_xattr = create_stream(target, local.stream)
        return self._stream_handle(local, held)

    # --- changing names ---

    def rename(self, handle: Handle, target: Resolved, *, replace: bool) -> None:
        self._check_writable()
        if isinstance(handle, StreamHandle):
            handle.rename(target.requested or target.stream, replace_existing=replace)
            return
        if not isinstance(handle, LocalHandle) or not handle.path or not target.path:
            raise SMBError(NTStatus.ACCESS_DENIED, "the share's root cannot be renamed or replaced")
        local, name = as_local(target), target.name
        same = target.stat is not None and target.stat.identity == handle.identity
        if same and target.path == handle.path:
            name = target.requested or name
            if name == target.name:
                return
        elif target.stat is not None and not replace:
            raise SMBError(NTStatus.OBJECT_NAME_COLLISION)
        self._rename(handle, local, name, replace=replace, other_link=same and target.path != handle.path)
        handle.path = f"{target.parent}/{name}" if target.parent else name
        if target.stat is not None and not same and target.stat.link_count == 1:
            self._deleted.add(target.stat.identity.device, target.stat.file_id)

    def _rename(
        self, handle: Handle, target: LocalResolved, name: str, *, replace: bool, other_link: bool
    ) -> None:
        if handle.is_directory and self.guard is not None:
            self.guard.check_stays(handle.identity)
        old_parent, _, old_name = handle.path.rpartition("/")
        old_fd = self._open_parent(old_parent)
        try:
            if not self._still_names(old_fd, old_name, handle):
                raise name_not_found("the name is another file's by now")
            if other_link:  # both names are this file: rename(2) would do nothing
                os.unlink(old_name, dir_fd=old_fd)
                return
            new_fd = self._directory(target)
            # Replaces only a file that was checked, never one that has appeared since.
            replace = replace and target.stat is not None
            if replace and not self._names(new_fd, target):
                raise SMBError(NTStatus.OBJECT_NAME_COLLISION, "another file has taken the name")
            try:
                rename_at(old_fd, old_name, new_fd, name, replace=replace)
            except FileExistsError as error:
                raise SMBError(NTStatus.OBJECT_NAME_COLLISION, "created by someone else meanwhile") from error
        finally:
            os.close(old_fd)

    def _open_parent(self, path: str) -> int:
        try:
            return self.folder.open_directory(path)
        except OSError as error:
            if error.errno in _GONE:
                raise path_not_found() from error
            raise

    def _directory(self, local: LocalResolved) -> int:
        """The directory that contains the name of *local* or would contain it; the same one at every call."""
        if local.directory is None:
            local.directory = Held(self._open_parent(local.parent), readable=False)
        return local.directory.fd

    def parent(self, resolved: Resolved) -> tuple[bytes | None, FileStat]:
        local = as_local(resolved)
        fd = self._directory(local)
        if local.stat is not None and local.name and not self._names(fd, local):
            raise name_not_found("the name is another file's by now")
        metadata = FileMetadata(fd, readable=False, xattrs=self.xattrs)
        stored = read_descriptor(metadata.target) if self.xattrs else None
        return stored, metadata.stat(hidden=self.is_hidden_name(local.parent))

    def _names(self, directory_fd: int, local: LocalResolved) -> bool:
        """Whether the name in the directory still refers to the resolved file, or is a link."""
        assert local.stat is not None
        try:
            status = self.folder.link_status(directory_fd, local.name)
        except (FileNotFoundError, NotADirectoryError):
            return False
        found = identity_of(status.dev_major, status.dev_minor, status.ino)
        return found == local.stat.identity or stat_module.S_ISLNK(status.mode)

    def _still_names(self, parent_fd: int, name: str, handle: Handle) -> bool:
        """Whether the name in the directory refers to the handle's file, or is a link to it."""
        try:
            status = self.folder.link_status(parent_fd, name)
            if stat_module.S_ISLNK(status.mode):
                stat = self.stat_real(handle.path, hidden=False)
                return stat.identity == handle.identity._replace(stream="")
        except (FileNotFoundError, NotADirectoryError):
            return False
        device = os.makedev(status.dev_major, status.dev_minor)
        return (device, status.ino) == handle.identity[:2]

    def link(self, handle: Handle, target: Resolved, *, replace: bool) -> None:
        self._check_writable()
        if not isinstance(handle, LocalHandle) or handle.is_directory or not target.name:
            raise SMBError(NTStatus.FILE_IS_A_DIRECTORY, "only a file can have another link")
        if target.stat is not None and not replace:
            raise SMBError(NTStatus.OBJECT_NAME_COLLISION)
        if target.stat is not None and target.stat.identity == handle.identity:
            return
        source, local = proc_path(handle.descriptor()), as_local(target)
        parent = self._directory(local)
        if target.stat is None:
            link_at(source, target.name, parent)
            return
        with linked_beside(source, parent) as temporary:
            if not self._names(parent, local):
                raise SMBError(NTStatus.OBJECT_NAME_COLLISION, "another file has taken the name")
            os.rename(temporary, target.name, src_dir_fd=parent, dst_dir_fd=parent)
        if target.stat.link_count == 1:
            self._deleted.add(target.stat.identity.device, target.stat.file_id)

    def remove(self, handle: Handle) -> None:
        self._check_writable()
        if isinstance(handle, StreamHandle):
            handle.remove()
            return
        if not handle.path:
            raise SMBError(NTStatus.ACCESS_DENIED, "the share's root cannot be removed")
        parent, _, name = handle.path.rpartition("/")
        try:
            fd = self.folder.open_directory(parent)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            if self._still_names(fd, name, handle):
                directory = handle.is_directory and not self._lookup.is_link(fd, name)
                if directory and self.options.delete_veto_files:
                    if self.guard is not None:
                        self.guard.check_stays(handle.identity)
                    remove_vetoed(descriptor_of(handle), self.veto)
                remove_at(fd, name, directory=directory)
                self._note_deleted(after_unlink(handle))
        finally:
            os.close(fd)

    def check_removable(self, handle: Handle) -> None:
        if self.options.read_only:
            raise SMBError(NTStatus.CANNOT_DELETE, "the share is read only")
        if isinstance(handle, StreamHandle):
            if not may_change(handle.descriptor(), os.W_OK):
                raise SMBError(NTStatus.ACCESS_DENIED, "the file of the stream may not be written")
            return
        if not handle.path:
            raise SMBError(NTStatus.CANNOT_DELETE, "the share's root stays")
        parent, _, name = handle.path.rpartition("/")
        fd = self._open_parent(parent)
        try:
            if self._still_names(fd, name, handle):
                check_removable(fd, self.folder.link_status(fd, name))
        finally:
            os.close(fd)

    def _note_deleted(self, stat: FileStat) -> None:
        """If the last name of a file was removed, do not reuse its ID for a while."""
        if stat.is_directory or not stat.link_count:
            self._deleted.add(stat.identity.device, stat.file_id)

    def is_empty(self, handle: Handle) -> bool:
        fd = descriptor_of(handle)
        return is_empty(fd) or (self.options.delete_veto_files and all_vetoed(fd, self.veto))

    def volume(self, handle: Handle) -> VolumeInfo:
        fd = descriptor_of(handle)
        return read_volume(
            fd,
            label=self._volumes.label,
            serial_number=self.serial_number(handle),
            creation_time=self.stat_real("", hidden=False).creation_time,
            xattrs=self.xattrs and keeps_xattrs(fd),
            read_only=self.options.read_only,
        )

    def serial_number(self, handle: Handle) -> int:
        return self._volumes.serial_number(descriptor_of(handle), handle.identity.device)

    def watch_hub(self) -> WatchHub:
        """The one inotify instance of this tree."""
        if self._hub is None:
            loop = asyncio.get_running_loop() if self._runner is None else self._runner.loop
            self._hub = WatchHub(loop, veto=self.veto, guard=self.guard, runner=self._runner)
        return self._hub

    def moved_to(self, runner: CallRunner | None, names_inline: int | None = None) -> None:
        """From now on *runner* calls it, or None: the loop. Look-ups read *names_inline* names at once; None: all."""
        self._runner = runner
        self._lookup.read_inline(names_inline)
        if self._hub is not None:
            self._hub.runner = runner

    def _check_writable(self) -> None:
        if self.options.read_only:
            raise SMBError(NTStatus.MEDIA_WRITE_PROTECTED, "the share is read only")

    def close(self) -> None:
        if self._hub is not None:
            self._hub.close()
            self._hub = None
        self._lookup.close()
        self.folder.close()
