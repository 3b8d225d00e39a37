"""`[homes]` over the pair: which names are shares, what is listed, which folders can be a home."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest
from peers.target import SHARES, USER

from frevo.auth.accounts import AccountStore
from frevo.server.pipes.rpc_context import rpc_context
from frevo.wire.erref import NTStatus
from pair.client import Client
from pair.conftest import MakePair
from pair.machine import OTHER_PASSWORD, OTHER_USER, Pair

OK, NONE, DENIED = NTStatus.SUCCESS, NTStatus.BAD_NETWORK_NAME, NTStatus.ACCESS_DENIED


def _homes(pair_of: MakePair, root: Path, **keys: str) -> Pair:
    """A server with [homes] below *root*, where two users have a folder."""
    for user in (USER, OTHER_USER):
        (root / user).mkdir(parents=True, exist_ok=True)
        (root / user / f"of-{user}").touch()
    settings = {"path": f"{root}/%S", "browseable": "no", "read only": "no", **keys}
    return pair_of({}, {**SHARES, "homes": settings})


def _listed(client: Client) -> list[str]:
    assert client.session is not None
    server = client.pair.server
    return [
        one.name for one in rpc_context(server, server.sessions[client.session.id]).shares if one.browseable
    ]


def test_ones_own_name(make_pair: MakePair, tmp_path: Path) -> None:
    """Goal: the user's name, in any case, and `homes` are the user's folder; the list shows only the name. Method:
    open what is in it."""
    client = _homes(make_pair, tmp_path / "h", comment="mine").logged_on()
    for name in (USER, USER.upper(), "homes", "HoMeS"):
        client.connect_tree(name)
        assert client.create(f"of-{USER}", create_disposition=1).status == OK, name
    assert _listed(client) == ["IPC$", "share", "ro", "guest", "others", USER]


def test_other_names(make_pair: MakePair, tmp_path: Path) -> None:
    """Goal: other accounts have homes, too, other names have none; `valid users = %S` separates them. Method: names of
    accounts, of Unix users without an account, unknown ones, and paths."""
    pair = _homes(make_pair, tmp_path / "h")
    AccountStore(pair.private).add("folderless", "Passw0rd!")
    client = pair.logged_on()
    names = (OTHER_USER, "folderless", "root", "daemon", "nosuch", "..", ".", "a/b", "%S")
    assert [client.try_tree(name).status for name in names] == [OK, *[NONE] * 8]
    strict = _homes(make_pair, tmp_path / "h", **{"valid users": "%S"})
    client = strict.logged_on()
    assert [client.try_tree(name).status for name in (USER, OTHER_USER, "nosuch")] == [OK, DENIED, NONE]
    other = client.log_on(OTHER_USER, OTHER_PASSWORD)
    assert client.try_tree(OTHER_USER, session=other).status == OK
    assert client.try_tree(USER, session=other).status == DENIED


def test_a_share_goes_before_a_home(make_pair: MakePair, tmp_path: Path) -> None:
    """Goal: a section of that name wins. Method: a share named after the user."""
    (tmp_path / "h" / USER).mkdir(parents=True)
    shares = {**SHARES, "homes": {"path": f"{tmp_path}/h/%S"}, USER: {"comment": "a section"}}
    pair = make_pair({}, shares)
    pair.logged_on().connect_tree(USER)
    assert pair.server.shares[USER].users == 1


def test_without_homes(pair: Pair) -> None:
    """Goal: without the section there are none. Method: the user's name and `homes`."""
    client = pair.logged_on()
    assert [client.try_tree(name).status for name in (USER, "homes")] == [NONE, NONE]
    assert USER not in _listed(client)


def test_reload(make_pair: MakePair, tmp_path: Path) -> None:
    """Goal: a changed section applies to the next connect, existing connections keep theirs. Method: another path."""
    pair = _homes(make_pair, tmp_path / "h")
    client = pair.logged_on()
    tree = client.connect_tree(USER)
    (tmp_path / "new" / USER / "new").mkdir(parents=True)
    config = pair.configured({}, {**SHARES, "homes": {"path": f"{tmp_path}/new/%S", "read only": "no"}})
    pair.inside(pair.server.reload, config, pair.authenticator(config))
    client.tree = tree
    assert client.create(f"of-{USER}", create_disposition=1).status == OK
    client.connect_tree(USER)
    assert client.create("new", create_disposition=1).status == OK


class Unix:
    """A replacement for the list of Unix users."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._users: dict[str, pwd.struct_passwd] = {}
        monkeypatch.setattr(pwd, "getpwnam", lambda name: self._users[name])

    def add(self, name: str, uid: int, home: Path | str) -> None:
        self._users[name] = pwd.struct_passwd((name, "x", uid, uid, "", str(home), "/bin/sh"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
def test_unix_homes(make_pair: MakePair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: without a path the Unix home is shared, if it is the user's own folder, never a system folder; %H is the
    same. Method: homes of all kinds for one user."""
    unix = Unix(monkeypatch)
    own, roots = tmp_path / "own %S 100%", tmp_path / "roots"
    own.mkdir()
    roots.mkdir()
    os.chown(own, 1234, 1234)
    (tmp_path / "link").symlink_to("/")
    homes: dict[str, tuple[int, Path | str]] = {
        "own": (1234, own),
        "a chroot": (1234, roots),
        "system": (12, roots),
        "somebody's": (1235, own),
        "/": (1234, "/"),
        "//.": (0, "//."),
        "link": (1234, tmp_path / "link"),
        "none": (1234, "/nonexistent"),
        "empty": (1234, ""),
        "relative": (0, "."),
    }
    client = make_pair({}, {**SHARES, "homes": {"path": ""}, "h": {"path": "%H"}}).logged_on()
    answers = {}
    for what, (uid, home) in homes.items():
        unix.add(USER, uid, home)
        answers[what] = client.try_tree(USER).status
    assert [what for what, status in answers.items() if status == OK] == ["own", "a chroot"]
    assert set(answers.values()) == {OK, NONE}
    unix.add(USER, 1234, own)
    assert client.try_tree("h").status == OK
    unix.add(USER, 1234, "")
    assert client.try_tree("h").status == NONE
    unix.add(USER, 1234, own)
    unix.add(OTHER_USER, 1234, own)
    assert client.try_tree(OTHER_USER).status == NONE  # everybody acts as one: homes are not shared
