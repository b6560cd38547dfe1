"""`python -m tests` lists the experiments, one line each."""

import ast
from pathlib import Path


def main() -> None:
    """Name and first docstring line of every experiment beside this file."""
    for path in sorted(Path(__file__).parent.glob("*_test.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
        print(f"python -m tests.{path.stem:<28} {docstring.splitlines()[0]}")


if __name__ == "__main__":
    main()
