"""What was a result made from, and is that still the same? A rounded, a projected and a grown prompt each come from a
trained one, and belong to the bytes of it.

The sha256 of the trained prompt's prompt.safetensors is kept in the result's config and in a state's identity, not in
the path: the same settings are the same run, made again when its source is another. Results without it were written
before it was kept. They count as made from what is there now unless the source's own result is the younger; the times
in the two results say so, for those of files change with every copy.
"""

import hashlib
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from soft_prompts.common.errors import InputError
from soft_prompts.config import RunConfig
from soft_prompts.results.files import read_result
from soft_prompts.results.schema import Result
from soft_prompts.training.apparatus import run_paths

SOURCE_PRINT = "source_sha256"  # in a result's config and a state's identity


def source_folder(config: RunConfig) -> Path | None:
    """The snapshot that the run is made from; None where it is made from none."""
    if config.role.source is not None:
        return config.folder / "snapshots" / config.role.source
    if config.begins_as is not None:
        return config.begins_as
    if config.init == "grown" and config.trains and config.tokens:
        return run_paths(replace(config, tokens=config.tokens // 2, init="vocabulary")).snapshot
    return None


def source_result(config: RunConfig) -> Result:
    """The result of the run that trained the source; raises InputError where there is none."""
    folder = source_folder(config)
    if folder is None:
        raise InputError(f"{config.role.name} names no trained prompt; there is no result of it")
    own = config.folder / "results" / folder.relative_to(config.folder / "snapshots")
    return read_result(own.with_name(f"{own.name}.json"))


def source_print(config: RunConfig) -> dict[str, str]:
    """The sha256 of the source's tensors under the name that results and states keep it by; empty without a source."""
    folder = source_folder(config)
    file = None if folder is None else folder / "prompt.safetensors"
    if file is None or not file.is_file():
        return {}
    return {SOURCE_PRINT: hashlib.sha256(file.read_bytes()).hexdigest()}


def has_other_source(config: RunConfig, result: Result) -> bool:
    """Was the result made from another prompt than the one that is there now?"""
    now, then = source_print(config).get(SOURCE_PRINT), result.config.get(SOURCE_PRINT)
    if now is None:  # nothing to make it from again
        return False
    return _is_younger(config, result) if then is None else now != then


def _is_younger(config: RunConfig, result: Result) -> bool:
    """Was the source's own result finished after this one began?"""
    try:
        finished = source_result(config).environment.finished
    except InputError:  # gone, or unreadable: it says nothing
        return False
    began = datetime.fromisoformat(result.environment.started)
    return finished is not None and datetime.fromisoformat(finished) > began
