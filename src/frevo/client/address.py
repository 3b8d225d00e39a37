"""smb:// URLs and //host/share names: which server, which share, which path in it, over which transport."""

from __future__ import annotations

import errno
from urllib.parse import quote, unquote, urlsplit

import msgspec

from frevo.records import Redacted
from frevo.transport.traits import TRANSPORTS
from frevo.wire.codec import encode_utf16
from frevo.wire.dtyp.filetime import from_unix_s

#: UTF-16 bytes; lengths on the wire have 16 bits.
_PATH_BYTES_MAX = 65520
#: Scheme of a URL to the transport that it demands; "": any.
SCHEMES = {"smb": "", **{one.scheme: one.name for one in TRANSPORTS.values() if one.scheme}}
_BEGINNINGS = (*(f"{scheme}://" for scheme in SCHEMES), "//", "\\\\")


def is_url(text: str) -> bool:
    """Whether *text* is a place on a server and not a local file's name."""
    return text.startswith(_BEGINNINGS)


class Location(Redacted, msgspec.Struct, frozen=True):
    """The location of something on a server. *path* has slashes, but no leading one; port 0 is the default of the
    transport. transport: the only one to use; empty: any."""

    HIDDEN = ("password",)

    host: str
    share: str = ""
    path: str = ""
    port: int = 0
    user: str | None = None
    domain: str | None = None
    password: str | None = None
    transport: str = ""

    @classmethod
    def parse(cls, text: str) -> Location:
        r"""`smb://[domain;][user[:password]@]host[:port]/share/path`, or `//host/share/path` with either slash.

        `smb+quic://` (`smb+tcp`, `smb+nbt`) demands that transport. ValueError says what is wrong.
        """
        if text[:2] in ("//", "\\\\"):
            text = "smb:" + text.replace("\\", "/")
        # "?" and "#" are ordinary characters here: these URLs have no query and no fragment.
        parts = urlsplit(text.replace("?", "%3F").replace("#", "%23"))
        if parts.netloc.rpartition("@")[2].count(":") > 1 and "]" not in parts.netloc:
            raise ValueError(f"{text!r}: put an IPv6 address in brackets, as in smb://[fe80::1%25eth0]/share")
        host = parts.hostname
        if parts.scheme not in SCHEMES or not host:
            known = ", ".join(scheme for scheme in SCHEMES if scheme != "smb")
            raise ValueError(f"{text!r} is not smb://host/share/path (or {known})")
        try:
            port = parts.port or 0
        except ValueError:
            raise ValueError(f"{text!r}: the port must be a number from 1 to 65535") from None
        share, _, path = parts.path.lstrip("/").partition("/")
        domain, _, user = (parts.username or "").rpartition(";")
        return cls(
            host.replace("%25", "%", 1) if ":" in host else host,  # the zone of fe80::1%eth0 ([RFC6874] 2)
            unquote(share),
            unquote(path).strip("/"),
            port,
            unquote(user) or None,
            unquote(domain) or None,
            None if parts.password is None else unquote(parts.password),
            SCHEMES[parts.scheme],
        )

    @property
    def scheme(self) -> str:
        """The URL's scheme."""
        return TRANSPORTS[self.transport].scheme if self.transport else "smb"

    @property
    def known_port(self) -> int:
        """The port as far as the URL says, also by its transport; 0 when it does not."""
        return self.port or (TRANSPORTS[self.transport].port if self.transport else 0)

    @property
    def authority(self) -> str:
        """host[:port], an IPv6 address in brackets."""
        host = f"[{self.host.replace('%', '%25', 1)}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port else host

    def __str__(self) -> str:
        path = f"/{quote(self.path)}" if self.path else ""
        return f"{self.scheme}://{self.authority}/{quote(self.share)}{path}"


def wire_path(path: str) -> str:
    """The form of *path* (slashes) on the wire: relative, with backslashes, without "." parts.

    ".." is resolved here, as the protocol does not have it; ValueError if it leads outside the share, or for a NUL.
    OSError (ENAMETOOLONG) if it does not fit into a request.
    """
    if "\0" in path:
        raise ValueError("the path contains a NUL")
    parts: list[str] = []
    for part in path.replace("\\", "/").split("/"):
        if part == "..":
            if not parts:
                raise ValueError(f"{path!r} is outside the share")
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    name = "\\".join(parts)
    if len(name) > _PATH_BYTES_MAX // 4 and len(encode_utf16(name)) > _PATH_BYTES_MAX:
        raise OSError(errno.ENAMETOOLONG, "the path is longer than SMB allows", f"{path[:60]}…")
    return name


def in_snapshot(name: str) -> tuple[str, int]:
    r"""A path on the wire without the `@GMT-YYYY.MM.DD-HH.MM.SS` that it begins with, and that time as a FILETIME.

    0 when it begins with none. [MS-SMB2] 2.2.13.2.7.
    """
    from datetime import UTC, datetime  # few need it

    token, _, rest = name.partition("\\")
    try:
        moment = datetime.strptime(token, "@GMT-%Y.%m.%d-%H.%M.%S").replace(tzinfo=UTC)
    except ValueError:
        return name, 0
    filetime = from_unix_s(int(moment.timestamp()))
    return (rest, filetime) if filetime > 0 else (name, 0)


def join(directory: str, name: str) -> str:
    """ "directory/name", or just the name in the root."""
    return f"{directory.rstrip('/')}/{name}" if directory.strip("/") else name
