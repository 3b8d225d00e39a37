"""Print the requirements of the optional dependencies named on the command line, from pyproject.toml."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def main() -> None:
    """One requirement per line, without blanks, so that a shell can split them."""
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    for extra in sys.argv[1:]:
        for requirement in project["optional-dependencies"][extra]:
            print(requirement.replace(" ", ""))


if __name__ == "__main__":
    main()
