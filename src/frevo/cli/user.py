"""`frevo user`: add, change, list, import and remove the accounts that can log on."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from frevo.auth.accounts import Account, AccountsError, AccountStore, check_name
from frevo.auth.private_files import PrivateFileError
from frevo.auth.smbpasswd import SmbpasswdError, parse_smbpasswd
from frevo.cli.common import private_dir_options
from frevo.cli.passwords import PasswordError, read_password
from frevo.text import json_text, one_line, printable

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

EXAMPLES = """examples:
  frevo user add alice                          ask for the password
  pwgen 20 1 | frevo user add bob --password-stdin
  frevo user list --json
  frevo user import /var/lib/samba/private/smbpasswd -c smb.conf
  pdbedit -Lw | frevo user import -             Samba's users on this machine
  frevo user disable bob -c /etc/frevo/smb.conf

Exit status: 0 success, 1 refused (message on standard error), 2 wrong usage."""


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Add `user` and its actions to the `frevo` command."""
    parser = subparsers.add_parser(
        "user",
        help="manage the accounts that can log on",
        description="Manage the accounts in `private dir`.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(dest="user_action", metavar="ACTION", required=True)
    where = private_dir_options("the smb.conf that sets `private dir`")

    def action(
        name: str, text: str, run_action: Callable[[argparse.Namespace], int]
    ) -> argparse.ArgumentParser:
        added = actions.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}.", parents=[where]
        )
        added.set_defaults(run=run, run_action=run_action)
        return added

    for name, text, function in (
        ("add", "create an account", _add),
        ("passwd", "change a password", _passwd),
    ):
        added = action(name, text, function)
        added.add_argument("name")
        added.add_argument(
            "--password-stdin",
            action="store_true",
            help="read the password from the first line of standard input",
        )
        if name == "add":
            added.add_argument("--full-name", default="", help="the person's full name")
    for name, text, function in (
        ("remove", "delete an account", _remove),
        ("enable", "allow an account to log on again", _enable),
        ("disable", "stop an account from logging on", _disable),
    ):
        action(name, text, function).add_argument("name")
    action("list", "list the accounts", _list).add_argument("--json", action="store_true", help="print JSON")
    action(
        "import", "import users from an smbpasswd file, as written by `pdbedit -Lw`", _import
    ).add_argument("file", type=Path, help="the file, or - for standard input")
    return parser


def run(args: argparse.Namespace) -> int:
    """Run `frevo user ...`; returns the exit status."""
    try:
        code: int = args.run_action(args)
        return code
    except (AccountsError, PasswordError, PrivateFileError, SmbpasswdError) as error:
        print(printable(f"frevo user: {error}"), file=sys.stderr)
        return 1


def _store(args: argparse.Namespace) -> AccountStore:
    return AccountStore(args.private_dir or _configured_private_dir(args.config))


def _configured_private_dir(path: str | None) -> str:
    """`private dir` from the smb.conf at *path*, or its default."""
    from frevo.config import ConfigErrors, GlobalConfig, load

    if path is None:
        return GlobalConfig().private_dir
    try:
        return load(path).globals.private_dir
    except ConfigErrors as error:
        raise AccountsError(f"the configuration cannot be used:\n{error}") from None


def _new_password(args: argparse.Namespace) -> str:
    return read_password(f"New password for {args.name}", from_stdin=args.password_stdin, new=True)


def _add(args: argparse.Namespace) -> int:
    check_name(args.name)
    store = _store(args)
    if store.lookup(args.name) is not None:
        raise AccountsError(
            f"account {args.name!r} already exists: to change its password, use frevo user passwd {args.name}"
        )
    store.add(args.name, _new_password(args), full_name=args.full_name)
    print(one_line(f"Added {args.name} to {store.path}"))
    return 0


def _passwd(args: argparse.Namespace) -> int:
    store = _store(args)
    if store.lookup(args.name) is None:
        raise AccountsError(f"there is no account {args.name!r} in {store.path}")
    store.set_password(args.name, _new_password(args))
    print(one_line(f"Changed the password of {args.name}"))
    return 0


def _remove(args: argparse.Namespace) -> int:
    print(one_line(f"Removed {_store(args).remove(args.name).name}"))
    return 0


def _enable(args: argparse.Namespace) -> int:
    print(one_line(f"Enabled {_store(args).set_disabled(args.name, False).name}"))
    return 0


def _disable(args: argparse.Namespace) -> int:
    print(one_line(f"Disabled {_store(args).set_disabled(args.name, True).name}"))
    return 0


def _list(args: argparse.Namespace) -> int:
    accounts = _store(args).all()
    if args.json:
        print(json_text([account.public() for account in accounts], indent=1))
    else:
        for line in _table(accounts):
            print(one_line(line))
    return 0


def _table(accounts: list[Account]) -> list[str]:
    rows = [("NAME", "RID", "STATE", "PASSWORD SET", "FULL NAME")]
    for account in accounts:
        state = "disabled" if account.disabled else "must change" if account.must_change else "enabled"
        day = time.strftime("%Y-%m-%d", time.localtime(account.password_set_s))
        rows.append((account.name, str(account.rid), state, day, account.full_name))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _import(args: argparse.Namespace) -> int:
    """Import all valid entries, and report the others."""
    try:
        if str(args.file) == "-":
            text = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
        else:
            text = args.file.read_text("utf-8", "surrogateescape")
    except OSError as error:
        raise AccountsError(f"cannot read {args.file}: {error.strerror}") from None
    try:
        entries, left_out = parse_smbpasswd(text)
    except SmbpasswdError as error:
        raise AccountsError(f"{os.fspath(args.file)}: {error}") from None
    good = []
    for entry in entries:
        try:
            check_name(entry.name)
        except AccountsError as error:
            left_out.append(str(error))
        else:
            good.append(entry)
    added, updated = _store(args).merge(good)
    for sentence in left_out:
        print(one_line(f"skipped: {sentence}"), file=sys.stderr)
    print(f"Imported {len(added) + len(updated)} accounts: {len(added)} new, {len(updated)} updated")
    for entry in good:
        if entry.disabled or entry.must_change:
            what = "is disabled" if entry.disabled else "must change the password first (frevo user passwd)"
            print(printable(f"{entry.name} {what}, as in Samba"))
    return 0
