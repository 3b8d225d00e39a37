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
        "The folder that is shared. %-macros are expanded when a client connects.",
        synonyms=("directory",),
    )
    comment: str = setting(
        Text(), "", "The description that clients show beside the share's name.", lenient=True
    )
    available: bool = setting(
        Boolean(),
        True,
        "Whether clients can connect to the share at all.",
        synonyms=("-valid",),
        guards=operator.not_,
    )
    browseable: bool = setting(
        Boolean(), True, "Whether the share is listed when a client browses.", synonyms=("browsable",)
    )
    read_only: bool = setting(
        Boolean(),
        True,
        "Whether clients may only read; `write list` makes exceptions.",
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
        "With `guest ok`: every user is treated as a guest on this share.",
        synonyms=("only guest",),
    )
    valid_users: tuple[str, ...] = setting(
        Words(),
        (),
        "Who may connect: users, @groups; empty means every user.",
        default_text="(everyone)",
        guards=bool,
    )
    invalid_users: tuple[str, ...] = setting(
        Words(),
        (),
        "Who may not connect, even when `valid users` names them.",
        default_text="(nobody)",
        guards=bool,
    )
    read_list: tuple[str, ...] = setting(
        Words(), (), "Users and @groups that may only read, whatever `read only` says.", guards=bool
    )
    write_list: tuple[str, ...] = setting(
        Words(), (), "Users and @groups that may write, whatever `read only` and `read list` say."
    )
    hosts_allow: HostList = setting(
        Hosts(),
        HostList(),
        "Machines that may connect: addresses, `150.203.`, `10.0.0.0/8`, names, `.domain`, `ALL`, `EXCEPT`. Alone it "
        "keeps all others out; 127.0.0.1 comes in unless it is denied. In [global] it holds for every share.",
        default_text="(everywhere)",
        synonyms=("allow hosts",),
        guards=bool,
    )
    hosts_deny: HostList = setting(
        Hosts(),
        HostList(),
        "Machines that may not connect, unless `hosts allow` names them.",
        default_text="(nowhere)",
        synonyms=("deny hosts",),
        guards=bool,
    )
    admin_users: tuple[str, ...] = setting(
        Words(),
        (),
        "Users and @groups that act on this share as root, past every permission.",
        default_text="(nobody)",
    )
    force_user: str = setting(
        Text(),
        "",
        "The Unix user as whom everybody acts on this share.",
        default_text="(their own)",
        guards=bool,
    )
    force_group: str = setting(
        Text(),
        "",
        "The Unix group of everybody on this share and of what they make; `+group`: of its members only.",
        default_text="(their own)",
        synonyms=("group",),
        guards=bool,
    )
    inherit_owner: InheritOwner = setting(
        INHERIT_OWNER,
        "no",
        "Whether new files belong to the owner of their folder: `windows and unix` (or `yes`), `unix only`.",
    )
    create_mask: int = setting(
        Mode(),
        0o744,
        "Permission bits that a new file may have.",
        synonyms=("create mode",),
        guards=lambda mode: mode < 0o777,
    )
    force_create_mode: int = setting(Mode(), 0, "Permission bits that every new file gets.")
    directory_mask: int = setting(
        Mode(),
        0o755,
        "Permission bits that a new folder may have.",
        synonyms=("directory mode",),
        guards=lambda mode: mode < 0o777,
    )
    force_directory_mode: int = setting(Mode(), 0, "Permission bits that every new folder gets.")
    hide_dot_files: bool = setting(
        Boolean(), True, "Whether names that start with a dot carry the hidden attribute."
    )
    veto_files: tuple[str, ...] = setting(
        Patterns(),
        (),
        "Names that do not exist for clients: not listed, not opened, not created.",
        guards=bool,
    )
    inherit_permissions: bool = setting(
        Boolean(),
        False,
        "Whether new folders get the permission bits of their folder, new files those to read and write, whatever the "
        "masks say.",
    )
    inherit_acls: bool = setting(
        Boolean(), False, "Whether a folder's default POSIX ACL rules new files, whatever the masks say."
    )
    delete_veto_files: bool = setting(
        Boolean(),
        False,
        "Whether a folder that holds vetoed names only can be removed; they go with it, up to 4096.",
    )
    hide_files: tuple[str, ...] = setting(
        Patterns(), (), "Names that carry the hidden attribute, beside those with a dot."
    )
    hide_special_files: bool = setting(
        Boolean(), False, "Whether sockets, devices and pipes are left out of listings.", guards=bool
    )
    hide_unreadable: bool = setting(
        Boolean(),
        False,
        "Whether listings leave out what the user may not read. Costs a look at every file.",
        guards=bool,
    )
    hide_unwriteable_files: bool = setting(
        Boolean(),
        False,
        "Whether listings leave out files (not folders) that the user may not write. Costs a look at every file.",
        guards=bool,
    )
    follow_symlinks: bool = setting(
        Boolean(),
        True,
        "Whether symbolic links on disk lead somewhere; with `no` they do not exist for clients.",
        guards=operator.not_,
    )
    wide_links: bool = setting(
        Boolean(),
        False,
        "Whether symbolic links may lead out of the share. DANGEROUS: who can make a link there (a log-on, another "
        "service) gives every client of the share what it leads to, as far as the Unix user who acts may.",
    )
    access_based_share_enum: bool = setting(
        Boolean(), False, "Whether the share is listed only for those who may connect to it.", guards=bool
    )
    csc_policy: CachePolicy = setting(
        CSC_POLICY,
        "manual",
        "What clients may keep for work without the server: what their users choose (`manual`), what was opened "
        "(`documents`), programs too (`programs`), nothing (`disable`).",
    )
    max_connections: int = setting(
        Integer(0, 1_000_000),
        0,
        "How many clients may use the share at once; 0 means no limit.",
        unit="clients",
        guards=bool,
    )
    server_smb_encrypt: EncryptionPolicy = setting(
        ENCRYPTION,
        "if_required",
        "SMB encryption: `off`, `if_required` (when the client asks), `desired` (whenever the client can), "
        "`required`. In [global] it also rules the sessions; in a share only `required` adds to it.",
        synonyms=("smb encrypt",),
        guards=lambda policy: policy in ("desired", "required"),
    )
    volume: str = setting(
        Text(), "", "The volume label that clients show.", default_text="(the share's name)", lenient=True
    )
    frevo_slow_file_system: Tristate = setting(
        AUTO_YES_NO,
        "auto",
        "Whether calls to the share's file system may take long or never return: then they run in threads of "
        "their own, and the server goes on. `auto` means every file system that is not on a disk of this machine "
        "or in its memory: FUSE, NFS, SMB, 9p, Ceph, clusters, automounters.",
    )


SHARE_KEYS = keys_of(ShareConfig, "share")
