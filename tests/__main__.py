"""`python -m tests` lists the experiments, one line each; the exploratory ones last."""

import ast
from pathlib import Path


def main() -> None:
    """Name and first docstring line of every experiment beside this file, and of every exploratory one."""
    root = Path(__file__).parents[1]
    for folder in ("tests", "exploratory_tests"):
        for path in sorted((root / folder).glob("*_test.py")):
            docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
            print(f"python -m {f'{folder}.{path.stem}':<48} {docstring.splitlines()[0]}")


if __name__ == "__main__":
    main()
