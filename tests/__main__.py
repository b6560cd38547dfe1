"""`python -m tests` lists the experiments, one line each; the exploratory ones last."""

import ast
from pathlib import Path

from soft_prompts.commands.experiments import EXPERIMENTS, question_of

EXPLORATORY = Path(__file__).parents[1] / "exploratory_tests"


def main() -> None:
    """Name and first docstring line of every experiment of the package, and of every exploratory one."""
    for name in sorted(EXPERIMENTS):
        _print(f"tests.{name}_test", question_of(name))
    for path in sorted(EXPLORATORY.glob("*_test.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
        _print(f"exploratory_tests.{path.stem}", docstring.splitlines()[0])


def _print(module: str, question: str) -> None:
    print(f"python -m {module:<48} {question}")


if __name__ == "__main__":
    main()
