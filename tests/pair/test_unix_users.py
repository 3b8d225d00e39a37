"""Sessions that act on disk as Unix users: what the kernel allows, as whom each thing is done, who is refused.

The users are numbers without an account on this machine: the kernel needs no more. Becoming them needs root.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from peers.target import PASSWORD, USER

from frevo._native import UnixIdentity
from frevo.aio.acting import ActingError, acting_as, as_identity
from frevo.auth.private_files import read_private
from frevo.auth.sids import unix_user_sid
from frevo.server.core import unix_users
from frevo.server.core.unix_users import UnixUser
from frevo.server.lifecycle import drop_connection
from frevo.vfs.security import read_descriptor, write_descriptor
from frevo.wire.dtyp import ACE, ACL, EVERYONE, FILE_ALL_ACCESS, FileAccess, SecurityDescriptor
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FileBasicInformation, FileDispositionInformation, FileInfoClass
from frevo.wire.smb2 import Command, CreateDisposition, CreateOptions, CreateResponse, FlushRequest
from pair.client import Client
from pair.file_calls import folder, names, put
from pair.machine import OTHER_PASSWORD, OTHER_USER, Pair
from pair.test_notifying import ask, told

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as other users")

ONE, TWO, GUEST, MEDIA = 71001, 71002, 71003, 71004
STAFF, VIDEO = 71100, 71101
USERS = {
    USER: (ONE, ONE, [ONE, STAFF]),
    OTHER_USER: (TWO, TWO, [TWO]),
    "visitor": (GUEST, GUEST, [GUEST]),
    "media": (MEDIA, MEDIA, [MEDIA, VIDEO]),
    "root": (0, 0, [0]),
}
GROUPS = {"staff": STAFF, "video": VIDEO}
READ, WRITE, DELETE = int(FileAccess.READ_DATA), int(FileAccess.WRITE_DATA), int(FileAccess.DELETE)
MUST_EXIST = int(CreateDisposition.OPEN)
DENIED = NTStatus.ACCESS_DENIED
WIDE = {"read only": "no", "create mask": "0666", "directory mask": "0777"}

Start = Callable[..., Pair]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """start(share settings, global settings) gives a server whose share "share" everybody may write to by mode."""
    monkeypatch.setattr(unix_users, "_look_up", _look_up)
    monkeypatch.setattr(unix_users, "_group", GROUPS.get)
    base = Path(tempfile.mkdtemp(prefix="frevo-users-"))
    base.chmod(0o755)
    made: list[Pair] = []

    def make(share: dict[str, str] | None = None, options: dict[str, str] | None = None) -> Pair:
        settings = {"frevo:unix users": "yes", "guest account": "visitor", **(options or {})}
        made.append(Pair(base, settings, {"share": {**WIDE, **(share or {})}}))
        (base / "shares" / "share").chmod(0o777)
        return made[0]

    yield make
    for pair in made:
        pair.close()
    assert acting_as() is None
    shutil.rmtree(base)


def _look_up(name: str) -> UnixUser | None:
    found = USERS.get(name.lower())
    return None if found is None else UnixUser(name.lower(), UnixIdentity(*found))


def first(pair: Pair) -> Client:
    """A client of user1."""
    return pair.logged_on()


def second(pair: Pair) -> Client:
    """A client of user2."""
    client = pair.connect()
    client.negotiate()
    client.log_on(OTHER_USER, OTHER_PASSWORD)
    client.connect_tree("share")
    return client


def at(pair: Pair, name: str = "") -> Path:
    return pair.root / "share" / name


def made(pair: Pair, name: str, uid: int, mode: int, gid: int | None = None, text: str = "text") -> Path:
    """A file of some user, or with a trailing slash a folder."""
    path = at(pair, name)
    if name.endswith("/"):
        path.mkdir()
    else:
        path.write_text(text)
    os.chown(path, uid, uid if gid is None else gid)
    path.chmod(mode)
    return path


def tried(client: Client, name: str, access: int, **fields: int) -> NTStatus:
    """The status of an open of what exists; it is closed again."""
    reply = client.create(name, desired_access=access, create_disposition=MUST_EXIST, **fields)
    if reply.status == NTStatus.SUCCESS:
        client.close(reply.ok(CreateResponse).file_id)
    return reply.status


@pytest.mark.parametrize(
    ("uid", "gid", "mode", "read", "write"),
    [
        (0, 0, 0o600, False, False),
        (TWO, TWO, 0o600, False, False),
        (TWO, TWO, 0o604, True, False),
        (TWO, STAFF, 0o640, True, False),
        (TWO, STAFF, 0o660, True, True),
        (TWO, VIDEO, 0o660, False, False),
        (ONE, ONE, 0o600, True, True),
        (ONE, ONE, 0o400, True, False),
    ],
)
def test_the_kernel_decides(start: Start, uid: int, gid: int, mode: int, read: bool, write: bool) -> None:
    """Goal: owner, group and others as the mode says, never as root. Method: a file of each kind, read and written."""
    pair = start()
    made(pair, "file", uid, mode, gid)
    client = first(pair)
    assert (tried(client, "file", READ) == NTStatus.SUCCESS) is read
    assert (tried(client, "file", WRITE) == NTStatus.SUCCESS) is write


def test_what_is_made_belongs_to_its_maker(start: Start) -> None:
    """Goal: owner and group of new files and folders, setgid folders pass on their group. Method: two users, stat."""
    pair = start()
    made(pair, "team/", 0, 0o2777, STAFF)
    one, two = first(pair), second(pair)
    one.close(one.open("one"))
    two.close(two.open("two"))
    one.close(folder(one, "folder"))
    one.close(one.open("team\\file"))
    one.close(folder(one, "team\\below"))
    owners = {name: at(pair, name).stat() for name in ("one", "two", "folder", "team/file", "team/below")}
    assert {name: (found.st_uid, found.st_gid) for name, found in owners.items()} == {
        "one": (ONE, ONE), "two": (TWO, TWO), "folder": (ONE, ONE), "team/file": (ONE, STAFF),
        "team/below": (ONE, STAFF),
    }  # fmt: skip
    assert owners["team/below"].st_mode & stat.S_ISGID


def test_folders_above_count(start: Start) -> None:
    """Goal: a home of mode 0700 hides everything below it, also from caches that another user has filled. Method: the
    owner opens a file in any spelling, then another user."""
    pair = start()
    made(pair, "home/", ONE, 0o700)
    made(pair, "home/File", ONE, 0o666)
    made(pair, "dark/", ONE, 0o711)
    made(pair, "dark/Secret", ONE, 0o666)
    one, two = first(pair), second(pair)
    for name in ("home\\File", "HOME\\fILE", "dark\\SECRET"):
        assert tried(one, name, READ) == NTStatus.SUCCESS
    for name in ("home\\File", "HOME\\fILE", "home\\none"):
        assert tried(two, name, READ) == DENIED, name
    assert tried(two, "dark\\Secret", READ) == NTStatus.SUCCESS
    # A user who may not list a folder does not learn the spelling of its names from another's listing.
    assert tried(two, "dark\\SECRET", READ) == NTStatus.OBJECT_NAME_NOT_FOUND
    assert (
        two.create("home", desired_access=READ, create_options=CreateOptions.DIRECTORY_FILE).status == DENIED
    )


def test_a_share_below_a_closed_folder(start: Start) -> None:
    """Goal: folders above the share count at connect. Method: a share in a home of mode 0700."""
    pair = start()
    pair.root.chmod(0o700)
    os.chown(pair.root, ONE, ONE)
    first(pair)
    client = pair.connect()
    client.negotiate()
    client.log_on(OTHER_USER, OTHER_PASSWORD)
    assert client.try_tree("share").status == DENIED


def test_a_sticky_folder(start: Start) -> None:
    """Goal: in a sticky folder only the owner deletes. Method: both users, delete pending and delete on close."""
    pair = start()
    at(pair).chmod(0o1777)
    made(pair, "file", ONE, 0o666)
    two = second(pair)
    assert tried(two, "file", WRITE) == NTStatus.SUCCESS
    reply = two.create("file", desired_access=DELETE, create_options=CreateOptions.DELETE_ON_CLOSE)
    if reply.status == NTStatus.SUCCESS:
        two.close(reply.ok(CreateResponse).file_id)
    assert at(pair, "file").exists()
    one = first(pair)
    one.close(one.open("file", desired_access=DELETE, create_options=CreateOptions.DELETE_ON_CLOSE))
    assert not at(pair, "file").exists()


def test_large_data_by_every_ring(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: rings and worker threads write as the user: the set-user-id bit is cleared by another user's first byte.
    Method: 256 KiB to a file of mode 4777 of root, through both engines."""
    for engine in ("uring", "threads"):
        monkeypatch.setenv("FREVO_IO", engine)
        pair = start()
        path = made(pair, engine, 0, 0o4777)
        client = first(pair)
        file = client.open(engine, desired_access=READ | WRITE, create_disposition=MUST_EXIST)
        assert client.write(file, 0, bytes(1 << 18)).status == NTStatus.SUCCESS
        assert client.call(Command.FLUSH, FlushRequest(file).pack()).status == NTStatus.SUCCESS
        assert not path.stat().st_mode & stat.S_ISUID
        assert client.read(file, 0, 1 << 18) == bytes(1 << 18)
        client.close(file)


def test_a_delete_is_done_by_its_requester(start: Start) -> None:
    """Goal: a delete at another's close, or when the connection is lost, is done with the rights of the requester.
    Method: user1 marks, user2, who may not delete, closes last; then user1's connection ends."""
    pair = start()
    made(pair, "mine/", ONE, 0o755)
    made(pair, "mine/file", ONE, 0o666)
    one, two = first(pair), second(pair)
    other = two.open("mine\\file", desired_access=READ, share_access=7, create_disposition=MUST_EXIST)
    own = one.open("mine\\file", desired_access=DELETE, share_access=7, create_disposition=MUST_EXIST)
    assert put(one, own, FileInfoClass.DISPOSITION, FileDispositionInformation(1).pack()) == NTStatus.SUCCESS
    one.close(own)
    assert at(pair, "mine/file").exists()
    two.close(other)
    assert not at(pair, "mine/file").exists()
    one.open("mine\\gone", create_options=CreateOptions.DELETE_ON_CLOSE)
    assert at(pair, "mine/gone").stat().st_uid == ONE
    pair.inside(drop_connection, pair.server, next(iter(pair.server.connections.values())))
    pair.turn()
    assert not at(pair, "mine/gone").exists()


@pytest.mark.usefixtures("reached_at_once")
def test_waiting_requests_go_on_as_their_user(start: Start) -> None:
    """Goal: after a wait the request continues as its user, whoever had a turn meanwhile, and a watch follows folders
    with the rights of its user. Method: user2 watches the tree, user1 makes folders open and closed to it."""
    pair = start()
    one, two = first(pair), second(pair)
    root = folder(two, "", desired_access=READ, share_access=7)
    waiting = ask(two, root, flags=1)
    made(pair, "closed/", ONE, 0o700)
    one.close(one.open("closed\\secret"))
    assert told(two, waiting) == [(1, "closed")]
    waiting = ask(two, root, flags=1)
    one.close(one.open("closed\\other"))
    one.close(folder(one, "open"))
    one.close(one.open("open\\file"))
    heard = told(two, waiting)
    heard += told(two, ask(two, root, flags=1)) if (1, "open\\file") not in heard else []
    assert (1, "open\\file") in heard
    assert not any("secret" in name or "other" in name for _, name in heard)


@pytest.mark.usefixtures("reached_at_once")
def test_a_folder_that_is_closed_later_is_not_reported(start: Start) -> None:
    """Goal: changes in a folder after its owner closed it are not reported. Method: chmod, then a file."""
    pair = start()
    made(pair, "folder/", ONE, 0o755)
    one, two = first(pair), second(pair)
    root = folder(two, "", desired_access=READ, share_access=7)
    waiting = ask(two, root, flags=1)
    one.close(one.open("folder\\before"))
    assert told(two, waiting) == [(1, "folder\\before")]
    waiting = ask(two, root, flags=1)
    at(pair, "folder").chmod(0o700)
    pair.turn(0.01)
    one.close(one.open("folder\\after"))
    one.close(one.open("end"))
    assert told(two, waiting) == [(1, "end")]


def test_attributes_and_times_of_a_file_that_one_may_write(start: Start) -> None:
    """Goal: SMB grants times and attributes with write access, Linux to the owner: a group's member may set both.
    Method: a file of user2's for the group; then one that user1 may only read."""
    pair = start()
    shared = made(pair, "shared", TWO, 0o660, STAFF)
    made(pair, "foreign", TWO, 0o644)
    client = first(pair)
    basic = FileBasicInformation(last_write_time=132_000_000_000_000_000, file_attributes=0x2).pack()
    file = client.open(
        "shared", desired_access=int(FileAccess.WRITE_ATTRIBUTES), create_disposition=MUST_EXIST
    )
    assert put(client, file, FileInfoClass.BASIC, basic) == NTStatus.SUCCESS
    client.close(file)
    assert shared.stat().st_mtime_ns // 100 + 116_444_736_000_000_000 == 132_000_000_000_000_000
    assert "user.DOSATTRIB" in os.listxattr(shared)
    assert tried(client, "foreign", int(FileAccess.WRITE_ATTRIBUTES)) == DENIED


def test_names_that_one_may_list(start: Start) -> None:
    """Goal: a listing shows files that the user may not read. Method: root's file of mode 0600."""
    pair = start()
    made(pair, "private", 0, 0o600)
    client = first(pair)
    assert "private" in names(client, folder(client, "", desired_access=READ))


# -- who a session is


def test_no_unix_user_no_log_on(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """Goal: an account without a Unix user is refused with a clear message. Method: an account that is not in
    USERS."""
    pair = start()
    pair.server.authenticator.accounts.add("stranger", PASSWORD)
    client = pair.connect()
    client.negotiate()
    assert client.try_log_on("stranger", PASSWORD)[1].status == NTStatus.LOGON_FAILURE
    assert "no Unix user 'stranger'" in caplog.text
    assert client.try_log_on()[1].status == NTStatus.SUCCESS


def test_force_user_and_group(start: Start) -> None:
    """Goal: `force user` and `force group` decide owner, group and rights, also for accounts without a Unix user.
    Method: such an account and user1 make files; a file of the forced user's group."""
    pair = start({"force user": "media", "force group": "staff"})
    made(pair, "film", 0, 0o640, VIDEO)
    pair.server.authenticator.accounts.add("stranger", PASSWORD)
    for user in ("stranger", USER):
        client = pair.connect()
        client.negotiate()
        client.log_on(user, PASSWORD)
        client.connect_tree()
        client.close(client.open(user))
        found = at(pair, user).stat()
        assert (found.st_uid, found.st_gid) == (MEDIA, STAFF)
        assert tried(client, "film", READ) == NTStatus.SUCCESS
        assert tried(client, user, READ | WRITE | DELETE) == NTStatus.SUCCESS


def test_force_group_of_members_only(start: Start) -> None:
    """Goal: `+group` is for members. Method: user1 is one, user2 is not."""
    pair = start({"force group": "+staff"})
    one, two = first(pair), second(pair)
    one.close(one.open("one"))
    two.close(two.open("two"))
    assert (at(pair, "one").stat().st_gid, at(pair, "two").stat().st_gid) == (STAFF, TWO)


@pytest.mark.parametrize("key", ["force user", "force group"])
def test_a_forced_user_that_does_not_exist(start: Start, key: str) -> None:
    """Goal: a share whose forced user or group does not exist is closed. Method: both keys."""
    pair = start({key: "nowhere"})
    client = pair.connect()
    client.negotiate()
    client.log_on()
    assert client.try_tree("share").status == DENIED


@pytest.mark.parametrize("guests", ["never", "bad user"])
def test_force_user_acts_for_accounts_without_a_unix_user(start: Start, guests: str) -> None:
    """Goal: in a share with a forced user an account needs no Unix user, whether guests are allowed or not. Method: an
    account that is not in USERS makes a file."""
    pair = start({"force user": "media"}, {"map to guest": guests})
    pair.server.authenticator.accounts.add("stranger", PASSWORD)
    client = pair.connect()
    client.negotiate()
    client.log_on("stranger", PASSWORD)
    client.connect_tree("share")
    client.close(client.open("new"))
    assert at(pair, "new").stat().st_uid == MEDIA


@pytest.mark.parametrize("lines", [{}, {"force user": "root"}])
def test_root_only_for_admin_users(start: Start, lines: dict[str, str]) -> None:
    """Goal: nobody outside `admin users` acts as root. Method: an account `root`, and `force user = root`."""
    pair = start(lines)
    pair.server.authenticator.accounts.add("root", PASSWORD)
    client = pair.connect()
    client.negotiate()
    client.log_on("root" if not lines else USER, PASSWORD)
    assert client.try_tree("share").status == DENIED


@pytest.mark.parametrize("named", [USER, "@staff", f"@video, {USER.upper()}", f"%D\\{USER}", "@%D\\staff"])
def test_admin_users_act_as_root(start: Start, named: str) -> None:
    """Goal: those in `admin users`, by name or group, pass every permission, others do not. Method: root's file."""
    pair = start({"admin users": named})
    made(pair, "private", 0, 0o600)
    one, two = first(pair), second(pair)
    assert tried(one, "private", READ | WRITE | DELETE) == NTStatus.SUCCESS
    assert tried(two, "private", READ) == DENIED
    one.close(one.open("new"))
    assert at(pair, "new").stat().st_uid == 0


@pytest.mark.parametrize(
    "named", [f"ELSEWHERE\\{USER}", "@ELSEWHERE\\staff", f"{USER}@elsewhere.example", "@video"]
)
def test_others_do_not_act_as_root(start: Start, named: str) -> None:
    """Goal: `admin users` makes nobody root who only shares the name of an administrator of another domain. Method:
    names with such a domain, and a group that the user is not in."""
    pair = start({"admin users": named})
    made(pair, "private", 0, 0o600)
    assert tried(first(pair), "private", READ) == DENIED


def test_guests_are_the_guest_account(start: Start) -> None:
    """Goal: guests, `guest only` shares and anonymous sessions act as `guest account`. Method: owners of new files."""
    pair = start({"guest ok": "yes"}, {"map to guest": "bad user"})
    client = pair.connect()
    client.negotiate()
    client.log_on("whoever", "wrong")
    client.connect_tree()
    client.close(client.open("guests"))
    assert at(pair, "guests").stat().st_uid == GUEST


def test_guest_only(start: Start) -> None:
    """Goal: `guest only` makes everybody a guest. Method: user1's new file."""
    pair = start({"guest ok": "yes", "guest only": "yes"})
    one = first(pair)
    one.close(one.open("file"))
    assert at(pair, "file").stat().st_uid == GUEST


def test_an_account_without_a_unix_user_may_be_a_guest(start: Start) -> None:
    """Goal: with `map to guest` such an account uses guest shares, as the guest account. Method: an open and a closed
    share."""
    pair = start({"guest ok": "yes"}, {"map to guest": "bad user"})
    pair.server.authenticator.accounts.add("stranger", PASSWORD)
    client = pair.connect()
    client.negotiate()
    client.log_on("stranger", PASSWORD)
    client.connect_tree()
    client.close(client.open("file"))
    assert at(pair, "file").stat().st_uid == GUEST


@pytest.mark.parametrize(
    ("value", "unix", "windows"), [("yes", TWO, TWO), ("unix only", TWO, ONE), ("no", ONE, ONE)]
)
def test_inherit_owner(start: Start, value: str, unix: int, windows: int) -> None:
    """Goal: new files and folders belong to the owner of their folder, on disk and in stored descriptors. Method:
    user1 in folders of user2's, one with a descriptor that is inherited."""
    pair = start({"inherit owner": value})
    made(pair, "two/", TWO, 0o777)
    made(pair, "with-list/", TWO, 0o777)
    entries = [ACE(flags=3, mask=FILE_ALL_ACCESS, sid=EVERYONE)]
    descriptor = SecurityDescriptor(owner=unix_user_sid(TWO), group=EVERYONE, dacl=ACL(entries))
    write_descriptor(str(at(pair, "with-list")), descriptor.pack())
    one = first(pair)
    one.close(one.open("two\\file"))
    one.close(folder(one, "two\\folder"))
    one.close(one.open("with-list\\file"))
    assert {at(pair, f"two/{name}").stat().st_uid for name in ("file", "folder")} == {unix}
    stored = read_descriptor(str(at(pair, "with-list/file")))
    assert stored is not None
    owner = SecurityDescriptor.parse(stored).owner
    assert (owner == unix_user_sid(TWO)) is (windows == TWO)


def test_username_map(start: Start) -> None:
    """Goal: `username map` decides who a name is on disk and for `valid users`. Method: user1 logs on, user2 makes the
    file."""
    base = Path(tempfile.mkdtemp(prefix="frevo-map-"))
    path = base / "map"
    path.write_text(f"# who is who\n!{OTHER_USER} = {USER.upper()}\nvisitor = *\n")
    pair = start({"valid users": OTHER_USER}, {"username map": str(path)})
    pair.server.authenticator.accounts.remove(OTHER_USER)
    client = first(pair)
    client.close(client.open("file"))
    assert at(pair, "file").stat().st_uid == TWO
    shutil.rmtree(base)


# -- what holds it together


def test_the_servers_own_files_are_not_a_users(start: Start, tmp_path: Path) -> None:
    """Goal: touching the server's files while acting as a user, or a share while acting as the server, is caught.
    Method: both."""
    pair = start()
    with as_identity(UnixIdentity(ONE, ONE, [])), pytest.raises(ActingError, match="belongs to the server"):
        read_private(pair.private / "accounts.json")
    first(pair)
    (tree,) = (tree for session in pair.server.sessions.values() for tree in session.trees.values())
    assert tree.backend is not None
    with pytest.raises(ActingError, match="with the server's own rights"):
        tree.backend.resolve("")


def test_a_user_that_the_kernel_refuses(start: Start) -> None:
    """Goal: a request whose user the kernel does not grant is refused, never done as root. Method: an unused
    number."""
    pair = start()
    client = first(pair)
    (tree,) = (tree for session in pair.server.sessions.values() for tree in session.trees.values())
    tree.acting = UnixIdentity(0xFFFFFFFF, ONE, [])
    assert client.create("file").status in (DENIED, NTStatus.INTERNAL_ERROR)
    assert not at(pair, "file").exists()
    assert acting_as() is None


def test_reload_and_log_on_after_a_users_request(start: Start) -> None:
    """Goal: between requests the server acts as itself. Method: in the loop, right after a user's request, a reload;
    then a log-on, which reads the accounts."""
    pair = start()
    client = first(pair)

    authenticator = pair.authenticator(pair.config)

    def after_a_request() -> None:
        with as_identity(UnixIdentity(ONE, ONE, [])):
            pair.server.reload(pair.config, authenticator)
            assert acting_as() is None

    pair.inside(after_a_request)
    client.close(client.open("file"))
    two = second(pair)
    two.close(two.open("other"))
    assert at(pair, "other").stat().st_uid == TWO


@pytest.mark.fast_path
def test_the_data_plane_writes_as_the_user(start: Start) -> None:
    """Goal: what the kernel does to a user's write it does on the fast path, too. Method: a set-user-ID file of root,
    of which a user's write takes that bit away, and root's does not."""
    pair = start()
    path = made(pair, "tool", 0, 0o777)
    client = first(pair)
    file_id = client.open("tool", desired_access=READ | WRITE, create_disposition=MUST_EXIST)
    client.write(file_id, 0, b"x")
    path.chmod(0o4777)
    assert client.write(file_id, 0, b"y").status == NTStatus.SUCCESS
    assert pair.transport.statistics()["fast_writes"] == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o777
