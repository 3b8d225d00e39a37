"""The table of nodes: names appear, disappear, move and are taken by other files."""

from __future__ import annotations

import errno
import stat as modes

import pytest

from frevo.client.tree.stat import Stat
from frevo.mount.nodes import Appearance, Node, Table

DIRECTORY, READONLY = 0x10, 0x01


def known(file_id: int, size: int = 0, attributes: int = 0x80) -> Stat:
    return Stat(size, attributes, 0, 0, 0, 0, size, file_id)


def looked_up(table: Table, parent: Node, name: str, stat: Stat) -> Node:
    node = table.found(parent, name, stat)
    node.learn(stat, 1.0)
    node.lookups += 1
    return node


def test_paths_follow_renames() -> None:
    """A file below a renamed directory has a new path; the old name is gone."""
    table = Table()
    folder = looked_up(table, table.root, "folder", known(1, attributes=DIRECTORY))
    file = looked_up(table, folder, "file", known(2))
    other = looked_up(table, table.root, "other", known(3))
    assert (table.root.path, file.path, folder.at("new")) == ("", "folder/file", "folder/new")
    table.moved(folder, table.root, "moved")
    assert file.path == "moved/file"
    table.moved(file, table.root, "other")
    assert file.path == "other" and other.gone
    with pytest.raises(OSError) as caught:
        _ = other.path
    assert caught.value.errno == errno.ESTALE


def test_another_file_of_the_same_name_is_another_node() -> None:
    """The same file id stays the same node; another id or kind makes a new one."""
    table = Table()
    first = looked_up(table, table.root, "name", known(1))
    assert looked_up(table, table.root, "name", known(1, 5)) is first
    second = looked_up(table, table.root, "name", known(2))
    assert second is not first and first.gone and not second.gone
    assert looked_up(table, table.root, "name", known(2, attributes=DIRECTORY)) is not second
    assert table[first.number] is first


def test_forgetting() -> None:
    """A node goes when the kernel has given back every reference; the root never does."""
    table = Table()
    node = looked_up(table, table.root, "name", known(1))
    looked_up(table, table.root, "name", known(1))
    table.forget(node.number, 1)
    assert table[node.number] is node
    table.forget(node.number, 1)
    assert table.root.children == {} and len(table) == 1
    with pytest.raises(OSError):
        table[node.number]
    table.forget(1, 1000)
    assert table[1] is table.root


def test_appearance() -> None:
    """The umask, the read-only attribute of files, and directories that can be entered when they can be read."""
    look = Appearance(1, 2, 0o133)
    assert look.mode(known(1)) == modes.S_IFREG | 0o644
    assert look.mode(known(1, attributes=DIRECTORY | READONLY)) == modes.S_IFDIR | 0o755
    assert look.mode(known(1, attributes=READONLY)) == modes.S_IFREG | 0o444
    assert modes.S_ISLNK(look.mode(known(1, attributes=0x400)))
