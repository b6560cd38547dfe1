"""Are results and snapshots what they were when they were written?"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError

from soft_prompts.commands.doctor.report import Report
from soft_prompts.common.errors import InputError
from soft_prompts.common.files import is_hashed, unreadable
from soft_prompts.prompts.snapshot import MEND as MEND_SNAPSHOT
from soft_prompts.prompts.snapshot import load_snapshot
from soft_prompts.results.files import (
    MEND,
    NoResult,
    is_result_name,
    items_fingerprint,
    items_path,
    read_items,
    read_result,
)
from soft_prompts.results.metrics import loss_per_token, ratio
from soft_prompts.results.schema import Metric, Result
from soft_prompts.stats.items import Items

RESULT = re.compile(r".+-\d+t-s\d+-[0-9a-f]{8}\.json")
SNAPSHOT = ("prompt.json", "prompt.safetensors")
TENSORS = ("prompt.safetensors", ".items.safetensors")  # ends of names
SHOWN = 3  # names of files of another kind
AS_STORED = 1e-6  # of a number: what its items give again
NOISE = 1e-12  # nats: what is left of a standard error where all items are alike


def look_at_files(folder: Path) -> Report:
    """Every result and every snapshot below a folder, hidden folders left out, and what `compare` would take for a
    result there and cannot read. JSON of another kind is somebody else's: it is told, and nothing is wrong with it."""
    results, snapshots, unhashed, findings, others = 0, 0, 0, list[str](), list[str]()
    for place, names in _folders(folder, findings):
        unhashed += sum(_has_no_hash(place / name) for name in names if name.endswith(TENSORS))
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
    return Report([f"files: {found} in {folder}{damaged}", *_told(others), *_not_checkable(unhashed)], findings)


def _told(others: Sequence[str]) -> list[str]:
    """In one line, however many there are."""
    more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
    return [f"files: no results of this package: {', '.join(others[:SHOWN])}{more}"] if others else []


def _not_checkable(count: int) -> list[str]:
    what = "file of tensors has no hash" if count == 1 else "files of tensors have no hash"
    return (
        [f"files: {count} {what}, for an earlier version or another program wrote them: bits are not checkable there"]
        if count
        else []
    )


def _has_no_hash(path: Path) -> bool:
    """Of a file that is none it is said elsewhere."""
    try:
        return not is_hashed(path)
    except (OSError, SafetensorError):
        return False


def _folders(folder: Path, findings: list[str]) -> Iterator[tuple[Path, list[str]]]:
    """Those that can be read; the others are findings."""

    def unread(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # nothing was written yet
            findings.append(str(unreadable(Path(error.filename), error)))

    for place, folders, names in os.walk(folder, onerror=unread):
        folders[:] = sorted(name for name in folders if name[0] != "." and name != "site-packages")
        yield Path(place), names


def _wrong_result(path: Path) -> list[str]:
    """The items have to be those that were written, and to say what the result says of them."""
    try:
        result = read_result(path)
        if result.items is None:
            return []
        unlike = _unlike(result, read_items(path))
        return [f"{items_path(path)}: its items do not give {unlike[0]} of {path.name}; {MEND}"] if unlike else []
    except InputError as error:
        text = str(error)
        return [text if ";" in text else f"{text}; remove {path.name}, and the same command makes it again"]


def _unlike(result: Result, items: Items) -> list[str]:
    """What the result says of its items, and they give otherwise: all that can be had from them alone."""
    again = {"test_loss": loss_per_token(items)}
    if (unit := result.metrics.get(result.headline, Metric(None)).unit).startswith("nats/"):
        again[result.headline] = ratio(items, slice(None), unit)
    if result.outcome is not None and items.outcome is not None and not np.isnan(items.outcome).all():
        again[result.outcome] = Metric(float(np.nanmean(items.outcome)))
    unlike = [name for name, metric in again.items() if not _is_alike(result.metrics.get(name), metric)]
    which = items_fingerprint(items.cluster, items.scored_tokens)
    return unlike + (["items_fingerprint"] if result.data.items_fingerprint not in (None, which) else [])


def _is_alike(stored: Metric | None, again: Metric) -> bool:
    """With its standard error, where there are two: units and clusters tell in it."""
    if stored is None or stored.value is None:
        return True
    if again.value is None or not np.isclose(stored.value, again.value, rtol=AS_STORED, atol=NOISE):
        return False
    if again.stderr is None or stored.stderr is None:
        return True
    return bool(np.isclose(stored.stderr, again.stderr, rtol=AS_STORED, atol=NOISE))


def _wrong_snapshot(folder: Path) -> list[str]:
    try:
        load_snapshot(folder)
    except InputError as error:
        return [f"{str(error).removesuffix(f'; {MEND_SNAPSHOT}')}; {MEND_SNAPSHOT}"]
    return []
