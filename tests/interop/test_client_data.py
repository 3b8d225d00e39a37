"""pandas, pyarrow, dask and zarr through `frevo://` on smbd and frevo; threads, processes, forks, caches."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from operator import methodcaller
from pathlib import Path
from typing import Any

import fsspec
import fsspec.asyn
import pytest
from fsspec.callbacks import Callback
from peers.target import Target

from frevo.client.filesystem import FrevoFileSystem

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]


@pytest.fixture
def options(target: Target) -> dict[str, Any]:
    """What `storage_options` are."""
    return {"username": target.user, "password": target.password, "transports": target.transport}


@pytest.fixture
def url(target: Target, options: dict[str, Any], request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a folder for this test."""
    made = f"frevo://{target.host}:{target.port}/share/data-{request.node.originalname}"
    yield made
    file_system, path = fsspec.url_to_fs(made, **options)
    file_system.rm(path, recursive=True)
    file_system.close()
    FrevoFileSystem.clear_instance_cache()


def test_tables(url: str, options: dict[str, Any]) -> None:
    """pandas: partitioned Parquet written, read, filtered; CSV by glob, compressed, appended to."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": range(10_000), "k": [number % 5 for number in range(10_000)]})
    frame.to_parquet(f"{url}/parts", partition_cols=["k"], storage_options=options)
    assert sorted(pandas.read_parquet(f"{url}/parts", storage_options=options).a) == list(frame.a)
    chosen = pandas.read_parquet(f"{url}/parts", storage_options=options, filters=[("k", "==", 3)])
    assert list(chosen.a) == list(range(3, 10_000, 5))
    for part in range(3):
        frame[part * 10 : part * 10 + 10].to_csv(
            f"{url}/csv/{part}.csv.gz", index=False, storage_options=options
        )
    files = fsspec.open_files(f"{url}/csv/*.csv.gz", "rt", compression="infer", **options)
    with files as opened:
        assert [file.read().count("\n") for file in opened] == [11, 11, 11]
    for mode in ("w", "a"):
        frame[:5].to_csv(f"{url}/log.csv", header=False, index=False, mode=mode, storage_options=options)
    assert len(pandas.read_csv(f"{url}/log.csv", header=None, storage_options=options)) == 10


def test_datasets(url: str, options: dict[str, Any]) -> None:
    """pyarrow: a dataset written, counted while its files are open, and removed as a folder; file information."""
    arrow = pytest.importorskip("pyarrow")
    dataset = pytest.importorskip("pyarrow.dataset")
    from pyarrow.fs import FileSelector, FSSpecHandler, PyFileSystem

    file_system, path = fsspec.url_to_fs(url, **options)
    table = arrow.table({"n": list(range(1000)), "k": [number % 4 for number in range(1000)]})
    dataset.write_dataset(table, f"{path}/set", filesystem=file_system, format="parquet", partitioning=["k"])
    read = dataset.dataset(f"{path}/set", filesystem=file_system)
    assert read.count_rows() == 1000
    wrapped = PyFileSystem(FSSpecHandler(file_system))
    assert len(wrapped.get_file_info(FileSelector(f"{path}/set", recursive=True))) == 8
    wrapped.delete_dir(f"{path}/set")
    assert not file_system.exists(f"{path}/set")
    file_system.makedirs(path, exist_ok=True)
    del read


def test_partitions_in_threads_and_processes(url: str, options: dict[str, Any], target: Target) -> None:
    """dask: partitions are written and read by threads and by processes that receive the file system pickled."""
    pandas = pytest.importorskip("pandas")
    dataframe = pytest.importorskip("dask.dataframe")
    frame = dataframe.from_pandas(pandas.DataFrame({"a": range(1000)}), npartitions=4)
    frame.to_parquet(f"{url}/dask", storage_options=options)
    read = dataframe.read_parquet(f"{url}/dask", storage_options=options).a.sum()
    assert read.compute(scheduler="threads") == 499_500
    if target.name == "samba":  # once is enough: each process takes seconds to load what it needs
        assert read.compute(scheduler="processes", num_workers=1) == 499_500


def test_arrays(url: str, options: dict[str, Any]) -> None:
    """zarr: an array in many small chunks and a group, written and read."""
    zarr = pytest.importorskip("zarr")
    array = zarr.open_array(
        f"{url}/a.zarr", mode="w", shape=(60, 60), chunks=(10, 10), dtype="i4", storage_options=options
    )
    array[:] = 7
    array[5:25, 5:25] = 8
    read = zarr.open_array(f"{url}/a.zarr", mode="r", storage_options=options)[:]
    assert (read == 8).sum() == 400 and (read == 7).sum() == 3200
    group = zarr.open_group(f"{url}/g.zarr", mode="w", storage_options=options)
    group.create_array("x", shape=(9,), chunks=(2,), dtype="f8")[:] = 1.5
    assert list(zarr.open_group(f"{url}/g.zarr", mode="r", storage_options=options)["x"][:]) == [1.5] * 9


def test_one_connection_for_all_threads(url: str, options: dict[str, Any]) -> None:
    """Threads that make the same file system get one instance with one connection."""
    file_system, path = fsspec.url_to_fs(url, **options)

    def work(number: int) -> bool:
        mine, _ = fsspec.url_to_fs(url, **options)
        mine.pipe_file(f"{path}/{number}", b"%d" % number * 1000)
        return mine is file_system and mine.cat_file(f"{path}/{number}") == b"%d" % number * 1000

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(40)))
    assert len(file_system.ls(path)) == 40


@pytest.mark.tcp_only("processes that end without a word keep their files open for 30 seconds over QUIC")
def test_forks_and_pickles(url: str, options: dict[str, Any]) -> None:
    """A forked child continues with the parent's file system and open file; pickled ones work in another process."""
    file_system, path = fsspec.url_to_fs(url, **options)
    file_system.pipe_file(f"{path}/file", b"0123456789")
    with file_system.open(f"{path}/file") as file:
        child = os.fork()
        if child == 0:
            good = file.read(4) == b"0123" and len(file_system.ls(path)) == 1
            os._exit(0 if good else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert file.read(4) == b"0123"
        assert pickle.loads(pickle.dumps(file)).read() == b"456789"
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(methodcaller("cat_file", f"{path}/file"), (file_system,)) == b"0123456789"


def test_collected_files(url: str, options: dict[str, Any]) -> None:
    """Files that nobody closed are closed by the collector, on the loop's own thread too; written ones are
    complete."""
    file_system, path = fsspec.url_to_fs(url, **options)

    def forget(number: int) -> None:
        written = file_system.open(f"{path}/{number}", "wb")
        written.write(b"data")
        written.itself = written
        read = file_system.open(f"{path}/{number}", "rb")
        read.itself = read

    async def collect() -> None:
        gc.collect()

    gc.disable()
    try:
        forget(1)
        fsspec.asyn.sync(file_system.loop, collect)
        forget(2)
    finally:
        gc.enable()
    gc.collect()
    while len(file_system.cat_file(f"{path}/1")) < 4:  # by another thread, soon
        pass
    assert file_system.cat_file(f"{path}/2") == b"data"


def test_caches_and_callbacks(url: str, options: dict[str, Any], tmp_path: Path) -> None:
    """simplecache and filecache in front; folders up and down with a callback; what changes is seen."""
    file_system, path = fsspec.url_to_fs(url, **options)
    (tmp_path / "up" / "deep").mkdir(parents=True)
    for number in range(5):
        (tmp_path / "up" / "deep" / f"f{number}").write_bytes(os.urandom(number * 50_000))
    counted = Callback()
    file_system.put(str(tmp_path / "up"), f"{path}/put", recursive=True, callback=counted)
    file_system.get(f"{path}/put", str(tmp_path / "down"), recursive=True)
    for number in range(5):
        wanted = (tmp_path / "up" / "deep" / f"f{number}").read_bytes()
        assert (tmp_path / "down" / "deep" / f"f{number}").read_bytes() == wanted
    assert counted.value == counted.size == 5
    place = f"{url}/put/deep/f1"
    before = file_system.ukey(f"{path}/put/deep/f1")
    with fsspec.open(f"simplecache::{place}", frevo=options) as file:
        assert len(file.read()) == 50_000
    file_system.pipe_file(f"{path}/put/deep/f1", b"new")
    assert file_system.ukey(f"{path}/put/deep/f1") != before
    assert file_system.size(f"{path}/put/deep/f1") == 3
    check = {"cache_storage": str(tmp_path / "cache"), "check_files": True}
    for contents in (b"new", b"newer"):
        file_system.pipe_file(f"{path}/put/deep/f1", contents)
        with fsspec.open(f"filecache::{place}", frevo=options, filecache=check) as file:
            assert file.read() == contents
    with fsspec.open(file_system.unstrip_protocol(f"{path}/put/deep/f1"), **options) as file:
        assert file.read() == b"newer"
