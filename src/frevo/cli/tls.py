"""`frevo tls`: certificates for SMB over QUIC: show, renew, export, import; who may connect with which."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module

from frevo.cli.common import Subparsers, add_command, private_dir_options

EXAMPLES = """\
  frevo tls show                               certificates, dates, fingerprints, and how clients connect
  frevo tls export-ca ca.pem                   the CA that clients need
  frevo tls renew --name files.example.org     a new certificate with a further name
  frevo tls import fullchain.pem privkey.pem   use a certificate of another CA (also PKCS#12)
  frevo tls issue-client alice                 a certificate for a client: alice.pem, alice.key, alice.p12
  frevo tls list                               who may connect with a certificate
  frevo tls deny 3a:f0:...                     shut one out at once, by its SHA-256
  frevo tls allow 'issuer:CN=Example CA,O=Example'

Certificates are kept in the folder tls of `private dir`. Running servers notice changes within a second.
Exit status: 0 success, 1 refused (message on standard error), 2 wrong usage."""

#: Action: its help, and the module and function that carry it out.
ACTIONS: dict[str, tuple[str, str]] = {
    "show": ("show the certificates and how clients connect", "tls_show:show"),
    "renew": ("make a new certificate for the server", "tls_server:renew"),
    "export-ca": ("write the CA that clients need to trust", "tls_server:export_ca"),
    "import": ("use a certificate of another CA for the server", "tls_server:import_pair"),
    "issue-client": ("make a certificate for a client, and allow it", "tls_clients:issue_client"),
    "allow": ("let clients with this certificate, or of this CA, connect", "tls_clients:allow"),
    "deny": ("keep clients with this certificate, or of this CA, out", "tls_clients:deny"),
    "list": ("list who may connect, and the certificates issued here", "tls_clients:list_entries"),
    "remove": ("remove an allow or deny entry", "tls_clients:remove"),
}

_WHOM = """\
CLIENT is one of
  a SHA-256 fingerprint            3af0..., with or without colons
  a certificate file               PEM or DER: its first certificate; a root CA stands for all that it issued
  issuer:NAME                      all that a CA has issued: issuer:CN=Example CA,O=Example
  subject:NAME                     the name in the certificate: subject:CN=alice
  san:DNS:NAME, san:email:ADDRESS, san:IP:ADDRESS, san:URI:TEXT

An entry applies to the certificate and to all below it in the chain. A client may connect if an entry allows
a certificate of its chain and none denies one."""


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Add `tls` and its actions to the `frevo` command."""
    parser = add_command(subparsers, "tls", "manage the certificates for SMB over QUIC", EXAMPLES)
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(dest="tls_action", metavar="ACTION", required=True)
    where = private_dir_options("the server's smb.conf")
    added = {}
    for name, (text, _) in ACTIONS.items():
        whom = _WHOM if name in ("allow", "deny", "remove") else None
        added[name] = actions.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            parents=[where],
            epilog=whom,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added[name].set_defaults(run=run)
    _server_options(added)
    _client_options(added)
    return parser


def _server_options(parsers: dict[str, argparse.ArgumentParser]) -> None:
    parsers["show"].add_argument("--json", action="store_true", help="print JSON")
    renew = parsers["renew"]
    renew.add_argument(
        "--name", action="append", default=[], metavar="NAME",
        help="a further DNS name or address of the server, now and in later certificates; may be repeated",
    )  # fmt: skip
    renew.add_argument(
        "--ca", action="store_true", help="also make a new CA: all clients need to import it again"
    )
    renew.add_argument(
        "--replace", action="store_true", help="replace an imported certificate with one that frevo makes"
    )
    export = parsers["export-ca"]
    export.add_argument(
        "file", nargs="?", metavar="FILE", help="the file to write (default: standard output)"
    )
    export.add_argument("--der", action="store_true", help="write DER (.cer, for Windows) instead of PEM")
    add = parsers["import"]
    add.add_argument(
        "file", metavar="FILE", help="PEM with the certificate and its chain, or PKCS#12 (.p12, .pfx)"
    )
    add.add_argument("keyfile", nargs="?", metavar="KEYFILE", help="the key, if it is not in FILE (PEM)")
    _password_option(add, "the password of the key")


def _client_options(parsers: dict[str, argparse.ArgumentParser]) -> None:
    issue = parsers["issue-client"]
    issue.add_argument(
        "name", metavar="NAME", help="whose it is: the name in the certificate and of its files"
    )
    issue.add_argument(
        "-o", "--out", default=".", metavar="DIR", help="where to write the files (default: here)"
    )
    issue.add_argument("--days", type=_days, default=365, metavar="N", help="how long it is valid (365)")
    issue.add_argument(
        "--san", action="append", default=[], metavar="KIND:VALUE",
        help="a subject alternative name (DNS:laptop.example, email:alice@example.org); may be repeated",
    )  # fmt: skip
    issue.add_argument("--no-allow", action="store_true", help="do not add an entry that allows it")
    _password_option(issue, "the password for the PKCS#12 file")
    for name in ("allow", "deny", "remove"):
        parsers[name].add_argument("client", metavar="CLIENT", help="a fingerprint, file or name, see below")
    for name in ("allow", "deny"):
        parsers[name].add_argument(
            "--note", default="", metavar="TEXT", help="a note for whoever reads the list"
        )
    parsers["list"].add_argument("--json", action="store_true", help="print JSON")


def _password_option(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--password-stdin", action="store_true", help=f"read {what} from the first line of standard input"
    )


def _days(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 3650:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days from 1 to 3650")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Run `frevo tls ...`; returns the exit status."""
    module, _, function = ACTIONS[args.tls_action][1].partition(":")
    action: Callable[[argparse.Namespace], int] = getattr(import_module(f"frevo.cli.{module}"), function)
    return action(args)
