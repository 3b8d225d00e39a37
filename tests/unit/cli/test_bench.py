"""frevo.cli.bench: what the options of `frevo bench` accept and refuse."""

from __future__ import annotations

import argparse

import pytest

from frevo.cli.bench import _complete, add_parser
from frevo.cli.common import UsageError


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers(dest="command"))
    return parser.parse_args(["bench", *words])


def test_the_defaults_are_smbtortures() -> None:
    """4 connections, one request in flight on each, 4 KiB, 10 seconds, no limit of operations."""
    args = parsed("read", "smb://nas/data")
    assert (args.connections, args.qdepth, args.io_size, args.time, args.operations) == (
        4,
        1,
        4096,
        10.0,
        None,
    )


@pytest.mark.parametrize(("text", "size"), [("1", 1), ("64K", 65536), ("2m", 2 << 20), ("16M", 16 << 20)])
def test_sizes(text: str, size: int) -> None:
    """K and M are powers of 1024."""
    assert parsed("write", "smb://nas/data", "--io-size", text).io_size == size


@pytest.mark.parametrize(
    "words",
    [
        *(["read", "URL", "--io-size", text] for text in ("0", "-1", "K", "4T", "17M", "1.5K", "٣")),
        *(["echo", "URL", "--connections", text] for text in ("0", "x", "99999999")),
        *(["echo", "URL", "--time", text] for text in ("0", "-1", "nan", "inf", "soon")),
        *(["mixed", "URL", "--reads", text] for text in ("101", "-1", "1.5")),
        ["read", "URL", "--reads", "70"],
        ["echo", "URL", "--client-guid", "nobody"],
        ["echo", "URL", "--io-size", "4K"],
        ["open", "URL", "--protect", "somehow"],
        *(["read", "URL", "--rdma-threshold", text] for text in ("-1", "9M", "much")),
        ["nothing", "URL"],
        [],
    ],
)
def test_wrong_values(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A value that is not a number, not a size or not for this workload is refused by argparse, with a usage line."""
    with pytest.raises(SystemExit) as stop:
        parsed(*words)
    assert stop.value.code == 2 and "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "size"), [("0", 0), ("1", 1), ("64K", 65536), ("8M", 8 << 20)])
def test_the_threshold_of_rdma(text: str, size: int) -> None:
    """A size of at most 8 MiB; 0 means never."""
    assert parsed("read", "smb+rdma://nas/data", "--rdma-threshold", text).rdma_threshold == size


def test_json_before_the_url() -> None:
    """`--json URL` has no FILE: the report goes to standard output."""
    args = parsed("echo", "--json", "smb://nas/data")
    _complete(args)
    assert (args.url, args.json) == ("smb://nas/data", "-")


def test_protect_and_its_other_spellings() -> None:
    """--protect is another spelling of --encrypt and --no-sign; contradictions are refused."""
    args = parsed("echo", "smb://nas", "--protect", "encrypt", "--encrypt")
    _complete(args)
    assert args.encrypt and not args.no_sign
    for words in (
        ["--protect", "sign", "--encrypt"],
        ["--protect", "off", "--encrypt"],
        ["--no-sign", "--encrypt"],
    ):
        with pytest.raises(UsageError):
            _complete(parsed("echo", "smb://nas", *words))
