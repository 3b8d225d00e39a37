"""`frevo lab`: an emulated network, to try programs on a bad one."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from frevo.cli.common import Subparsers, UsageError, add_command, printable

if TYPE_CHECKING:
    from frevo.lab import Counts

_EXAMPLES = """\
  frevo lab path --listen 4443 --to 127.0.0.1:443 --loss 5% --delay 20ms --reorder 1% --mtu 1280 --seed 7
  frevo lab path --to nas:443 --rate 20Mbit --delay 150ms --jitter 30ms         a slow link far away
  frevo lab path --to nas:443 --rebind-every 2s                                 a NAT that forgets

`frevo lab path --help` explains each option. docs/guide/lab.md has more, for Python and pytest too."""
_PATH_EXAMPLES = """\
  frevo lab path --listen 4443 --to 127.0.0.1:443 --loss 5% --delay 20ms
  frevo ls smb+quic://eve@localhost:4443/photos      in another terminal, through the path

Every option applies to both directions unless --direction is given. Shares are 5% or 0.05; times are 20ms,
1.5s or 300us; rates are 100Mbit, 1Gbit or a number of bits per second. SIGINT (Ctrl-C) and SIGTERM end the
path and print what it has done with the datagrams."""

_SHARES = {
    "loss": "datagrams that are lost",
    "duplicate": "datagrams that arrive twice",
    "reorder": "datagrams that later ones overtake",
}
_TIMES = {
    "hold": (0.004, "for how long these are held back at most (4ms)"),
    "delay": (0.0, "from one end to the other; a round trip has it twice"),
    "jitter": (0.0, "random delay up to TIME more; keeps the order"),
    "queue": (0.1, "longest wait for --rate; what must wait longer is lost (100ms)"),
    "rebind-every": (0.0, "clients appear at a new port at this interval"),
}
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_BITS = {"kbit": 1e3, "mbit": 1e6, "gbit": 1e9, "bit": 1.0}


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo lab`."""
    parser = add_command(subparsers, "lab", "emulate a bad network, for tests", _EXAMPLES)
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True, title="kinds")
    path = add_command(
        kinds, "path", "pass UDP datagrams on to a server: lossy, late, reordered", _PATH_EXAMPLES
    )
    path.add_argument(
        "--listen",
        metavar="[ADDRESS:]PORT",
        type=_listen,
        default=("127.0.0.1", 0),
        help="where clients send to (127.0.0.1, a free port)",
    )
    path.add_argument("--to", metavar="HOST:PORT", type=_address, required=True, help="the server")
    for name, text in _SHARES.items():
        path.add_argument(f"--{name}", metavar="SHARE", type=_share, default=0.0, help=text)
    for name, (seconds, text) in _TIMES.items():
        path.add_argument(f"--{name}", metavar="TIME", type=_time, default=seconds, help=text)
    path.add_argument("--mtu", type=int, default=0, metavar="BYTES", help="larger IP packets disappear")
    path.add_argument("--rate", type=_rate, default=0.0, metavar="RATE", help="of all clients together")
    path.add_argument(
        "--direction", choices=("up", "down", "both"), default="both", help="up is towards the server"
    )
    path.add_argument("--seed", type=int, default=0, help="the same seed makes the same decisions (0)")


def run(args: argparse.Namespace) -> int:
    """Run the path until a signal, and print its counts."""
    from frevo.lab import Conditions, DatagramPath

    try:
        conditions = Conditions(
            loss=args.loss,
            duplicate=args.duplicate,
            reorder=args.reorder,
            hold_s=args.hold,
            delay_s=args.delay,
            jitter_s=args.jitter,
            mtu=args.mtu,
            rate=args.rate,
            queue_s=args.queue,
        )
    except ValueError as error:
        raise UsageError(str(error)) from None
    up, down = (conditions if args.direction in (way, "both") else Conditions() for way in ("up", "down"))
    path = DatagramPath(
        args.to, up, down, listen=args.listen, seed=args.seed, rebind_every_s=args.rebind_every
    )
    signals = {signal.SIGINT, signal.SIGTERM}
    former = signal.pthread_sigmask(
        signal.SIG_BLOCK, signals
    )  # before the thread begins: it must not take them
    try:
        with path:
            print(
                printable(f"{_shown(path.host, path.port)} to {_shown(*args.to)}, seed {args.seed}"),
                flush=True,
            )
            while path.running and signal.sigtimedwait(signals, 1.0) is None:
                pass
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)
    print(_told("up", path.up))
    print(_told("down", path.down))
    if path.rebindings:
        print(f"rebound {path.rebindings} times")
    return 0


def _told(direction: str, counts: Counts) -> str:
    words = [f"{counts.received} received", f"{counts.passed} passed ({counts.bytes} bytes)"]
    for name in ("lost", "duplicated", "held", "too_large", "overflowed", "missed"):
        words += [f"{getattr(counts, name)} {name.replace('_', ' ')}"] if getattr(counts, name) else []
    return f"{direction + ':':5} {', '.join(words)}"


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _listen(text: str) -> tuple[str, int]:
    return ("127.0.0.1", 0) if text == "0" else _address(text if ":" in text else f"127.0.0.1:{text}")


def _unit(units: dict[str, float], what: str) -> Callable[[str], float]:
    """The type of an option that is a number followed by one of *units*; without one it is in the basic unit."""

    def parse(text: str) -> float:
        number = text.lower()
        unit = next((one for one in units if number.endswith(one)), "")
        try:
            value = float(number.removesuffix(unit)) * units.get(unit, 1.0)
        except ValueError:
            value = -1.0
        if not 0 <= value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
        return value

    return parse


_time = _unit(_SECONDS, "a time such as 20ms, 1.5s or 300us")
_rate = _unit(_BITS, "a rate such as 100Mbit or 1Gbit")
_share = _unit({"%": 0.01}, "a share such as 5% or 0.05")
