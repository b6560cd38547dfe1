"""Where do results lie, and which of them are whole? Write, read and find the result files of runs.

One JSON file a run with the per-item losses beside it, each written so that it is there whole or not at all.
"""

import dataclasses
import hashlib
import json
import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save

from soft_prompts.common.errors import InputError
from soft_prompts.common.files import hash_header, load_hashed, refuse_link, unreadable, write_atomically
from soft_prompts.common.urls import as_typed
from soft_prompts.results.findings import FINDING
from soft_prompts.results.paths import RESERVED
from soft_prompts.results.schema import (
    Result,
    finite_float,
    one_line,
    refuse_number,
)
from soft_prompts.results.views import results_on_disk
from soft_prompts.stats.items import ITEM_DTYPES, OUTCOME, Items

MEND = "remove it, and the same command makes it again"
FACTS = "prompt.json"  # what a trained prompt says of itself
MAX_RESULT_BYTES = 64 * 2**20  # a result with its generations is some ten kilobytes; a larger file is something else


class BrokenResult(InputError):
    """A file stands where a result should, and is none."""


class NoResult(BrokenResult):
    """A file of somebody else's, or of another kind."""


class Found(NamedTuple):
    results: list[tuple[Path, Result]]
    problems: list[str]


def items_fingerprint(identity: NDArray[np.int64], scored_tokens: NDArray[np.int64]) -> str:
    """A hash of which items were scored, in which order, on how many labels: equal means that they can be paired."""
    digest = hashlib.sha256(f"items 1 {len(identity)} ".encode())
    for values in (identity, scored_tokens):
        digest.update(np.ascontiguousarray(values, dtype="<i8").tobytes())
    return digest.hexdigest()


def items_path(path: Path) -> Path:
    """Where the per-item losses of the result at `path` lie."""
    return path.with_name(f"{path.name.removesuffix('.json')}.items.safetensors")


def write_result(path: Path, result: Result, items: Items | None) -> Result:
    """What was written: `result` with its items file named. The JSON comes last: the run is whole when it stands."""
    result = dataclasses.replace(result, items=None if items is None else items_path(path).name)
    text = json.dumps(result.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    for target in (path, items_path(path)):
        refuse_link(target)
    if items is not None:
        write_atomically(items_path(path), save(items.arrays(), hash_header(items.arrays())))
    write_atomically(path, text.encode("utf-8", "replace"))
    return result


def read_result(path: str | os.PathLike[str], checked: bool = False) -> Result:
    """Raises BrokenResult, in one line that says what to do, for whatever is not a whole result of this version.

    `checked`: this very content was read before, and was one; the schema is most of the time.
    """
    path, text = Path(path), ""
    try:
        if path.stat().st_size > MAX_RESULT_BYTES:
            raise ValueError(f"larger than {MAX_RESULT_BYTES // 2**20} MB: not a result")
        text = path.read_bytes().decode()
        values = json.loads(text, parse_constant=refuse_number, parse_float=finite_float)
        if not isinstance(values, dict) or "schema_version" not in values:
            raise NoResult(f"{path}: not a result of this package: it has no schema_version; {MEND}")
        return dataclasses.replace(_result(values, checked), path=path)
    except NoResult:
        raise
    except OSError as error:
        raise unreadable(path, error) from error
    except json.JSONDecodeError as error:
        why = "empty" if not text.strip() else f"broken or truncated JSON: {error.msg} in line {error.lineno}"
        raise BrokenResult(f"{path}: {why}; {MEND}") from error
    except RecursionError as error:
        raise BrokenResult(f"{path}: nested too deeply: not a result; {MEND}") from error
    except ValueError as error:
        raise BrokenResult(f"{path}: {error}; {MEND}") from error


def _result(values: Any, checked: bool) -> Result:
    try:
        return Result.from_json(values, checked)
    except (KeyError, TypeError, AttributeError):
        if not checked:
            raise
        return Result.from_json(values)  # not what was checked: the schema says what is wrong


def read_results(*paths: str | os.PathLike[str]) -> list[Result]:
    """Every result in files and folders, in order of path; a file that is none is named in a warning."""
    found = find_results(Path(path) for path in paths)
    for problem in found.problems:
        warnings.warn(f"skipped: {problem}", stacklevel=2)
    return [result for _, result in found.results]


def read_items(path: Path) -> Items:
    """The per-item losses of the result at `path` (its .json), and its outcomes if it has them.

    Raises InputError where they are missing or broken, or have changed since they were written.
    """
    path = items_path(path)
    try:
        tensors = load_hashed(path)
        if set(tensors) - {OUTCOME} != set(ITEM_DTYPES):
            raise ValueError(f"holds {', '.join(sorted(tensors)) or 'nothing'}, wanted {', '.join(ITEM_DTYPES)}")
        return Items(**tensors)
    except PermissionError as error:
        raise unreadable(path, error) from error
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: {one_line(error)}") from error


def find_results(paths: Iterable[Path]) -> Found:
    """Every result in files and folders, in order of path, and a line for each .json that is none: never an exception.

    A `reference` folder below a named one is passed over: it counts only when it is named itself.
    """
    results: dict[Path, tuple[Path, Result]] = {}
    problems: list[str] = []
    for named in paths:
        for path in json_files(named, problems):
            if (key := path.resolve()) in results:
                continue
            try:
                results[key] = (path, read_result(path))
            except InputError as error:
                problems.append(said_of(error))
    return Found(list(results.values()), list(dict.fromkeys(problems)))


def said_of(error: InputError) -> str:
    """Of a file among results: no run would make again what was none, and to remove it would be a pity."""
    return str(error).removesuffix(f"; {MEND}") if isinstance(error, NoResult) else str(error)


def json_files(named: Path, problems: list[str]) -> Iterator[Path]:
    """The .json files that a path stands for, in order; hidden files and `reference` folders left out. What a URL
    stands for is fetched first."""
    asked, named = named, results_on_disk(named)
    if named.is_file():
        if named.suffix == ".json":
            yield named
        else:  # a figure that `results/*` named too
            problems.append(f"{as_typed(asked)}: no .json, so no result")
        return
    if not named.is_dir():
        problems.append(f"{as_typed(asked)}: no such file or folder")
        return
    for folder, folders, files in os.walk(named, onerror=lambda error: problems.append(one_line(error))):
        folders[:] = sorted(name for name in folders if name not in RESERVED and not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(files) if is_result_name(name))


def is_result_name(name: str) -> bool:
    """May a file of this name be a result? Hidden files are none, nor are trained prompts, and findings about
    activations have a reader of their own."""
    return name.endswith(".json") and name[0] != "." and name != FACTS and not name.endswith(FINDING)
