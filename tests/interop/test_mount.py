"""A mounted share under everyday tools, against smbd and frevo: like a local directory, and errors in time."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from peers import programs
from peers.frevo_server import FREVO, start
from peers.mounted import Mounted, environment, is_mounted, mounted, need_fuse
from peers.target import Target
from peers.trees import copy_tree

import frevo
from frevo.aio.syscalls import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE, fallocate
from frevo.cli.main import main
from frevo.mount import Settings, serve_mount

pytestmark = [pytest.mark.interop, pytest.mark.over_quic]
SOURCES = Path(__file__).parents[2] / "src" / "frevo"


@pytest.fixture(scope="module")
def mount(server_of: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mounted]:
    """One mount for the tests that do not disturb each other."""
    (server_of.folder() / "mount").mkdir(exist_ok=True)
    with mounted(server_of, tmp_path_factory.mktemp("mount"), "--xattr", inner="mount") as one:
        yield one


@pytest.fixture
def place(mount: Mounted, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder of the mount for this test."""
    folder = mount.path / request.node.originalname
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)
    assert not (mount.folder / folder.name).exists()


def shell(script: str, folder: Path) -> str:
    """Runs a script there; its output. A command that fails fails the test."""
    done = programs.run(["bash", "-euc", f"cd '{folder}'\n{script}"], timeout_s=180)
    assert done.status == 0, done.output
    return done.output


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def digests(folder: Path) -> dict[str, str]:
    """Relative path to digest of every file."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


#: Run in a local directory and on the mount: what is printed and what is left must be the same.
SCRIPT = r"""
printf 'one\n' > a; printf 'two\n' >> a; cat a; wc -c < a
mkdir -p d/e/f; mv a d/e/b; cat d/e/b; ! cat a 2>/dev/null
cp d/e/b d/c; mv -f d/c d/e/b; ls -R
touch -d '2001-02-03 04:05:06 UTC' d/e/b; stat -c '%s %Y' d/e/b
truncate -s 3 d/e/b; cat d/e/b; echo; truncate -s 5000 d/e/b; stat -c %s d/e/b; od -An -tx1 d/e/b | tail -1
dd if=/dev/zero of=sparse bs=1 count=1 seek=3000000 status=none; stat -c %s sparse
printf 'middle' | dd of=sparse bs=1 seek=1500000 conv=notrunc status=none
dd if=sparse bs=1 skip=1500000 count=6 status=none; echo; md5sum < sparse
seq 100000 > numbers; md5sum < numbers; sed -i s/7/x/g numbers; md5sum < numbers; sort -R numbers | sort | md5sum
seq 100000 | tee t1 t2 | md5sum; cmp t1 t2
: > numbers; stat -c %s numbers; echo new > numbers; cat numbers
mkdir full; touch full/x; ! rmdir full 2>/dev/null; rm full/x; rmdir full
echo old > over; echo newer > under; mv under over; cat over; echo third > third; mv -n third over; cat over third
mkdir m1 m2; mv -T m1 m2; ls -d m*; [ -d m2 ] && [ ! -e m1 ]
tar cf t.tar d; mkdir x; tar xf t.tar -C x; diff -r d x/d; rm t.tar
chmod a-w over; ! [ -z "$(stat -c %A over | grep -- '-r-')" ]; rm -f over; [ ! -e over ]
printf '#!/bin/sh\necho ran\n' > run; chmod +x run; ./run
python3 -c '
import mmap
with open("mapped", "w+b") as file:
    file.truncate(10000)
    with mmap.mmap(file.fileno(), 0) as shown: shown[5000:5004] = b"mmap"'
md5sum < mapped
find . -type f | sort | xargs md5sum; du -s --apparent-size d >/dev/null
"""


def test_tools_behave_as_in_a_local_directory(mount: Mounted, place: Path, tmp_path: Path) -> None:
    """One script of shell tools in a local directory and on the mount: same output, same files, on the server, too."""
    assert shell(SCRIPT, place) == shell(SCRIPT, tmp_path)
    assert digests(mount.folder / place.name) == digests(place) == digests(tmp_path)


def test_trees_go_there_and_come_back(mount: Mounted, place: Path, tmp_path: Path) -> None:
    """cp -r, tar and cp -a like rsync of our sources: checksums and times on both sides; rm -rf leaves nothing."""
    source = copy_tree(tmp_path / "client", SOURCES / "client")  # others write byte code beside the original
    shell(f"cp -a '{source}' copied; mkdir packed; tar cf - -C '{source}' . | tar xf - -C packed", place)
    there = mount.folder / place.name
    wanted = digests(source)
    assert digests(there / "copied") == digests(there / "packed") == digests(place / "copied") == wanted
    shutil.copytree(place / "packed", tmp_path / "back")
    assert digests(tmp_path / "back") == wanted
    for path in source.glob("*.py"):
        assert (there / "copied" / path.name).stat().st_mtime_ns // 100 == path.stat().st_mtime_ns // 100
    shell("rm -rf copied packed", place)
    assert names_in(there) == []


def test_every_name_that_linux_takes(mount: Mounted, place: Path) -> None:
    """Each byte, emoji, dots and spaces at the end, 255 letters: made, listed, opened, moved, removed."""
    names = [bytes([byte]) + b"x" for byte in range(1, 256) if byte != ord("/")]
    names += [
        b"end.",
        b"end ",
        b"end",
        b". .",
        b"...",
        b" ",
        b"con:",
        b'a"*:<>?|\\b',
        b"x\x80\xff",
        b"a" * 255,
    ]
    names += [name.encode() for name in ("🦀 ü ß 漢字", "é" * 127, "ﬁ", "\uf8ff", "a\u0301")]
    # Upper and lower case are one: leave out what differs in that alone.
    wanted = sorted(os.fsdecode(name) for name in names if not name[:1].islower() or len(name) > 2)
    for name in wanted:
        with (place / name).open("xb") as file:
            file.write(os.fsencode(name))
    assert names_in(place) == wanted
    for name in wanted:
        path = place / name
        assert path.read_bytes() == os.fsencode(name)
        path.rename(place / (name[:-1] + "_")).unlink()
    assert names_in(mount.folder / place.name) == []
    with pytest.raises(OSError) as caught:
        (place / ("ä" * 256)).touch()
    assert caught.value.errno == errno.ENAMETOOLONG


def test_what_is_open_outlives_its_name(mount: Mounted, place: Path) -> None:
    """unlink and rename over an open file: it stays readable and writable, its name is free, nothing is left."""
    (place / "a").write_bytes(b"first")
    (place / "b").write_bytes(b"second")
    with (place / "a").open("r+b", buffering=0) as a, (place / "b").open("rb", buffering=0) as b:
        (place / "a").unlink()
        assert names_in(place) == ["b"]
        (place / "a").write_bytes(b"another")
        (place / "a").rename(place / "b")
        assert (a.read(), b.read()) == (b"first", b"second")
        a.write(b" and more")
        a.seek(0)
        assert a.read() == b"first and more"
        assert os.fstat(a.fileno()).st_nlink == 0
        assert (place / "b").read_bytes() == b"another"
        assert names_in(place) == ["b"]
    (place / "b").unlink()
    (place / "c").mkdir()  # a request that comes after the closes
    (place / "c").rmdir()
    assert names_in(place) == []


def test_opens_and_their_flags(place: Path) -> None:
    """O_EXCL, O_TRUNC, O_APPEND of two opens, O_SYNC, ftruncate, fsync, fallocate, locks, and directories as files."""
    path = place / "file"
    first = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR)
    with pytest.raises(FileExistsError):
        os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR)
    second = os.open(path, os.O_WRONLY | os.O_APPEND)
    for number in range(100):
        os.write(first if number == 0 else second, b"%02d" % number)
    assert path.read_bytes() == b"".join(b"%02d" % number for number in range(100))
    os.ftruncate(first, 4)
    os.fsync(first)
    fcntl.lockf(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.posix_fallocate(first, 0, 1000)
    assert (os.fstat(first).st_size, path.read_bytes()[:6]) == (1000, b"0001\0\0")
    os.close(second)
    os.close(first)
    third = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_SYNC)
    os.write(third, b"sync")
    os.close(third)
    assert path.read_bytes() == b"sync"
    with pytest.raises(IsADirectoryError):
        place.open("wb")
    with pytest.raises(NotADirectoryError):
        (path / "below").stat()
    with pytest.raises(PermissionError):
        os.mkfifo(place / "pipe")
    assert stat.S_IMODE(path.stat().st_mode) == 0o755


def test_attributes(place: Path) -> None:
    """user.* attributes with --xattr: set, replaced, listed, removed; others do not exist."""
    path = place / "file"
    path.touch()
    os.setxattr(path, "user.Color", b"blue")
    os.setxattr(path, "user.Color", b"red", os.XATTR_REPLACE)
    with pytest.raises(FileExistsError):
        os.setxattr(path, "user.Color", b"green", os.XATTR_CREATE)
    assert [name.lower() for name in os.listxattr(path)] == ["user.color"]
    assert os.getxattr(path, os.listxattr(path)[0]) == b"red"
    os.removexattr(path, os.listxattr(path)[0])
    assert os.listxattr(path) == []
    with pytest.raises(OSError):
        os.setxattr(path, "trusted.x", b"1")


WRITER = """
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
number = int(sys.argv[2])
for round in range(8):
    for block in range(number, 256, 4):
        os.pwrite(fd, bytes([number * 16 + round]) * 4096, block * 4096)
        assert os.pread(fd, 4096, block * 4096) == bytes([number * 16 + round]) * 4096
os.close(fd)
"""


def test_programs_at_the_same_time(mount: Mounted, place: Path) -> None:
    """Four programs write and read blocks of one file, one walks the directory: each block is as last written."""
    path = place / "file"
    path.write_bytes(bytes(1 << 20))
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(n)]) for n in range(4)]
    walkers = [subprocess.Popen(["bash", "-c", f"for i in 1 2 3 4 5; do ls -lR '{place}' > /dev/null; done"])]
    assert [process.wait(60) for process in writers + walkers] == [0] * 5
    wanted = b"".join(bytes([block % 4 * 16 + 7]) * 4096 for block in range(256))
    assert path.read_bytes() == (mount.folder / place.name / "file").read_bytes() == wanted


def test_fio_verifies(place: Path) -> None:
    """fio writes at random positions, several jobs at a time, and finds everything again."""
    fio = programs.need("fio")
    jobs = ["--size=4m", "--bs=4k-128k", "--numjobs=2", "--rw=randrw", "--verify=crc32c", "--verify_fatal=1"]
    jobs.append("--verify_state_save=0")  # else it leaves a file for each job in the working directory
    done = programs.run(
        [fio, "--name=mount", f"--directory={place}", *jobs, "--ioengine=psync"], timeout_s=60
    )
    assert done.status == 0, done.output


EXERCISER = """
import mmap, os, random, sys
path, random = sys.argv[1], random.Random(int(sys.argv[2]))
model, fds = bytearray(), [os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)]

def put(offset, data):
    model.extend(bytes(max(0, offset + len(data) - len(model))))
    model[offset : offset + len(data)] = data

for number in range(int(sys.argv[3])):
    what, fd, offset = random.choice("wwwwrrrtmoaf"), random.choice(fds), random.randrange(300000)
    size = random.choice([1, 100, 4096, 5000, 70000, 200000])
    if what == "w":
        data = random.randbytes(size)
        os.pwrite(fd, data, offset)
        put(offset, data)
    elif what == "r":
        assert os.pread(fd, size, offset) == bytes(model[offset : offset + size]), (number, offset, size)
    elif what == "t":
        os.ftruncate(fd, offset)
        put(offset, b"")
        del model[offset:]
    elif what == "m" and len(model) > 10:
        with mmap.mmap(fd, len(model)) as shown:
            start = random.randrange(len(model))
            data = random.randbytes(min(size, len(model) - start))
            assert shown[start : start + 50] == bytes(model[start : start + 50]), (number, "mmap", start)
            shown[start : start + len(data)] = data
            put(start, data)
    elif what == "o" and len(fds) > 2:
        os.close(fds.pop(random.randrange(len(fds))))
    elif what == "o":
        fds.append(os.open(path, os.O_RDWR))
    elif what == "a":
        with open(path, "ab") as file:
            file.write(b"append")
        put(len(model), b"append")
    elif what == "f":
        os.fsync(fd)
    assert os.fstat(fds[0]).st_size == len(model), (number, what)
for fd in fds:
    os.close(fd)
for place in sys.argv[1], sys.argv[4]:
    with open(place, "rb") as file:
        assert file.read() == model, place
"""


def test_random_operations_on_one_file(mount: Mounted, place: Path) -> None:
    """Writes, reads, truncates, maps, appends and opens at random, compared with a model after each."""
    for seed in (1, 2):
        there = mount.folder / place.name / "file"
        command = [sys.executable, "-c", EXERCISER, str(place / "file"), str(seed), "150", str(there)]
        assert programs.run(command, timeout_s=60).status == 0, f"seed {seed}"


def test_work_on_sources(mount: Mounted, place: Path) -> None:
    """A C project is built and rebuilt after a change; git makes and clones a repository."""
    tcc, make = programs.need("tcc"), programs.need("make")
    shutil.copytree(Path(__file__).parent / "c-project" / "project", place / "project")
    shell(f"'{make}' CC='{tcc}' >&2; touch shapes.c; '{make}' CC='{tcc}' | grep -q shapes", place / "project")
    if shutil.which("git") is None:
        return
    shell(
        f"""git init -q a; cp '{SOURCES}'/client/*.py a; cd a; git add .
        git -c user.name=a -c user.email=b commit -qm first; git fsck --strict; rm -f *.py; git checkout -q .
        [ -z "$(git status --short)" ]; git clone -q . ../b; diff -r --exclude=.git . ../b""",
        place,
    )


async def test_listing_asks_nothing_of_entries(server: Target, tmp_path: Path) -> None:
    """`ls -l` of 2,000 entries, twice: a few messages to the server, counted on the wire."""
    need_fuse()
    folder = server.folder() / "listing"
    folder.mkdir()
    for number in range(2000):
        (folder / f"file {number}").write_bytes(b"x" * (number % 7))
    url, sent = f"smb://{server.user}@{server.host}:{server.port}/share/listing", []
    async with frevo.connect(url, password=server.password) as share:
        transport = share.tree.connection.plane.transport
        for name in ("submit", "submit_now"):
            send = getattr(transport, name)
            setattr(transport, name, lambda *given, send=send: (sent.append(given), send(*given)))
        ready = asyncio.Event()
        settings = Settings(str(tmp_path), "//server/listing", os.getuid(), os.getgid(), cache_s=30)
        task = asyncio.create_task(serve_mount(share, settings, ready.set))
        await ready.wait()
        for command in ("ls -l", "ls -l"):
            sent.clear()
            words = ["bash", "-euc", f"cd '{tmp_path}'; {command} | wc -l"]
            output = await asyncio.to_thread(programs.run, words)
            assert int(output.ok()) == 2001
            assert len(sent) < 20
        await asyncio.to_thread(programs.run, ["umount", str(tmp_path)])
        await task
    shutil.rmtree(folder)


def test_what_others_change(mount: Mounted, place: Path) -> None:
    """A file changed on the server is seen by the next open, even while its attributes are cached."""
    (place / "file").write_text("short")
    there = mount.folder / place.name
    assert (place / "file").read_text() == "short"
    for text in ("a much longer text", "tiny", "x" * 10000, ""):
        (there / "file").write_text(text)
        assert (place / "file").read_text() == text
    (there / "file").write_text("1\n")
    shell("echo 2 >> file", place)
    assert (there / "file").read_text() == "1\n2\n"


def test_without_a_cache(server_of: Target, tmp_path: Path) -> None:
    """--cache-seconds 0: everything that changes on the server is seen at once."""
    folder = server_of.folder() / "uncached"
    folder.mkdir()
    with mounted(server_of, tmp_path, "--cache-seconds", "0", inner="uncached") as mount:
        for number in range(3):
            assert not (mount.path / "file").exists()
            (folder / "file").write_text("x" * number)
            assert (mount.path / "file").stat().st_size == number
            (folder / "file").write_text("x" * 10 * number)
            assert (mount.path / "file").stat().st_size == 10 * number
            os.utime(folder / "file", (1, 1000))
            assert (mount.path / "file").stat().st_mtime == 1000
            (folder / "file").unlink()
            assert names_in(mount.path) == []
    folder.rmdir()


def test_full_share(server_of: Target, tmp_path: Path) -> None:
    """A program that writes more than fits gets the error at close at the latest; the mount still works."""
    folder = server_of.folder() / "full"
    folder.mkdir()
    tried = programs.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=0777", "none", str(folder)])
    if tried.status:
        folder.rmdir()
        programs.missing(f"a small file system cannot be mounted: {tried.output.strip()}")
    try:
        with mounted(server_of, tmp_path, inner="full") as mount:
            with pytest.raises(OSError) as caught, (mount.path / "big").open("wb", buffering=0) as file:
                for _ in range(12):
                    file.write(bytes(1 << 20))
            assert caught.value.errno == errno.ENOSPC
            (mount.path / "big").unlink()
            (mount.path / "small").write_text("there is room again")
            assert (folder / "small").read_text() == "there is room again"
    finally:
        programs.run(["umount", str(folder)]).ok()
        folder.rmdir()


def test_read_only(server_of: Target, tmp_path: Path) -> None:
    """A share that is read-only, against frevo with --read-only, too: reading works, EROFS or EACCES; the owner."""
    (server_of.folder("ro") / "there").write_text("text")
    options = ["--read-only"] if server_of.name == "frevo" else []
    with mounted(
        server_of, tmp_path, *options, "--umask", "077", "--uid", "12", "--gid", "34", share="ro"
    ) as mount:
        known = (mount.path / "there").stat()
        assert (known.st_uid, known.st_gid, stat.S_IMODE(known.st_mode)) == (12, 34, 0o700)
        assert (mount.path / "there").read_text() == "text"
        with pytest.raises(OSError) as caught:
            (mount.path / "new").touch()
        assert caught.value.errno in ([errno.EROFS] if options else [errno.EACCES, errno.EROFS])


def test_background(server_of: Target, tmp_path: Path) -> None:
    """Without -f the command returns when the mount works; `frevo umount`, or fusermount3 -u, unmounts it."""
    remover = [*FREVO, "umount", str(tmp_path)]
    if server_of.name == "samba" and shutil.which("fusermount3"):
        remover = ["fusermount3", "-u", str(tmp_path)]
    url = f"{server_of.url}/share"
    programs.run([*FREVO, "mount", url, str(tmp_path)], env=environment(server_of)).ok()
    assert is_mounted(tmp_path)
    (tmp_path / "background").write_text("text")
    assert (server_of.folder() / "background").read_text() == "text"
    (tmp_path / "background").unlink()
    programs.run(remover).ok()
    assert not is_mounted(tmp_path)


def test_errors_are_reported(
    server_of: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be mounted is reported in a sentence, with exit code 1, and nothing is mounted."""
    url = server_of.url
    for name, value in environment(server_of).items():
        monkeypatch.setenv(name, value)
    for arguments, sentence in (
        (["mount", "-f", f"{url}/share", str(tmp_path / "missing")], "the directory must exist"),
        (["mount", "-f", f"{url}/no-such-share", str(tmp_path)], "no such share"),
        (["mount", "-f", f"{url}/share/no such path", str(tmp_path)], "no such file"),
        (["mount", "-f", f"{url}", str(tmp_path)], "names no share"),
        (["umount", str(tmp_path)], "is not a mount"),
    ):
        assert main(arguments) in (1, 2)
        assert sentence in capsys.readouterr().err
    monkeypatch.setenv("FREVO_PASSWORD", "wrong")
    done = programs.run([*FREVO, "mount", f"{url}/share", str(tmp_path)])  # would go to the background
    assert done.status == 1 and "wrong user or password" in done.output
    assert not is_mounted(tmp_path)


def test_signals_unmount(server_of: Target, tmp_path: Path) -> None:
    """SIGINT while a program has a file open: exit code 0, no mount is left, the program gets errors."""
    with mounted(server_of, tmp_path) as mount:
        file = os.open(mount.path / "open", os.O_CREAT | os.O_WRONLY)
        os.write(file, b"arrives")
        assert mount.stop(signal.SIGINT) == 0
        assert not is_mounted(mount.path)
        with pytest.raises(OSError):
            os.write(file, b"too late")
        with contextlib.suppress(OSError):
            os.close(file)
    assert (server_of.folder() / "open").read_bytes() == b"arrives"
    (server_of.folder() / "open").unlink()


@pytest.mark.tcp_only("a killed QUIC server says nothing and is noticed after 30 seconds, see test_client_quic.py")
def test_server_dies_and_comes_back(tmp_path: Path, port: int) -> None:
    """kill -9 of the server under a mount: errors in time, a new server serves it again, umount without a server."""
    need_fuse()
    options = {"server smb transports": f"tcp:{port}"}
    server = start(tmp_path / "server", options)
    with mounted(server, tmp_path / "a", "--reconnect", "1", "--cache-seconds", "0") as mount:
        (mount.path / "file").write_text("before")
        unfinished = os.open(mount.path / "file", os.O_WRONLY)
        server.stop(signal.SIGKILL)
        done = programs.run(["bash", "-c", f"ls '{mount.path}'; cat '{mount.path}/file'"], timeout_s=30)
        assert done.status == 1 and "Input/output error" in done.output
        with pytest.raises(OSError) as caught:
            os.write(unfinished, b"x")
            os.fsync(unfinished)
        assert caught.value.errno == errno.EIO
        shutil.rmtree(tmp_path / "server" / "private")  # `start` makes the accounts anew
        server = start(tmp_path / "server", options)
        assert (mount.path / "file").read_text() == "before"
        (mount.path / "file").write_text("after")
        with contextlib.suppress(OSError):
            os.close(unfinished)
        assert server.stop(signal.SIGKILL) != 0
        programs.run(["umount", str(mount.path)], timeout_s=30).ok()
        assert mount.process.wait(20) == 0
    assert (tmp_path / "server" / "shares" / "share" / "file").read_text() == "after"


def test_mounts_show_what_they_are(mount: Mounted) -> None:
    """/proc/mounts names the share and fuse.frevo; statvfs has the space of the share."""
    shown = str(mount.path).replace(" ", "\\040")
    text = Path("/proc/mounts").read_text()
    source = f"//127.0.0.1:{mount.target.port}/share/mount"
    kinds = [words[2] for words in map(str.split, text.splitlines()) if words[:2] == [source, shown]]
    assert kinds == ["fuse.frevo"]
    ours, theirs = os.statvfs(mount.path), os.statvfs(mount.folder)
    assert ours.f_blocks * ours.f_frsize == theirs.f_blocks * theirs.f_frsize


def test_holes_zeros_and_room(place: Path) -> None:
    """Goal: fallocate(2) makes holes, zeros and space on the server, the kernel's cache is invalidated with it, and
    unsupported modes are EOPNOTSUPP. Method: each mode on data that was just written; sizes, bytes and SEEK_HOLE."""
    data = os.urandom(3 << 20)
    with (place / "file").open("w+b", buffering=0) as file:
        fd = file.fileno()
        file.write(data)
        fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1 << 20, 1 << 20)
        expected = bytearray(data)
        expected[1 << 20 : 2 << 20] = bytes(1 << 20)
        assert os.pread(fd, 3 << 20, 0) == expected
        assert [os.lseek(fd, 0, os.SEEK_HOLE), os.lseek(fd, 1 << 20, os.SEEK_DATA)] == [1 << 20, 2 << 20]
        assert os.lseek(fd, 2 << 20, os.SEEK_HOLE) == 3 << 20
        fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, (3 << 20) - 10, 100)
        expected[-10:] = bytes(10)
        assert os.pread(fd, 4 << 20, 0) == expected
        fallocate(fd, FALLOC_FL_ZERO_RANGE, (3 << 20) - 20, 100)
        expected[-20:] = bytes(100)
        assert os.pread(fd, 4 << 20, 0) == expected
        fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 5 << 20)
        assert os.fstat(fd).st_size == len(expected)
        fallocate(fd, 0, 0, 4 << 20)
        assert os.fstat(fd).st_size == 4 << 20 and os.pread(fd, 100, len(expected)) == bytes(100)
        fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10 << 20, 1 << 20)
        assert os.fstat(fd).st_size == 4 << 20
        for mode in (0x08, 0x20, FALLOC_FL_PUNCH_HOLE):  # collapse, insert; a hole that moves the end
            with pytest.raises(OSError, match="not supported") as refused:
                fallocate(fd, mode, 0, 4096)
            assert refused.value.errno == errno.EOPNOTSUPP


def test_times_before_1970_and_after_2262(mount: Mounted, place: Path) -> None:
    """Goal: times of all years survive a mount. Method: set and read, in nanoseconds."""
    if mount.target.name != "frevo":
        pytest.skip("what smbd keeps is its file system's business")
    for seconds in (-11_000_000_000, -1, 10**10, 250_000_000_000):
        (place / "file").touch()
        os.utime(place / "file", ns=(seconds * 10**9 + 100, seconds * 10**9 + 300))
        found = (place / "file").stat()
        assert (found.st_atime_ns, found.st_mtime_ns) == (seconds * 10**9 + 100, seconds * 10**9 + 300)


def test_a_mount_on_the_server_has_its_own_space(mount: Mounted, place: Path) -> None:
    """Goal: df in a folder that is another file system there shows that one. Method: a tmpfs of 5 MiB."""
    if mount.target.name != "frevo":
        pytest.skip("smbd does not tell file systems apart")
    inner = mount.folder / place.name / "inner"
    (place / "inner").mkdir()
    if programs.run(["mount", "-t", "tmpfs", "-o", "size=5M", "none", str(inner)]).status:
        programs.missing("nothing can be mounted here")
    try:
        room = os.statvfs(place / "inner")
        assert room.f_blocks * room.f_frsize == 5 << 20
        assert os.statvfs(place).f_blocks * os.statvfs(place).f_frsize != 5 << 20
    finally:
        programs.run(["umount", str(inner)])
