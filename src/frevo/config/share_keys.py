"""Every key of a share, in one table: the fields of ShareConfig."""

from __future__ import annotations

import operator

import msgspec

from frevo.config.choices import (
    AUTO_YES_NO,
    CSC_POLICY,
    ENCRYPTION,
    INHERIT_OWNER,
    CachePolicy,
    EncryptionPolicy,
    InheritOwner,
    Tristate,
)
from frevo.config.hosts import HostList, Hosts
from frevo.config.key import keys_of, setting
from frevo.config.types import Boolean, Integer, Mode, Path, Patterns, Text, Words


class ShareConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One share as it is configured; frozen, handed down, replaced as a whole on reload.

    A share key in [global] is the default of every share; `Config.globals.defaults` holds those.
    """

    name: str = ""

    path: str = setting(
        Path(),
        "",
        "The folder to share. %-macros are expanded when a client connects.",
        synonyms=("directory",),
    )
    comment: str = setting(
        Text(), "", "The description that clients show next to the share's name.", lenient=True
    )
    available: bool = setting(
        Boolean(),
        True,
        "Whether clients can connect to the share at all.",
        synonyms=("-valid",),
        guards=operator.not_,
    )
    browseable: bool = setting(
        Boolean(), True, "Whether the share appears in the list of shares.", synonyms=("browsable",)
    )
    read_only: bool = setting(
        Boolean(),
        True,
        "Whether clients can only read. `write list` makes exceptions.",
        inverses=("writeable", "writable", "write ok"),
        guards=bool,
    )
    guest_ok: bool = setting(
        Boolean(),
        False,
        "Whether guests (see `map to guest`) may connect.",
        synonyms=("public",),
        guards=operator.not_,
    )
    guest_only: bool = setting(
        Boolean(),
        False,
        "With `guest ok`, treats every user of this share as a guest.",
        synonyms=("only guest",),
    )
    valid_users: tuple[str, ...] = setting(
        Words(),
        (),
        "The users and @groups that may connect. An empty list means everyone.",
        default_text="(everyone)",
        guards=bool,
    )
    invalid_users: tuple[str, ...] = setting(
        Words(),
        (),
        "Users and @groups that may not connect, even if `valid users` names them.",
        default_text="(nobody)",
        guards=bool,
    )
    read_list: tuple[str, ...] = setting(
        Words(), (), "Users and @groups that can only read, whatever `read only` says.", guards=bool
    )
    write_list: tuple[str, ...] = setting(
        Words(), (), "Users and @groups that can write, whatever `read only` and `read list` say."
    )
    hosts_allow: HostList = setting(
        Hosts(allows=True),
        HostList(),
        "The machines that may connect: addresses, `150.203.`, `10.0.0.0/8`, names, `.domain`, `ALL`, "
        "`EXCEPT`. Without `hosts deny`, all other machines are refused. 127.0.0.1 is always allowed "
        "unless it is denied. In [global], this applies to every share.",
        default_text="(everywhere)",
        synonyms=("allow hosts",),
        guards=bool,
    )
    hosts_deny: HostList = setting(
        Hosts(),
        HostList(),
        "The machines that may not connect, unless `hosts allow` names them.",
        default_text="(nowhere)",
        synonyms=("deny hosts",),
        guards=bool,
    )
    admin_users: tuple[str, ...] = setting(
        Words(),
        (),
        "Users and @groups that act as root on this share and bypass all permissions.",
        default_text="(nobody)",
    )
    force_user: str = setting(
        Text(),
        "",
        "The Unix user that everyone acts as on this share.",
        default_text="(their own)",
        guards=bool,
    )
    force_group: str = setting(
        Text(),
        "",
        "The Unix group that everyone acts as on this share, and that new files get. `+group` applies "
        "only to users who are members of it.",
        default_text="(their own)",
        synonyms=("group",),
        guards=bool,
    )
    inherit_owner: InheritOwner = setting(
        INHERIT_OWNER,
        "no",
        "Whether new files belong to the owner of their folder: `windows and unix` (or `yes`), or `unix "
        "only`.",
    )
    create_mask: int = setting(
        Mode(),
        0o744,
        "The permission bits that a new file may have.",
        synonyms=("create mode",),
        guards=lambda mode: mode < 0o777,
    )
    force_create_mode: int = setting(Mode(), 0, "The permission bits that every new file gets.")
    directory_mask: int = setting(
        Mode(),
        0o755,
        "The permission bits that a new folder may have.",
        synonyms=("directory mode",),
        guards=lambda mode: mode < 0o777,
    )
    force_directory_mode: int = setting(Mode(), 0, "The permission bits that every new folder gets.")
    hide_dot_files: bool = setting(
        Boolean(), True, "Whether names that start with a dot get the hidden attribute."
    )
    veto_files: tuple[str, ...] = setting(
        Patterns(),
        (),
        "Names that clients cannot list, open or create.",
        guards=bool,
    )
    inherit_permissions: bool = setting(
        Boolean(),
        False,
        "Whether new folders get the permission bits of the folder they are in, and new files its read "
        "and write bits. Overrides the masks.",
    )
    inherit_acls: bool = setting(
        Boolean(),
        False,
        "Whether new files get the default POSIX ACL of the folder they are in. Overrides the masks.",
    )
    delete_veto_files: bool = setting(
        Boolean(),
        False,
        "Whether a folder that contains only vetoed names can be deleted. The vetoed files, up to 4096, "
        "are deleted with it.",
    )
    hide_files: tuple[str, ...] = setting(
        Patterns(), (), "Names that get the hidden attribute, in addition to those that start with a dot."
    )
    hide_special_files: bool = setting(
        Boolean(), False, "Whether listings leave out sockets, devices and pipes.", guards=bool
    )
    hide_unreadable: bool = setting(
        Boolean(),
        False,
        "Whether listings leave out files and folders that the user cannot read. This checks every file.",
        guards=bool,
    )
    hide_unwriteable_files: bool = setting(
        Boolean(),
        False,
        "Whether listings leave out files (not folders) that the user cannot write. This checks every file.",
        guards=bool,
    )
    follow_symlinks: bool = setting(
        Boolean(),
        True,
        "Whether clients can follow symbolic links on disk. With `no`, clients do not see them.",
        guards=operator.not_,
    )
    wide_links: bool = setting(
        Boolean(),
        False,
        "Whether symbolic links can lead out of the share. DANGEROUS: anyone who can make a link in the "
        "share (through a log-on or another service) gives all its clients access to whatever it points "
        "to, as far as the permissions of the acting Unix user reach.",
    )
    access_based_share_enum: bool = setting(
        Boolean(), False, "Whether the share is listed only for users who may connect to it.", guards=bool
    )
    csc_policy: CachePolicy = setting(
        CSC_POLICY,
        "manual",
        "What clients may cache for offline use: files that their users choose (`manual`), files that "
        "were opened (`documents`), also programs (`programs`), or nothing (`disable`).",
    )
    max_connections: int = setting(
        Integer(0, 1_000_000),
        0,
        "The most clients that can use the share at a time. 0 means no limit.",
        unit="clients",
        guards=bool,
    )
    server_smb_encrypt: EncryptionPolicy = setting(
        ENCRYPTION,
        "if_required",
        "SMB encryption: `off`, `if_required` (when the client asks for it), `desired` (when the client "
        "can), or `required`. In [global], this also applies to sessions. For a single share, only "
        "`required` has a further effect.",
        synonyms=("smb encrypt",),
        guards=lambda policy: policy in ("desired", "required"),
    )
    volume: str = setting(
        Text(), "", "The volume label that clients show.", default_text="(the share's name)", lenient=True
    )
    frevo_inline_metadata: Tristate = setting(
        AUTO_YES_NO,
        "auto",
        "Whether calls to the share's file system are made in the event loop, which is fastest, but blocks "
        "every client while a call waits. With `no` they are made in threads of their own. `auto` means "
        "`no` for every file system that is not on a local disk or in memory (FUSE, NFS, SMB, 9p, Ceph, "
        "cluster file systems, automounters), and for local disks as long as they are slow. "
        "`frevo status` shows the choice.",
    )


SHARE_KEYS = keys_of(ShareConfig, "share")
