"""Do a stranger's names stay inside the output folder, and a stranger's files outside of the tables?"""

import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soft_prompts.commands import main as cli
from soft_prompts.config import RunConfig
from soft_prompts.tasks.chess import ChessTask
from soft_prompts.training.apparatus import run_paths
from tests.checks.made.disturbances import Record, count_fault, faults

LETTERS = 'abAB01._-/\\ \0é模:*?"<>|~$\n\r\u202e\u0301'
WHOLE = (
    "../../x",
    "/etc/x",
    "a\0b",
    "x" * 300,
    "模型/名",
    "..",
    ".",
    "~",
    "-rf",
    "reference",
    "C:\\x",
    "a/..",
    "//",
    "\udcff",
)


def hostile_names(count: int) -> list[str]:
    """So many different ones: paths out of a folder, NUL, 300 characters, letters of all kinds."""
    rng, names = random.Random(count), dict.fromkeys(WHOLE)
    while len(names) < count:
        steps = "".join(rng.choices(("../", "..\\", "/", "./", "%2e%2e/", ""), k=rng.randrange(4)))
        names[steps + "".join(rng.choices(LETTERS, k=rng.choice((1, 2, 3, 5, 9, 300))))] = None
    return list(names)


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=faults)])
def test_hostile_model_names(tmp_path: Path, record_property: Record, count: int) -> None:
    """A file is made for each where its result would stand: every one inside, and none on another's place, also where
    a file system does not tell capitals."""
    output = tmp_path / "a" / "out"
    base = RunConfig(ChessTask(), "tiny-chess", 2, output_dir=output)
    outcomes, taken = [], set[str]()
    for name in hostile_names(count):
        paths = run_paths(replace(base, model=name))
        paths.result.parent.mkdir(parents=True, exist_ok=True)
        with paths.result.open("x") as file:  # raises where another's stands
            file.write(json.dumps(name))
        inside = all(
            Path(os.path.realpath(path)).is_relative_to(output / folder)
            for path, folder in zip(paths, ("runs", "results", "snapshots"), strict=True)
        )
        alike = str(paths.result).casefold()
        outcomes.append(inside and alike not in taken and json.loads(paths.result.read_text()) == name)
        taken.add(alike)
    made = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(made) == count
    assert all(path.is_relative_to(output / "results") for path in made)
    count_fault(record_property, "hostile model names", outcomes)


@pytest.mark.parametrize("every", [400, pytest.param(40, marks=faults)])
def test_a_broken_result_in_a_folder_given_to_compare(
    save_run: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    record_property: Record,
    every: int,
) -> None:
    """Cut anywhere, or of another version: named in one line, the others compared, and exit code 1 at the end."""
    kept = [save_run(value=3.0), save_run(value=2.0, tokens=0)]
    text = kept[0].read_text()
    whole: dict[str, Any] = json.loads(text)
    broken = [text[:length] for length in range(0, len(text.rstrip()), every)]
    broken += [json.dumps(whole | {"schema_version": version}) for version in (0, 2, 99, "1", None, 1.5)]
    broken.append(json.dumps({name: value for name, value in whole.items() if name != "schema_version"}))
    place, outcomes = tmp_path / "results" / "broken.json", []
    with pytest.raises(SystemExit) as ended:
        cli.main(["compare", str(tmp_path / "results")])
    assert not ended.value.code
    table = capsys.readouterr().out
    for content in broken:
        place.write_text(content)
        with pytest.raises(SystemExit) as ended:
            cli.main(["compare", str(tmp_path / "results")])
        out, err = capsys.readouterr()
        named = [line for line in err.splitlines() if str(place) in line]
        right = ended.value.code == 1 and len(named) == 1 and named[0].startswith("skipped: ")
        outcomes.append(right and out == table and "Traceback" not in err)
    count_fault(record_property, "result JSON truncated or of another version, given to compare", outcomes)
