"""Samba's VFS modules by name: those that frevo does not need, lacks, or must not ignore."""

from __future__ import annotations

from collections.abc import Iterable

from frevo.config.unsupported import Effect

#: frevo does the same itself, or the module is about Samba's own workings.
_DONE = """
acl_xattr aio_fork aio_linux aio_posix aio_pthread aio_ratelimit cacheprime commit default dirsort fake_dfq io_uring
posix_acl preopen prealloc readahead skel_opaque skel_transparent streams_xattr syncops time_audit linux_xfs_sgid
fileid zfs_core zfs_space zfs_fsrvp tmprotect notify_fam fam
"""

#: Module to what is missing. Ignoring it gives nobody more access.
_MISSING = {
    "afsacl": "AFS is not served",
    "aixacl": "AIX ACLs are not shown",
    "aixacl2": "AIX ACLs are not shown",
    "audit": "there is no audit log",
    "btrfs": "Btrfs snapshots and compression are not offered",
    "cap": "names in CAP encoding are shown as they are on disk",
    "catia": "names are shown as they are on disk; no characters are mapped",
    "ceph_snapshots": "snapshots are not offered as previous versions",
    "crossrename": "renames between file systems are refused",
    "default_quota": "only the file system's quotas apply",
    "dfs_samba4": "there are no DFS links",
    "error_inject": "no errors are injected",
    "expand_msdfs": "there are no DFS links",
    "extd_audit": "there is no audit log",
    "fake_perms": "permissions are shown as they are",
    "fruit": "Apple's extensions are not offered; streams are stored as streams_xattr stores them",
    "full_audit": "there is no audit log",
    "glusterfs_fuse": "finding a name in another case searches the whole folder",
    "gpfs": "GPFS features are not offered",
    "ixnas": "the kernel enforces ZFS ACLs",
    "media_harmony": "names are shown as they are on disk",
    "netatalk": "AppleDouble files are shown as they are on disk",
    "offline": "archived files are not marked as offline",
    "recycle": "deleted files are gone: there is no recycle bin",
    "shadow_copy": "snapshots are not offered as previous versions",
    "shadow_copy2": "snapshots are not offered as previous versions",
    "shadow_copy_zfs": "snapshots are not offered as previous versions",
    "shadow_copy_test": "snapshots are not offered as previous versions",
    "shell_snap": "clients cannot create snapshots",
    "snapper": "snapshots are not offered as previous versions",
    "solarisacl": "Solaris ACLs are not shown",
    "hpuxacl": "HP-UX ACLs are not shown",
    "tru64acl": "Tru64 ACLs are not shown",
    "streams_depot": "streams are stored in user.DosStream.*; those in the depot are not shown",
    "tsmsm": "archived files are not marked as offline",
    "winmsa": "the kernel enforces ZFS ACLs",
    "widelinks": "symbolic links that lead out of the share need `wide links`",
    "zfsacl": "the kernel enforces ZFS ACLs",
}

#: Module to why it must not be ignored.
_GUARDS = {
    "acl_tdb": "it stores ACLs in a database that frevo does not read",
    "ceph": "`path` would be a folder in Ceph, not on this machine",
    "ceph_new": "`path` would be a folder in Ceph, not on this machine",
    "ceph_rgw": "`path` would be a folder in Ceph, not on this machine",
    "fake_acls": "it stores ACLs in attributes that frevo does not read",
    "glusterfs": "`path` would be a folder in a Gluster volume, not on this machine",
    "nfs4acl_xattr": "it stores ACLs in attributes that frevo does not read",
    "nfs4_acls": "it stores ACLs in attributes that frevo does not read",
    "posix_eadb": "it stores ACLs in a database that frevo does not read",
    "readonly": "it makes the share read-only: use `read only = yes`",
    "scannedonly": "it lets clients read scanned files only",
    "unityed_media": "it shows users their own files only",
    "virusfilter": "it scans files for viruses",
    "worm": "it makes files read-only after some time",
    "xattr_tdb": "it stores ACLs in a database that frevo does not read",
}
_DONE_NAMES = frozenset(_DONE.split())

#: Module to (effect, reason), for the reference page.
MODULES: dict[str, tuple[Effect, str]] = {
    **dict.fromkeys(sorted(_DONE_NAMES), (Effect.NOTHING, "frevo does the same or does not need it")),
    **{name: (Effect.LESS, reason) for name, reason in _MISSING.items()},
    **{name: (Effect.MORE, reason) for name, reason in _GUARDS.items()},
}

_SCANNERS = ("vscan", "antivir", "svf-", "clam")


def judge(names: Iterable[str]) -> list[tuple[str, Effect, str]]:
    """(module, effect, reason) of each of *names* that needs a message."""
    found = []
    for name in names:
        module = name.partition(":")[0].lower().removesuffix(".so")
        if module.startswith(_SCANNERS):
            found.append((name, Effect.MORE, "it scans files for viruses"))
            continue
        effect, reason = MODULES.get(
            module, (Effect.MORE, "frevo does not know which access this module restricts")
        )
        if effect is not Effect.NOTHING:
            found.append((name, effect, reason))
    return found
