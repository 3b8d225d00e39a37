"""Passwords that a command asks for: on a terminal, or from the first line of standard input."""

from __future__ import annotations

import getpass
import sys

from frevo.errors import FrevoError

CHARACTERS_MAX = 1024


class PasswordError(FrevoError):
    """There is no password, or it cannot be used."""


def read_password(prompt: str, *, from_stdin: bool, new: bool = False) -> str:
    """A password; a *new* one is asked twice and must not be empty. PasswordError if there is none."""
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        password = getpass.getpass(f"{prompt}: ")
        if new and getpass.getpass("Repeat it: ") != password:
            raise PasswordError("the two passwords differ")
    else:
        raise PasswordError(f"{prompt}: standard input is not a terminal: use --password-stdin")
    if new and not password:
        raise PasswordError("the password must not be empty")
    if len(password) > CHARACTERS_MAX:
        raise PasswordError(f"a password has at most {CHARACTERS_MAX} characters")
    return password
