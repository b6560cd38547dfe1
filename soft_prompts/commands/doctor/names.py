"""Which names in the working folder hide a module? Python looks there first under `python -m` and `python FILE.py`.

Nothing is imported for it: what would be hidden may be torch.
"""

import sys
from importlib.metadata import packages_distributions
from pathlib import Path

from soft_prompts.commands.doctor.report import Report

PACKAGE = "soft_prompts"


def look_at_names(folder: Path) -> Report:
    """Files and packages of the folder that take the place of a module of Python, of this package or of another."""
    known = sys.stdlib_module_names | packages_distributions().keys() | {PACKAGE}
    hiding = [
        path for path in sorted(folder.iterdir()) if _is_module(path) and path.stem in known and not _is_own(path)
    ]
    findings = [
        f"{path} hides the module {path.stem} from `python -m` and from a FILE.py beside it; rename it"
        for path in hiding
    ]
    tests = folder / "tests"
    foreign = tests.is_dir() and not (tests / "chess_test.py").is_file()
    facts = [] if findings else [f"names: nothing in {folder} hides a module"]
    if foreign:
        facts.append(f"names: {tests} is not this project's: type `soft-prompts run chess`, not `python -m tests...`")
    return Report(facts, findings)


def _is_module(path: Path) -> bool:
    """A file that can be imported, or a folder that is a package; a folder without __init__.py gives way to one."""
    return path.suffix == ".py" or (path.is_dir() and (path / "__init__.py").is_file())


def _is_own(path: Path) -> bool:
    """The package itself, in a clone of its repository."""
    return path.resolve() == Path(__file__).resolve().parents[2]
