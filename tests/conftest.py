"""Real servers for tests: `serve`, `server`, `any_plane` (ours) and `samba_server` (Debian's smbd).

Servers with the same configuration are started once and shared; each is stopped, and its log and exit are checked,
when the tests are over. `pytest tests/interop --against samba` runs the same tests against smbd, to tell a fault of
the test from one of the server. `pytest --transport=quic` reaches every server over QUIC, `iwarp` and `emulated` over
SMB Direct (see `peers.transports`); tests marked `each_transport` run over all of them without that. `--engine=epoll`
and `--fast-path=no` repeat what another data plane could answer differently (see `peers.planes`).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack, nullcontext
from typing import Any

import pytest
from peers import planes, programs, transports
from peers.frevo_server import FrevoServer, frevo_server
from peers.planes import PLANES
from peers.samba_server import samba_server as run_samba
from peers.target import Serve, Target

#: As tests call them that QUIC does not carry, and of these what SMB Direct does.
OLD_DIALECTS = {"SMB2_02", "SMB2_10", "SMB3_00", "SMB3_02", "2.0.2", "2.1", "3.0", "3.0.2", "vers=3.0"}
DIRECT_DIALECTS = {"SMB3_00", "SMB3_02", "3.0", "3.0.2", "vers=3.0"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--against", choices=("frevo", "samba"), default="frevo", help="the server under test")
    parser.addoption(
        "--transport", choices=transports.TRANSPORTS, default="tcp", help="how servers are reached"
    )
    parser.addoption(
        "--engine", choices=planes.ENGINES, default="auto", help="the engine of servers and clients"
    )
    parser.addoption(
        "--fast-path", choices=("yes", "no"), default="yes", help="what servers have as frevo:fast path"
    )


def pytest_configure(config: pytest.Config) -> None:
    chosen = ExitStack()
    chosen.enter_context(transports.using(config.getoption("--transport")))
    fast_path = config.getoption("--fast-path") == "yes"
    chosen.enter_context(planes.using(config.getoption("--engine"), fast_path=fast_path))
    config.add_cleanup(chosen.close)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    each = metafunc.definition.get_closest_marker("each_transport")
    if each and metafunc.config.getoption("--transport") == "tcp":
        metafunc.parametrize("reached_over", transports.TRANSPORTS, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    fast_path = config.getoption("--fast-path") == "yes"
    if config.getoption("--engine") != "auto" or not fast_path:
        left = [item for item in items if not planes.is_repeated(item, fast_path=fast_path)]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in set(left)]
    if hasattr(config, "workerinput"):
        from side_by_side import longest_first

        longest_first(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """`pytest -n N` without another --dist."""
    from side_by_side import InPieces

    return InPieces(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """A worker's report goes through a pipe as UTF-8; names in logs of hostile tests have lone surrogates."""
    return _encodable((yield))


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {key: _encodable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_encodable(one) for one in value)
    return value


@pytest.fixture(autouse=True)
def reached_over(request: pytest.FixtureRequest) -> Iterator[None]:
    """Sets how servers are reached in this test."""
    with transports.using(request.param) if hasattr(request, "param") else nullcontext():
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Over others than TCP, what is about TCP itself is skipped, and dialects that they do not carry; before any
    fixture."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    way = params.get("reached_over", transports.chosen())
    if way == "tcp":
        return
    marker = item.get_closest_marker("tcp_only")
    if marker:
        pytest.skip(f"over TCP only: {marker.args[0]}")
    missing = OLD_DIALECTS if way == "quic" else OLD_DIALECTS - DIRECT_DIALECTS
    for value in params.values():
        if not missing.isdisjoint(map(str, value if isinstance(value, list | tuple) else [value])):
            pytest.skip(f"{way} does not carry this dialect")


@pytest.fixture(scope="session")
def serve(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """serve({"key": "value"}) gives a running server with these lines in [global]; equal ones are shared."""
    against = request.config.getoption("--against")
    run = frevo_server if against == "frevo" else run_samba
    running: dict[tuple[object, ...], Target] = {}
    with ExitStack() as stack:

        def start(options: dict[str, str] | None = None) -> Target:
            key = (transports.chosen(), *sorted((options or {}).items()))
            if key not in running:
                running[key] = stack.enter_context(run(tmp_path_factory.mktemp(against), options))
            target = running[key]
            if isinstance(target, FrevoServer):
                assert target.alive(), f"the server is gone:\n{target.tail()}"
            return target

        yield start


@pytest.fixture(scope="session")
def quic_frevo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrevoServer]:
    """frevo with QUIC beside TCP, with certificates that it made itself. Clients choose whether to sign."""
    with frevo_server(tmp_path_factory.mktemp("quic"), {"server signing": "auto"}, quic=True) as target:
        yield target


@pytest.fixture
def server(serve: Serve) -> Target:
    """A server with the defaults."""
    return serve()


@pytest.fixture(params=sorted(PLANES))
def any_plane(request: pytest.FixtureRequest, serve: Serve) -> Target:
    """The same server with each engine, and without the fast path: all responses must be the same. Clients choose
    whether to sign."""
    if request.config.getoption("--against") != "frevo" and request.param != "epoll":
        pytest.skip("planes are frevo's")
    return serve({"server signing": "auto", **PLANES[request.param]})


@pytest.fixture
def port() -> Iterator[int]:
    """A port for a server that must come back on the same one."""
    with programs.reserved_port() as reserved:
        yield reserved


@pytest.fixture(scope="session")
def samba_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Debian's smbd with the same shares and user."""
    with run_samba(tmp_path_factory.mktemp("samba")) as target:
        yield target
