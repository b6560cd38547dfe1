"""Are results and snapshots what they were when they were written?"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from soft_prompts.commands.doctor.report import Report
from soft_prompts.common.errors import InputError
from soft_prompts.prompts.snapshot import load_snapshot
from soft_prompts.results.files import MEND, NoResult, is_result_name, items_path, read_items, read_result
from soft_prompts.results.metrics import loss_per_token

RESULT = re.compile(r".+-\d+t-s\d+-[0-9a-f]{8}\.json")
SNAPSHOT = ("prompt.json", "prompt.safetensors")
SHOWN = 3  # names of files of another kind
AS_STORED = 1e-6  # of a loss: what its items give again


def look_at_files(folder: Path) -> Report:
    """Every result and every snapshot below a folder, hidden folders left out, and what `compare` would take for a
    result there and cannot read. JSON of another kind is somebody else's: it is told, and nothing is wrong with it."""
    results, snapshots, findings, others = 0, 0, list[str](), list[str]()
    for place, names in _folders(folder):
        for path in (place / name for name in sorted(names) if is_result_name(name)):
            if RESULT.fullmatch(path.name):
                results += 1
                findings += _wrong_result(path)
                continue
            try:
                read_result(path)
                results += 1
            except NoResult:
                others.append(path.name)
            except InputError as error:
                findings.append(str(error).replace(MEND, "if it is no result, move it elsewhere"))
        if {*SNAPSHOT} & {*names}:
            snapshots += 1
            findings += _wrong_snapshot(place)
    found = f"{results} results and {snapshots} snapshots" if results + snapshots else "no results and no snapshots"
    damaged = f", {len(findings)} damaged" if results + snapshots + len(findings) else ""
    return Report([f"files: {found} in {folder}{damaged}", *_told(others)], findings)


def _told(others: Sequence[str]) -> list[str]:
    """In one line, however many there are."""
    more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
    return [f"files: no results of this package: {', '.join(others[:SHOWN])}{more}"] if others else []


def _folders(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[0] != "." and name != "site-packages")
        yield Path(place), names


def _wrong_result(path: Path) -> list[str]:
    """The items have to say what the result says of them."""
    try:
        result = read_result(path)
        if result.items is None:
            return []
        items, stored = read_items(path), result.metrics.get("test_loss")
        if stored is not None and stored.value is not None:
            again = loss_per_token(items).value
            if again is None or not np.isclose(again, stored.value, rtol=AS_STORED, atol=0):
                return [f"{items_path(path)}: its losses are not those of {path.name}; {MEND}"]
    except InputError as error:
        text = str(error)
        return [text if ";" in text else f"{text}; remove {path.name}, and the same command makes it again"]
    return []


def _wrong_snapshot(folder: Path) -> list[str]:
    try:
        load_snapshot(folder)
    except InputError as error:
        return [f"{error}; remove {folder}, and its result, and the same command makes them again"]
    return []
