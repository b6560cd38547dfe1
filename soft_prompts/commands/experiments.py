"""Which experiments can be started, by name or from a file of one's own? `soft-prompts list` and `soft-prompts run`.

An experiment is imported when it is started; its question is read from its source.
"""

import ast
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import tyro

from soft_prompts.common.errors import InputError, UsageError, near_match

CATALOGUE = "soft_prompts.experiments.catalogue"
EXPERIMENTS: Mapping[str, str] = {
    "chess": f"{CATALOGUE}.chess",
    "repetition": f"{CATALOGUE}.repetition",
    "autoregressive": f"{CATALOGUE}.autoregressive",
    "skip_tokens": f"{CATALOGUE}.skip_tokens",
    "chat_detuning": f"{CATALOGUE}.chat_detuning",
    "pathfinding": f"{CATALOGUE}.pathfinding",
    "completion": f"{CATALOGUE}.completion",
    "skills": f"{CATALOGUE}.skills",
    "guidance_softprompt": f"{CATALOGUE}.guidance_softprompt",
    "steering": "soft_prompts.experiments.steering.experiment",
    "calibration": "soft_prompts.calibration.experiment",
    "sandbagging_game": "soft_prompts.calibration.game.experiment",
    "behaviour": "soft_prompts.calibration.planted.experiment",
}


@dataclass(frozen=True)
class ListOptions:
    """The experiments that come with the package, a line each."""


@dataclass(frozen=True)
class RunOptions:
    """An experiment, by name or as a file of your own.

    Its own flags come behind it; `soft-prompts run chess --help` explains them.
    """

    experiment: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="EXPERIMENT")]
    """A name from `soft-prompts list`, or a .py file that holds EXPERIMENT."""


def list_command(options: ListOptions) -> int:
    """Print name and question of each."""
    for name in EXPERIMENTS:
        print(f"{name:<20} {question_of(name)}")
    return 0


def question_of(name: str) -> str:
    """The first line of the experiment's docstring."""
    spec = importlib.util.find_spec(EXPERIMENTS[name])
    source = Path(spec.origin or "").read_text("utf-8") if spec else ""
    return (ast.get_docstring(ast.parse(source)) or "").splitlines()[0]


def run_command(which: str, arguments: Sequence[str]) -> int:
    """What `python -m tests.<name>_test` does, from any folder; or the same for a file's EXPERIMENT."""
    return experiment_of(which).main(arguments, f"soft-prompts run {which}")


def experiment_of(which: str) -> Any:
    """An experiment by its name, or that of a file; raises UsageError or InputError where there is none."""
    if which in EXPERIMENTS:
        return importlib.import_module(EXPERIMENTS[which]).EXPERIMENT
    if Path(which).suffix == ".py":
        module = load_file(Path(which))
        from soft_prompts.experiments.experiment import Experiment

        if not isinstance(experiment := vars(module).get("EXPERIMENT"), Experiment):
            raise UsageError(f"{which} holds no EXPERIMENT; end it with EXPERIMENT = Experiment(...)")
        return experiment
    known = list(EXPERIMENTS)
    raise UsageError(f"{which} is no experiment; {near_match(which, known)}give {', '.join(known)}, or a .py file")


def load_file(path: Path) -> ModuleType:
    """The file as a module that processes beside this one find too: its folder is searched for modules, as it is under
    `python FILE.py`. Raises InputError or UsageError in one line for a file that is no module."""
    if not path.is_file():
        raise InputError(f"{path} does not exist; give a .py file, or a name from soft-prompts list")
    name, path = path.stem, path.resolve()
    if not name.isidentifier() or _belongs_to_another(name, path):
        raise UsageError(f"{path.name} cannot be imported under this name, or hides a module of it; rename the file")
    sys.path.insert(0, str(path.parent))
    try:
        return importlib.import_module(name)
    except (UsageError, InputError):
        raise
    except SyntaxError as error:
        raise UsageError(f"{error.filename}, line {error.lineno}: {error.msg}; mend it") from error
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        where = f"{path}, line {lines[-1]}" if lines else path
        raise UsageError(f"{where}: {type(error).__name__}: {error}; mend it") from error


def _belongs_to_another(name: str, path: Path) -> bool:
    """Whether Python would import something else, or something else needs the name."""
    if name == "__main__":
        return True
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin != str(path)
