"""The snapshot for people: tables like those of smbstatus, from the JSON of the control socket."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from frevo.text import one_line

#: More rows than this are counted, not shown.
ROWS_MAX = 10_000
#: Columns that are not broken into lines on a narrow terminal.
_WHOLE = frozenset({"Session", "Dialect", "Via", "Protection", "Since", "Access", "Sharing"})


def render(snapshot: Mapping[str, Any]) -> Group:
    """Tables of sessions, connected shares and open files."""
    return Group(
        *_heading(snapshot),
        _sessions(snapshot),
        Text(),
        *_tls(snapshot),
        *_rdma(snapshot),
        _shares(snapshot),
        Text(),
        _files(snapshot),
    )


def show(snapshot: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the tables."""
    (console or Console(highlight=False)).print(render(snapshot))


def _heading(snapshot: Mapping[str, Any]) -> list[Text]:
    own = _mapping(snapshot, "frevo")
    words = [f"frevo {_text(snapshot.get('version'))}"]
    if own.get("pid"):
        words.append(f"process {_text(own['pid'])}")
    words += [f"{name} {_text(own[name])}" for name in ("engine", "listening") if own.get(name)]
    if snapshot.get("smb_conf"):
        words.append(_text(snapshot["smb_conf"]))
    own_lines = [*_certificates(own), *_datagrams(own), *_direct(own)]
    own_lines += [*_read_path(own), *_write_path(own), *_fast_path(own)]
    return [Text(", ".join(words)), *own_lines, Text()]


def _certificates(own: Mapping[str, Any]) -> list[Text]:
    """A line for each certificate of the server, in yellow if something is wrong with it."""
    lines = []
    for item in own.get("certificates") or ():
        warning = _text(item.get("warning") or "")
        words = [
            f"certificate {_text(item.get('subject'))}",
            f"SHA-256 {_text(item.get('sha256'))}",
            warning or f"valid until {_moment(item.get('expiration_time'))}",
        ]
        lines.append(Text(", ".join(words), style="yellow" if warning else ""))
    return lines


def _datagrams(own: Mapping[str, Any]) -> list[Text]:
    """A line about QUIC, once a datagram has come."""
    counters = _mapping(own, "statistics")
    if not counters.get("quic_datagrams_received"):
        return []
    words = ("datagrams received", "datagrams sent", "datagrams lost", "handshakes failed", "retries")
    counts = (f"{_text(counters.get('quic_' + word.replace(' ', '_')))} {word}" for word in words)
    return [Text("QUIC: " + ", ".join(counts))]


def _direct(own: Mapping[str, Any]) -> list[Text]:
    """A line about SMB Direct, once data have moved by RDMA or a connection may have some moved."""
    counters = _mapping(own, "statistics")
    sent, received = (counters.get(f"rdma_bytes_{way}") or 0 for way in ("sent", "received"))
    if not sent and not received:
        return []
    return [Text(f"SMB Direct: {_text(sent)} bytes sent and {_text(received)} received by RDMA")]


def _read_path(own: Mapping[str, Any]) -> list[Text]:
    """A line about how large responses are sent: the way that is used, what was sent in each, and why not otherwise."""
    if not own.get("read_path"):
        return []
    counters, used = _mapping(own, "statistics"), _text(own["read_path"])
    sent = {
        "async": counters.get("sent_async"),
        "zerocopy": counters.get("sent_zero_copy"),
        "splice": counters.get("sent_spliced"),
    }
    words = [f"large responses: {used}", _bytes_by_way("sent", counters.get("bytes_sent"), sent)]
    if copied := counters.get("sent_zero_copy_copied"):
        words.append(f"{_text(copied)} copied after all")
    return [Text(", ".join(words)), *_splicing(counters), _reasons(own, "unused_read_paths")]


def _write_path(own: Mapping[str, Any]) -> list[Text]:
    """The same about how the data of large WRITEs reach their file."""
    if not own.get("write_path"):
        return []
    counters, used = _mapping(own, "statistics"), _text(own["write_path"])
    written = {"fixed": counters.get("written_fixed"), "splice": counters.get("written_spliced")}
    words = [f"large writes: {used}", _bytes_by_way("written", counters.get("fast_write_bytes"), written)]
    return [Text(", ".join(words)), _reasons(own, "unused_write_paths")]


def _bytes_by_way(done: str, total: Any, ways: Mapping[str, Any]) -> str:
    """How many bytes went in each of *ways*, and the rest of *total*, small ones among them, in none of them: plain."""
    counts = {name: count for name, count in ways.items() if isinstance(count, int) and count > 0}
    rest = max(0, total - sum(counts.values())) if isinstance(total, int) else 0
    return f"bytes {done}: " + ", ".join(f"{count} by {name}" for name, count in (*counts.items(), ("plain", rest)))


def _reasons(own: Mapping[str, Any], name: str) -> Text:
    """Why the other ways are not used."""
    unused = _mapping(own, name)
    return Text("; ".join(f"{_text(way)}: {_text(reason)}" for way, reason in unused.items()), style="dim")


def _fast_path(own: Mapping[str, Any]) -> list[Text]:
    """A line about what the data plane answers by itself, and why not more."""
    state = _mapping(own, "fast_path")
    if not state:
        return []
    if not state.get("enabled"):
        return [Text("fast path: off (frevo:fast path = no)")]
    counters = _mapping(own, "statistics")
    words = [f"fast path: {_text(state.get('opens') or 0)} open files"]
    words += [f"{_text(counters.get('fast_' + word) or 0)} {word}" for word in ("reads", "writes", "flushes")]
    for hold in state.get("held") or ():
        files = " and ".join(f"{name} of {hold[name]}" for name in ("reads", "writes") if hold.get(name))
        words.append(f"no {files} files: {_text(hold.get('reason'))}")
    return [Text(", ".join(words))]


#: Why READs were copied that were to be spliced: by counter of the statistics.
_UNSPLICED = {
    "unspliced_near": "for clients that may be on this host",
    "unspliced_writer": "of files that somebody writes to",
    "unspliced_denied": "without the right to leases (the server is not root or the owner)",
    "unspliced_unable": "on file systems without leases",
    "unspliced_short": "for want of leases or descriptors",
}


def _splicing(counters: Mapping[str, Any]) -> list[Text]:
    """A line about leases once there was one, or was to be one, and why READs were copied all the same."""
    words = [
        f"{_text(counters[name])} READs copied {why}"
        for name, why in _UNSPLICED.items()
        if counters.get(name)
    ]
    if counters.get("leases") or counters.get("leases_broken"):
        counts = {
            "leases": "on files",
            "leases_broken": "given up for writers",
            "cut_for_writers": "clients cut off for writers",
        }
        words = [f"{_text(counters.get(name) or 0)} {of}" for name, of in counts.items()] + words
    return [Text("leases: " + ", ".join(words))] if words else []


def _sessions(snapshot: Mapping[str, Any]) -> RenderableType:
    table = _table("Sessions", "Session", "User", "Client", "Dialect", "Via", "Protection", "Since")
    rows = list(_mapping(snapshot, "sessions").values())
    for item in rows[:ROWS_MAX]:
        channels = list(_mapping(item, "channels").values())
        transports = ", ".join(dict.fromkeys(_text(channel.get("transport")) for channel in channels))
        _row(
            table,
            item.get("session_id"),
            item.get("username"),
            _text(item.get("hostname") or item.get("remote_machine"))
            .removeprefix("ipv4:")
            .removeprefix("ipv6:"),
            item.get("session_dialect"),
            transports or "-",
            _protection(item, tls=bool(channels) and all(channel.get("tls") for channel in channels)),
            _moment(item.get("creation_time")),
        )
    return _finish(table, len(rows))


def _tls(snapshot: Mapping[str, Any]) -> list[RenderableType]:
    """The connections with TLS; nothing if there are none."""
    table = _table("TLS", "Session", "Client", "Via", "Cipher", "Called as", "Client certificate", "SHA-256")
    count = 0
    for item in _mapping(snapshot, "sessions").values():
        for channel in _mapping(item, "channels").values():
            if not (tls := _mapping(channel, "tls")):
                continue
            count += 1
            if count > ROWS_MAX:
                continue
            certificate = _mapping(tls, "client_certificate")
            _row(
                table,
                item.get("session_id"),
                _text(channel.get("remote_address")).removeprefix("ipv4:").removeprefix("ipv6:"),
                _text(channel.get("transport")) + (" (kernel)" if tls.get("driver") == "kernel" else ""),
                tls.get("cipher"),
                tls.get("server_name") or "-",
                certificate.get("subject") or "-",
                certificate.get("sha256") or "-",
            )
    return [_finish(table, count), Text()] if count else []


def _rdma(snapshot: Mapping[str, Any]) -> list[RenderableType]:
    """The connections by SMB Direct; nothing if there are none."""
    columns = ("Session", "Client", "Provider", "Credits", "Message", "Sent by RDMA", "Received", "Registered")
    table = _table("SMB Direct", *columns)
    count = 0
    for item in _mapping(snapshot, "sessions").values():
        for channel in _mapping(item, "channels").values():
            if not (rdma := _mapping(channel, "rdma")):
                continue
            count += 1
            if count > ROWS_MAX:
                continue
            _row(
                table,
                item.get("session_id"),
                _text(channel.get("remote_address")).removeprefix("ipv4:").removeprefix("ipv6:"),
                _text(rdma.get("provider")) + ("" if rdma.get("direct") else " (data in messages)"),
                f"{_text(rdma.get('send_credits'))} / {_text(rdma.get('receive_credits'))}",
                rdma.get("message_size"),
                rdma.get("bytes_sent"),
                rdma.get("bytes_received"),
                rdma.get("registrations"),
            )
    return [_finish(table, count), Text()] if count else []


def _shares(snapshot: Mapping[str, Any]) -> RenderableType:
    table = _table("Connected shares", "Share", "Session", "Client", "Protection", "Metadata", "Since")
    rows = list(_mapping(snapshot, "tcons").values())
    for item in rows[:ROWS_MAX]:
        _row(
            table,
            item.get("service"),
            item.get("session_id"),
            item.get("machine"),
            _protection(item),
            _calls(item),
            _moment(item.get("connected_at")),
        )
    return _finish(table, len(rows))


def _files(snapshot: Mapping[str, Any]) -> RenderableType:
    columns = ("File", "Share's folder", "User id", "Access", "Sharing", "Caching", "Fast path", "Since")
    table = _table("Open files", *columns)
    count = 0
    for file in _mapping(snapshot, "open_files").values():
        for item in _mapping(file, "opens").values():
            count += 1
            if count > ROWS_MAX:
                continue
            _row(
                table,
                file.get("filename") or ".",
                file.get("service_path"),
                item.get("uid"),
                _mapping(item, "access_mask").get("text") or "-",
                _mapping(item, "sharemode").get("text") or "-",
                _mapping(item, "caching").get("text") or "-",
                _fast(_mapping(item, "fast_path")),
                _moment(item.get("opened_at")),
            )
    return _finish(table, count)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, title_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in _WHOLE)
    return table


def _row(table: Table, *cells: object) -> None:
    table.add_row(*(Text(_text(cell)) for cell in cells))


def _finish(table: Table, count: int) -> RenderableType:
    if count == 0:
        return Text(f"{table.title}: none")
    if count > ROWS_MAX:
        table.caption = f"{count - ROWS_MAX} more"
        table.caption_justify = "left"
    return table


def _protection(item: Mapping[str, Any], *, tls: bool = False) -> str:
    """`encrypted`, `signed` or `-`, with `partly` if not everything is, and `TLS`; the algorithms are in the JSON."""
    words = []
    for name, word in (("encryption", "encrypted"), ("signing", "signed")):
        degree = _text(_mapping(item, name).get("degree") or "none")
        if degree != "none":
            words.append(word if degree == "full" else f"partly {word}")
            break
    return ", ".join(words + ["TLS"] * tls) or "-"


def _calls(item: Mapping[str, Any]) -> str:
    """`in loop` or `in threads`, and why."""
    calls = _mapping(item, "calls")
    return f"in {_text(calls.get('where'))}: {_text(calls.get('reason'))}" if calls else "-"


def _fast(item: Mapping[str, Any]) -> str:
    """`yes`, `-` for an open that was not read or written yet, or what is kept out and why."""
    if not item.get("attached"):
        return "-"
    held = []
    for hold in item.get("held") or ():
        kept = " or ".join(name for name in ("reads", "writes") if hold.get(name))
        held.append(f"no {kept}: {_text(hold.get('reason'))}")
    return "; ".join(held) or "yes"


def _moment(text: object) -> str:
    """The time of day, with the date if it is not today."""
    date, _, clock = _text(text).partition(".")[0].partition("T")
    return clock if date == time.strftime("%Y-%m-%d") and clock else f"{date} {clock}".strip()


def _text(value: object) -> str:
    """*value* without control characters: names come from clients, and this goes to a terminal."""
    return one_line(str("-" if value is None else value))


def _mapping(item: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = item.get(name)
    return value if isinstance(value, Mapping) else {}
