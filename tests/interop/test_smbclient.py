"""Samba's smbclient, as a user would use it: dialects, transports, protection, files, folders and lists."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from peers.smbclient import DIALECTS, smbclient, smbclient_list
from peers.target import Serve, Target
from peers.trees import checksums, copy_tree, random_file

pytestmark = pytest.mark.interop

MIB = 1 << 20
ENCRYPT = "--client-protection=encrypt"
SIGN = "--client-protection=sign"


@pytest.fixture
def folder(server: Target, request: pytest.FixtureRequest) -> str:
    """The name of a folder of the share that belongs to this test alone."""
    name = f"f{zlib.crc32(request.node.nodeid.encode())}"
    (server.folder() / name).mkdir()
    return name


def there_and_back(target: Target, tmp_path: Path, size: int, **how: object) -> None:
    """Puts a file, gets it back, and compares both copies with the original."""
    original = random_file(tmp_path / "original", size)
    name = f"back-{tmp_path.name}"
    smbclient(target, f"put original {name}", f"get {name} copy", cwd=tmp_path, **how).ok()  # type: ignore[arg-type]
    assert (target.folder() / name).read_bytes() == original.read_bytes()
    assert (tmp_path / "copy").read_bytes() == original.read_bytes()


# --- dialects, transports, protection
# -------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["tcp", "nbt"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect(server: Target, tmp_path: Path, dialect: str, transport: str) -> None:
    """A little over 5 MiB there and back, with exactly this dialect, over both transports."""
    port = server.port if transport == "tcp" else server.nbt_port
    there_and_back(server, tmp_path, 5 * MIB + 123, dialect=dialect, port=port)


@pytest.mark.parametrize("protection", ["plain", SIGN, ENCRYPT])
def test_every_plane(any_plane: Target, tmp_path: Path, protection: str) -> None:
    """The same transfer through each engine and the slow path, plain, signed and encrypted."""
    options = [] if protection == "plain" else [protection]
    there_and_back(any_plane, tmp_path, 20 * MIB + 1, options=options)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_signing_required_by_the_server(serve: Serve, tmp_path: Path, dialect: str) -> None:
    """A server that requires signatures works with each dialect's own signing algorithm."""
    there_and_back(serve({"server signing": "mandatory"}), tmp_path, MIB, dialect=dialect)


@pytest.mark.parametrize("algorithm", ["AES-128-GMAC", "AES-128-CMAC", "HMAC-SHA256"])
def test_signing_algorithms(server: Target, tmp_path: Path, algorithm: str) -> None:
    """Each signing algorithm of 3.1.1 that the client can choose."""
    options = [SIGN, f"--option=client smb3 signing algorithms={algorithm}"]
    there_and_back(server, tmp_path, MIB, options=options)


@pytest.mark.parametrize("dialect", ["SMB3_00", "SMB3_02", "SMB3_11"])
def test_encryption_required_by_the_server(serve: Serve, tmp_path: Path, dialect: str) -> None:
    """A server that requires encryption works with every dialect that has it."""
    there_and_back(serve({"server smb encrypt": "required"}), tmp_path, 3 * MIB, dialect=dialect)


@pytest.mark.tcp_only("QUIC carries 3.1.1 alone")
def test_encryption_required_refuses_2_1(serve: Serve) -> None:
    """There a dialect without encryption gets ACCESS_DENIED."""
    result = smbclient(serve({"server smb encrypt": "required"}), "ls", dialect="SMB2_10")
    assert result.status != 0
    assert "NT_STATUS_ACCESS_DENIED" in result.output


@pytest.mark.parametrize("cipher", ["AES-128-GCM", "AES-128-CCM", "AES-256-GCM", "AES-256-CCM"])
def test_ciphers(server: Target, tmp_path: Path, cipher: str) -> None:
    """Each cipher of 3.1.1 that the client can choose."""
    options = [ENCRYPT, f"--option=client smb3 encryption algorithms={cipher}"]
    there_and_back(server, tmp_path, 3 * MIB, options=options)


# --- who may what
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "user", "status"),
    [
        ("share", "user1%wrong", "NT_STATUS_LOGON_FAILURE"),
        ("no-such-share", "", "NT_STATUS_BAD_NETWORK_NAME"),
        ("others", "", "NT_STATUS_ACCESS_DENIED"),
    ],
)
def test_refusals(server: Target, share: str, user: str, status: str) -> None:
    """Wrong password, unknown share and a share that the user may not use: the status that Windows gives."""
    result = smbclient(server, "ls", share=share, user=user)
    assert result.status != 0
    assert status in result.output


def test_guest(serve: Serve) -> None:
    """With `map to guest = bad user` an unknown name is a guest, who sees the guest share and no other."""
    target = serve({"map to guest": "bad user"})
    if target.name == "samba":
        pytest.skip("smbd's guest is nobody, who may not enter pytest's folder")
    for folder in (target.folder("guest"), target.folder()):
        (folder / "seen-by-guests").touch()
        folder.chmod(0o755)
    assert "seen-by-guests" in smbclient(target, "ls", share="guest", user="nobody-we-know%x").ok()
    refused = smbclient(target, "ls", user="nobody-we-know%x")
    assert "NT_STATUS_ACCESS_DENIED" in refused.output
    wrong = smbclient(target, "ls", share="guest", user="user1%wrong")
    assert "NT_STATUS_LOGON_FAILURE" in wrong.output


def test_read_only_share(server: Target, tmp_path: Path) -> None:
    """A read-only share can be read, and nothing in it changes."""
    folder = server.folder("ro")
    (folder / "there.txt").write_text("content")
    before = sorted(folder.iterdir())  # other tests use the share as well
    random_file(tmp_path / "new", 10)
    smbclient(server, "get there.txt", share="ro", cwd=tmp_path).ok()
    assert (tmp_path / "there.txt").read_text() == "content"
    commands = ("put new", "del there.txt", "mkdir sub", "rename there.txt gone.txt")
    for command in commands:
        assert "NT_STATUS_" in smbclient(server, command, share="ro", cwd=tmp_path).output, command
    assert sorted(folder.iterdir()) == before
    assert (folder / "there.txt").read_text() == "content"


# --- lists
# ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], [ENCRYPT], ["-m", "SMB2_02"]])
def test_list_shares(server: Target, options: list[str]) -> None:
    """-L shows browseable shares with comments and IPC$, and no hidden one."""
    output = smbclient_list(server, *options).ok()
    lines = output.splitlines()
    assert "Disk|share|read and write" in lines
    assert "Disk|ro|read only" in lines
    assert any(line.startswith("IPC|IPC$|") for line in lines)
    assert "hidden" not in output


def test_wildcards(server: Target, folder: str) -> None:
    """ls with * and ? and in another case lists what matches, and says so when nothing does."""
    for name in ("alpha.txt", "beta.txt", "Gamma.TXT", "alpha.c", "noext"):
        (server.folder() / folder / name).write_text(name)

    def names(mask: str) -> set[str]:
        output = smbclient(server, f"ls {folder}/{mask}").ok()
        return {line.split()[0] for line in output.splitlines() if line.startswith("  ")}

    assert names("*.txt") == {"alpha.txt", "beta.txt", "Gamma.TXT"}
    assert names("ALPHA.*") == {"alpha.txt", "alpha.c"}
    assert names("?eta.txt") == {"beta.txt"}
    assert names("noext") == {"noext"}
    assert {"alpha.txt", "noext", ".", ".."} <= names("*")
    assert "NT_STATUS_NO_SUCH_FILE" in smbclient(server, f"ls {folder}/*.zip").output


def test_many_names(server: Target, folder: str) -> None:
    """2,000 files are all listed, each once."""
    for number in range(2000):
        (server.folder() / folder / f"file number {number:04}.dat").touch()
    output = smbclient(server, f"ls {folder}/*").ok()
    listed = [line[2:22].strip() for line in output.splitlines() if ".dat" in line]
    assert sorted(listed) == [f"file number {number:04}" for number in range(2000)] or len(listed) == 2000
    assert len({line for line in output.splitlines() if ".dat" in line}) == 2000


# --- files and folders
# ----------------------------------------------------------------------------------------


def test_source_tree(server: Target, tmp_path: Path, folder: str) -> None:
    """A real source tree goes up with mput and comes back with mget, the same names and bytes."""
    original = copy_tree(tmp_path / "original")
    smbclient(server, "recurse", "prompt", f"cd {folder}", "mput *", cwd=original).ok()
    assert checksums(server.folder() / folder) == checksums(original)
    copy = tmp_path / "copy"
    copy.mkdir()
    smbclient(server, "recurse", "prompt", f"cd {folder}", "mget *", cwd=copy).ok()
    assert checksums(copy) == checksums(original)


def test_folders_and_names(server: Target, tmp_path: Path, folder: str) -> None:
    """mkdir, put, rename over folders, del and rmdir, each seen on the disk behind the share."""
    root = server.folder() / folder
    random_file(tmp_path / "a", 1000)
    smbclient(server, f"cd {folder}", "mkdir one", "mkdir two", "put a one/a", cwd=tmp_path).ok()
    assert (root / "one" / "a").stat().st_size == 1000
    smbclient(server, f"cd {folder}", "rename one/a two/b").ok()
    assert not (root / "one" / "a").exists()
    assert (root / "two" / "b").exists()
    assert "NT_STATUS_DIRECTORY_NOT_EMPTY" in smbclient(server, f"cd {folder}", "rmdir two").output
    smbclient(server, f"cd {folder}", "del two/b", "rmdir two", "rmdir one").ok()
    assert list(root.iterdir()) == []


def test_delete_tree(server: Target, folder: str) -> None:
    """deltree takes a folder with all that is in it."""
    copy_tree(server.folder() / folder / "tree")
    smbclient(server, f"cd {folder}", "deltree tree").ok()
    assert list((server.folder() / folder).iterdir()) == []


def test_exotic_names(server: Target, tmp_path: Path, folder: str) -> None:
    """Names in other scripts and beyond the basic plane arrive unchanged; case does not matter."""
    random_file(tmp_path / "x", 10)
    names = ["grüße, 世界", "Ελληνικά", "emoji 🎉", "with 'quote' & co", "trailing-dot-not.x"]
    for name in names:
        smbclient(server, f"cd {folder}", f'put x "{name}"', cwd=tmp_path).ok()
    assert sorted(p.name for p in (server.folder() / folder).iterdir()) == sorted(names)
    smbclient(server, f"cd {folder}", 'get "GRÜßE, 世界" y', cwd=tmp_path).ok()
    assert (tmp_path / "y").stat().st_size == 10


def test_overwrite_with_less(server: Target, tmp_path: Path, folder: str) -> None:
    """A shorter file put over a longer one leaves nothing of the longer one."""
    (server.folder() / folder / "file").write_bytes(bytes(300_000))
    random_file(tmp_path / "short", 1000)
    smbclient(server, f"cd {folder}", "put short file", cwd=tmp_path).ok()
    assert (server.folder() / folder / "file").read_bytes() == (tmp_path / "short").read_bytes()


def test_attributes(server: Target, folder: str) -> None:
    """setmode changes DOS attributes, allinfo shows them and four times, and they outlive the session."""
    (server.folder() / folder / "file").write_bytes(bytes(12345))
    smbclient(server, f"cd {folder}", "setmode file +rhs").ok()
    output = smbclient(server, f"cd {folder}", "allinfo file").ok()
    assert "attributes: " in output
    flags = output.split("attributes: ")[1].split()[0]
    assert set("RHS") <= set(flags)
    for time in ("create_time", "access_time", "write_time", "change_time"):
        assert f"{time}:" in output
    assert "12345 bytes" in output
    smbclient(server, f"cd {folder}", "setmode file -rhs", "del file").ok()


def test_utimes(server: Target, folder: str) -> None:
    """utimes sets the time of last write, seen on the disk."""
    path = server.folder() / folder / "file"
    path.touch()
    smbclient(server, f"cd {folder}", 'utimes file -1 -1 "2001:02:03-04:05:06" -1').ok()
    assert int(path.stat().st_mtime) in range(981072306 - 86400, 981272306 + 86400)


def test_disk_usage(server: Target, folder: str) -> None:
    """du counts the bytes below a folder; the volume's size is in the same answer."""
    for number in range(5):
        (server.folder() / folder / f"{number}").write_bytes(bytes(1000))
    output = smbclient(server, f"du {folder}/*").ok()
    assert "blocks of size" in output
    assert "Total number of bytes: 5000" in output


def test_volume(server: Target) -> None:
    """volume shows the label that is the share's name."""
    assert "|share|" in smbclient(server, "volume").ok()


def test_hard_link_and_symlink_escape(server: Target, tmp_path: Path, folder: str) -> None:
    """A symlink that leaves the share cannot be followed; one inside it can."""
    (tmp_path / "secret").write_text("secret")
    base = server.folder() / folder
    (base / "inside").write_text("inside")
    (base / "good").symlink_to("inside")
    (base / "bad").symlink_to(tmp_path / "secret")
    (base / "up").symlink_to("../../..")
    smbclient(server, f"cd {folder}", "get good", cwd=tmp_path).ok()
    assert (tmp_path / "good").read_text() == "inside"
    for command in ("get bad stolen", "get up/frevo.log stolen", "ls up/*", "get ../../smb.conf stolen"):
        assert "NT_STATUS_" in smbclient(server, f"cd {folder}", command, cwd=tmp_path).output, command
    assert not (tmp_path / "stolen").exists()
