"""frevo.config.macros and frevo.config.access."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from frevo import __version__
from frevo.config import Config, ShareAccess, ShareConfig, expand, share_access
from frevo.config.macros import harmless, macros_in


def test_every_macro() -> None:
    """Goal: each macro gives its value. Method: one text with all of them."""
    text = "%S %U %u %m %I %H %w %v %L %% %z %"
    values = {
        "share": "data",
        "user": "eve",
        "requested_user": "Eve",
        "machine": "PC",
        "address": "10.0.0.9",
        "home": "/home/eve",
    }
    config = Config().with_globals(netbios_name="BOX")
    assert config.expand(text, **values) == f"data Eve eve PC 10.0.0.9 /home/eve \\ {__version__} BOX % %z %"
    assert macros_in("a %S%% %u %z") == {"S", "u", "z"}


@pytest.mark.parametrize("user", ["..", ".", "../../etc", "a/b", "x\0y", "a\nb"])
def test_clients_cannot_add_path_components(user: str) -> None:
    """Goal: a name from the network stays one component. Method: hostile names in a path."""
    path = expand("/srv/%U/%m", user=user, machine=user, address="10.0.0.1")
    assert path.count("/") == 3
    assert ".." not in path.split("/")
    assert path.isprintable()


@given(st.text())
def test_values_are_not_expanded_again(text: str) -> None:
    """Goal: macros inside values stay text. Method: hypothesis names."""
    assert expand("%u", user=text) == harmless(text)


BASE = ShareConfig(name="data", path="/srv")
STAFF = ["staff"]


@pytest.mark.parametrize(
    ("changes", "user", "groups", "access"),
    [
        ({}, "eve", [], ShareAccess.READ),
        ({"read_only": False}, "eve", [], ShareAccess.WRITE),
        ({"available": False, "read_only": False}, "eve", [], ShareAccess.NONE),
        ({"valid_users": ("alice",)}, "eve", [], ShareAccess.NONE),
        ({"valid_users": ("EVE",)}, "eve", [], ShareAccess.READ),
        ({"valid_users": ("@staff",)}, "eve", STAFF, ShareAccess.READ),
        ({"valid_users": ("+Staff",)}, "eve", STAFF, ShareAccess.READ),
        ({"valid_users": ("@staff",)}, "staff", [], ShareAccess.NONE),
        ({"valid_users": ("%S",)}, "data", [], ShareAccess.READ),
        ({"valid_users": ("eve",)}, "HOME\\eve", [], ShareAccess.READ),
        ({"valid_users": ("WORK\\eve",)}, "HOME\\eve", [], ShareAccess.NONE),
        ({"invalid_users": ("eve",), "valid_users": ("eve",)}, "eve", [], ShareAccess.NONE),
        ({"write_list": ("eve",)}, "eve", [], ShareAccess.WRITE),
        ({"read_only": False, "read_list": ("@staff",)}, "eve", STAFF, ShareAccess.READ),
        ({"read_list": ("eve",), "write_list": ("eve",)}, "eve", [], ShareAccess.WRITE),
    ],
)
def test_share_access(changes: dict[str, object], user: str, groups: list[str], access: ShareAccess) -> None:
    """Goal: the lists decide as Samba's manual says. Method: one share per rule."""
    share = replace(BASE, **changes)  # type: ignore[arg-type]
    assert share_access(share, user, groups) is access


def test_guests() -> None:
    """Goal: guests are admitted only with `guest ok`. Method: both settings."""
    assert share_access(BASE, "nobody", guest=True) is ShareAccess.NONE
    assert share_access(replace(BASE, guest_ok=True), "nobody", guest=True) is ShareAccess.READ
    assert share_access(replace(BASE, guest_only=True), "eve") is ShareAccess.NONE


def test_unix_groups_count_when_none_are_given() -> None:
    """Goal: `@group` means the Unix groups of the account's name. Method: root's own."""
    share = replace(BASE, valid_users=("@root",))
    assert share_access(share, "root") is ShareAccess.READ
    assert share_access(share, "no-such-user\0") is ShareAccess.NONE
