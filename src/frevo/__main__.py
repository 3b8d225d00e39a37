"""`python -m frevo`: the same as the `frevo` command."""

from __future__ import annotations

import sys

from frevo.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
