"""Samba's VFS modules by name: what frevo does anyway, what is missing, and what must not be passed over."""

from __future__ import annotations

from collections.abc import Iterable

from frevo.config.unsupported import Effect

#: frevo does what these do, or they are about how Samba itself works.
_DONE = """
acl_xattr aio_fork aio_linux aio_posix aio_pthread aio_ratelimit cacheprime commit default dirsort fake_dfq io_uring
posix_acl preopen prealloc readahead skel_opaque skel_transparent streams_xattr syncops time_audit linux_xfs_sgid
fileid zfs_core zfs_space zfs_fsrvp tmprotect notify_fam fam
"""

#: Module to what is missing; nothing more is reachable without it.
_MISSING = {
    "afsacl": "AFS is not served",
    "aixacl": "ACLs of AIX are not shown",
    "aixacl2": "ACLs of AIX are not shown",
    "audit": "nothing is written to an audit log",
    "btrfs": "Btrfs snapshots and compression are not offered",
    "cap": "names in CAP's encoding are shown as they are on disk",
    "catia": "names are shown as they are on disk, without a mapping of letters",
    "ceph_snapshots": "snapshots are not offered as previous versions",
    "crossrename": "renames between file systems are refused",
    "default_quota": "quotas are the file system's own",
    "dfs_samba4": "there are no DFS links",
    "error_inject": "no errors are made up",
    "expand_msdfs": "there are no DFS links",
    "extd_audit": "nothing is written to an audit log",
    "fake_perms": "permissions are shown as they are",
    "fruit": "Apple's extensions are not offered; streams are kept as streams_xattr keeps them",
    "full_audit": "nothing is written to an audit log",
    "glusterfs_fuse": "names in another case are looked for in the whole folder",
    "gpfs": "what is special to GPFS is not offered",
    "ixnas": "ACLs of ZFS are left to the kernel",
    "media_harmony": "names are shown as they are on disk",
    "netatalk": "AppleDouble files are shown as they are on disk",
    "offline": "files in archives are not marked as offline",
    "recycle": "a deleted file is gone: there is no recycle bin",
    "shadow_copy": "snapshots are not offered as previous versions",
    "shadow_copy2": "snapshots are not offered as previous versions",
    "shadow_copy_zfs": "snapshots are not offered as previous versions",
    "shadow_copy_test": "snapshots are not offered as previous versions",
    "shell_snap": "snapshots are not made on request",
    "snapper": "snapshots are not offered as previous versions",
    "solarisacl": "ACLs of Solaris are not shown",
    "hpuxacl": "ACLs of HP-UX are not shown",
    "tru64acl": "ACLs of Tru64 are not shown",
    "streams_depot": "streams are kept in user.DosStream.*; those in the depot are not seen",
    "tsmsm": "files in archives are not marked as offline",
    "winmsa": "ACLs of ZFS are left to the kernel",
    "widelinks": "symbolic links that lead out of the share need `wide links`",
    "zfsacl": "ACLs of ZFS are left to the kernel",
}

#: Module to what would be lost: who names one of these relies on it.
_GUARDS = {
    "acl_tdb": "its ACLs are in a database that frevo does not read",
    "ceph": "`path` is a folder in Ceph, not on this machine",
    "ceph_new": "`path` is a folder in Ceph, not on this machine",
    "ceph_rgw": "`path` is a folder in Ceph, not on this machine",
    "fake_acls": "its ACLs are in attributes that frevo does not read",
    "glusterfs": "`path` is a folder in a Gluster volume, not on this machine",
    "nfs4acl_xattr": "its ACLs are in attributes that frevo does not read",
    "nfs4_acls": "its ACLs are in attributes that frevo does not read",
    "posix_eadb": "its ACLs are in a database that frevo does not read",
    "readonly": "nothing could be written: say `read only = yes`",
    "scannedonly": "only files that were scanned could be read",
    "unityed_media": "users would see only their own files",
    "virusfilter": "files would be scanned for viruses",
    "worm": "files could not be changed after a time",
    "xattr_tdb": "its ACLs are in a database that frevo does not read",
}
_DONE_NAMES = frozenset(_DONE.split())

#: Module to (effect, reason), for the reference page.
MODULES: dict[str, tuple[Effect, str]] = {
    **dict.fromkeys(sorted(_DONE_NAMES), (Effect.NOTHING, "frevo does so anyway, or needs no such thing")),
    **{name: (Effect.LESS, reason) for name, reason in _MISSING.items()},
    **{name: (Effect.MORE, reason) for name, reason in _GUARDS.items()},
}

_SCANNERS = ("vscan", "antivir", "svf-", "clam")


def judge(names: Iterable[str]) -> list[tuple[str, Effect, str]]:
    """(module, effect, reason) of each of *names* that deserves a word."""
    found = []
    for name in names:
        module = name.partition(":")[0].lower().removesuffix(".so")
        if module.startswith(_SCANNERS):
            found.append((name, Effect.MORE, "files would be scanned for viruses"))
            continue
        effect, reason = MODULES.get(module, (Effect.MORE, "frevo does not know what this module keeps away"))
        if effect is not Effect.NOTHING:
            found.append((name, effect, reason))
    return found
