"""Security descriptors of files: derived from Unix bits, inherited from the parent, set and queried in part.

References: [MS-DTYP] 2.5.3.4 (inheritance), [MS-SMB2] 3.3.5.20.3 and 3.3.5.21.3 (SECURITY_INFORMATION).
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from frevo.auth.access import Token
from frevo.wire.dtyp import (
    ACE,
    ACL,
    CREATOR_GROUP,
    CREATOR_OWNER,
    EVERYONE,
    FILE_ALL_ACCESS,
    FILE_GENERIC_EXECUTE,
    FILE_GENERIC_READ,
    FILE_GENERIC_WRITE,
    SID,
    AceFlags,
    FileAccess,
    SecurityDescriptor,
    SecurityDescriptorControl,
    map_generic,
)

_OI = AceFlags.OBJECT_INHERIT.value
_CI = AceFlags.CONTAINER_INHERIT.value
_NP = AceFlags.NO_PROPAGATE_INHERIT.value
_IO = AceFlags.INHERIT_ONLY.value
_INHERITED = AceFlags.INHERITED.value
_INHERIT_FLAGS = _OI | _CI | _NP | _IO

_DACL_PRESENT = SecurityDescriptorControl.DACL_PRESENT.value
_DACL_AUTO_INHERITED = SecurityDescriptorControl.DACL_AUTO_INHERITED.value
_DACL_PROTECTED = SecurityDescriptorControl.DACL_PROTECTED.value
_DACL_DEFAULTED = SecurityDescriptorControl.DACL_DEFAULTED.value
_DACL_BITS = _DACL_PRESENT | _DACL_AUTO_INHERITED | _DACL_PROTECTED | _DACL_DEFAULTED
_SACL_PRESENT = SecurityDescriptorControl.SACL_PRESENT.value
_SACL_AUTO_INHERITED = SecurityDescriptorControl.SACL_AUTO_INHERITED.value
_SACL_PROTECTED = SecurityDescriptorControl.SACL_PROTECTED.value
_SACL_BITS = _SACL_PRESENT | _SACL_AUTO_INHERITED | _SACL_PROTECTED


class SecurityInformation:
    """The parts of a descriptor that a request covers ([MS-DTYP] 2.4.7)."""

    OWNER = 0x00000001
    GROUP = 0x00000002
    DACL = 0x00000004
    SACL = 0x00000008
    LABEL = 0x00000010
    ATTRIBUTE = 0x00000020
    SCOPE = 0x00000040
    BACKUP = 0x00010000
    UNPROTECTED_SACL = 0x10000000
    UNPROTECTED_DACL = 0x20000000
    PROTECTED_SACL = 0x40000000
    PROTECTED_DACL = 0x80000000


def set_access(information: int) -> int:
    """The rights that an open needs for SET_INFO of these parts ([MS-SMB2] 3.3.5.21.3)."""
    needed, parts = 0, SecurityInformation
    if information & (parts.OWNER | parts.GROUP | parts.LABEL | parts.BACKUP):
        needed |= FileAccess.WRITE_OWNER.value
    if information & (parts.DACL | parts.ATTRIBUTE | parts.BACKUP):
        needed |= FileAccess.WRITE_DAC.value
    if information & (parts.SACL | parts.SCOPE | parts.BACKUP):
        needed |= FileAccess.ACCESS_SYSTEM_SECURITY.value
    return needed


def _mode_access(bits: int, *, is_directory: bool) -> int:
    """Windows rights for three Unix bits.

    Reading a file includes executing it, because Unix bits rarely distinguish.
    """
    access = 0
    if bits & 4:
        access |= FILE_GENERIC_READ | (0 if is_directory else FILE_GENERIC_EXECUTE)
    if bits & 2:
        access |= FILE_GENERIC_WRITE | (FileAccess.DELETE_CHILD.value if is_directory else 0)
    if bits & 1:
        access |= FILE_GENERIC_EXECUTE
    return access


#: What the owner may always do, whatever the mode: the operating system lets the owner change it.
_OWNER_ALWAYS = (
    FileAccess.READ_CONTROL.value
    | FileAccess.WRITE_DAC.value
    | FileAccess.WRITE_OWNER.value
    | FileAccess.DELETE.value
    | FileAccess.READ_ATTRIBUTES.value
    | FileAccess.WRITE_ATTRIBUTES.value
    | FileAccess.SYNCHRONIZE.value
)
#: Deleting is a right on the folder in Unix; the file's own entry may grant it whenever it can be written.
_DELETE_WITH_WRITE = FileAccess.DELETE.value


def default_sd(mode: int, *, is_directory: bool, owner: SID, group: SID) -> SecurityDescriptor:
    """The descriptor of a file without a stored one: owner, group and Everyone according to *mode*."""
    shares = ((owner, mode >> 6 & 7), (group, mode >> 3 & 7), (EVERYONE, mode & 7))
    aces = []
    for sid, bits in shares:
        access = _mode_access(bits, is_directory=is_directory)
        if sid is owner:
            access |= FILE_ALL_ACCESS if bits & 6 == 6 else _OWNER_ALWAYS
        elif bits & 2:
            access |= _DELETE_WITH_WRITE
        if access:
            aces.append(ACE(mask=access, sid=sid))
    return SecurityDescriptor(owner=owner, group=group, dacl=ACL(aces), control=_DACL_PRESENT)


def inherit_sd(
    parent: SecurityDescriptor | None, creator: Token, *, is_directory: bool
) -> SecurityDescriptor | None:
    """The descriptor of a new file in *parent*; None if there is nothing to inherit.

    Owner and group are the creator's; SACL entries are not inherited. Reference: [MS-DTYP] 2.5.3.4.
    """
    if parent is None or parent.dacl is None:
        return None
    # The mark of inheritance is for parents that take part in automatic inheritance themselves.
    mark = _INHERITED if parent.control & _DACL_AUTO_INHERITED else 0
    aces = [
        replace(child, flags=child.flags & ~_INHERITED | mark)
        for ace in parent.dacl.aces
        for child in _inherited(ace, creator.user, creator.group, is_directory=is_directory)
    ]
    if not aces:
        return None
    control = _DACL_PRESENT | (parent.control & _DACL_AUTO_INHERITED)
    return SecurityDescriptor(
        owner=creator.user, group=creator.group, dacl=ACL(aces, parent.dacl.revision), control=control
    )


def _inherited(ace: ACE, owner: SID, group: SID, *, is_directory: bool) -> Iterator[ACE]:
    """What a child inherits from one of its parent's entries: none, one, or an effective and an inherit-only one."""
    wanted = _CI if is_directory else _OI
    passed_on = is_directory and not ace.flags & _NP
    if not ace.flags & wanted:
        if passed_on and ace.flags & _OI:  # for files further down only
            yield replace(ace, flags=(ace.flags & ~_NP) | _IO | _INHERITED)
        return
    base_flags = (ace.flags & ~_INHERIT_FLAGS) | _INHERITED
    sid = owner if ace.sid == CREATOR_OWNER else group if ace.sid == CREATOR_GROUP else ace.sid
    effective = replace(ace, flags=base_flags, mask=map_generic(ace.mask), sid=sid)
    if not passed_on:
        yield effective
    elif effective.sid == ace.sid and effective.mask == ace.mask:
        yield replace(effective, flags=base_flags | (ace.flags & (_OI | _CI)))
    else:
        yield effective
        yield replace(ace, flags=base_flags | (ace.flags & (_OI | _CI)) | _IO)


def new_sd(
    parent: SecurityDescriptor | None,
    supplied: SecurityDescriptor | None,
    creator: Token,
    *,
    is_directory: bool,
) -> SecurityDescriptor | None:
    """The descriptor to store for a new file: the client's (SecD context) combined with the inherited one.

    None: store nothing, `default_sd` describes the file. Reference: [MS-DTYP] 2.5.3.4.1.
    """
    inherited = inherit_sd(parent, creator, is_directory=is_directory)
    if supplied is None:
        return inherited
    base = inherited or SecurityDescriptor(owner=creator.user, group=creator.group)
    result = SecurityDescriptor(
        owner=supplied.owner or base.owner,
        group=supplied.group or base.group,
        dacl=base.dacl,
        control=base.control,
    )
    if supplied.control & _DACL_PRESENT or supplied.dacl is not None:
        result.dacl = _mapped(supplied.dacl)
        result.control = (supplied.control & _DACL_BITS) | _DACL_PRESENT
    if supplied.sacl is not None:
        result.sacl = supplied.sacl
        result.control |= _SACL_PRESENT
    return result


def _mapped(acl: ACL | None) -> ACL | None:
    """*acl* with generic rights mapped in effective entries; inherit-only ones keep them for the children."""
    if acl is None:
        return None
    aces = [
        ace if ace.flags & _IO or map_generic(ace.mask) == ace.mask
        else replace(ace, mask=map_generic(ace.mask))
        for ace in acl.aces
    ]  # fmt: skip
    return ACL(aces, acl.revision)


def merge_sd(old: SecurityDescriptor, new: SecurityDescriptor, information: int) -> SecurityDescriptor:
    """*old* with the parts named in *information* replaced by those of *new* (SET_INFO security)."""
    result = replace(old)
    if information & SecurityInformation.OWNER and new.owner is not None:
        result.owner = new.owner
    if information & SecurityInformation.GROUP and new.group is not None:
        result.group = new.group
    if information & SecurityInformation.DACL:
        result.dacl = _mapped(new.dacl)
        result.control = (old.control & ~_DACL_BITS) | _DACL_PRESENT | _dacl_control(new.control, information)
    if information & SecurityInformation.SACL:
        result.sacl = new.sacl
        result.control = (result.control & ~_SACL_BITS) | (new.control & _SACL_BITS)
    return result


def _dacl_control(control: int, information: int) -> int:
    """The DACL's own bits after a change: protection as requested, AUTO_INHERITED if the client computed it."""
    bits = control & _DACL_PROTECTED
    if information & SecurityInformation.PROTECTED_DACL:
        bits = _DACL_PROTECTED
    if information & SecurityInformation.UNPROTECTED_DACL:
        bits = 0
    required = SecurityDescriptorControl.DACL_COMPUTED_INHERITANCE_REQUIRED.value
    if control & required and control & _DACL_AUTO_INHERITED:
        bits |= _DACL_AUTO_INHERITED
    return bits


def select_sd(sd: SecurityDescriptor, information: int) -> SecurityDescriptor:
    """The parts of *sd* named in *information* (QUERY_INFO security)."""
    dacl = bool(information & SecurityInformation.DACL)
    sacl = bool(information & SecurityInformation.SACL)
    control = sd.control & ~(_DACL_BITS | _SACL_BITS)
    control |= sd.control & ((_DACL_BITS if dacl else 0) | (_SACL_BITS if sacl else 0))
    return SecurityDescriptor(
        owner=sd.owner if information & SecurityInformation.OWNER else None,
        group=sd.group if information & SecurityInformation.GROUP else None,
        dacl=sd.dacl if dacl else None,
        sacl=sd.sacl if sacl else None,
        control=control,
        rm_control=sd.rm_control,
    )
