"""What is this machine, and is there room on it? Versions, devices and what they are fast in, memory, disk, hub."""

import importlib.metadata
import os
import shutil
from pathlib import Path

import torch
from huggingface_hub import constants
from packaging.requirements import Requirement

from soft_prompts.commands.doctor.report import Report, gigabytes
from soft_prompts.common.hub import hub_answers
from soft_prompts.common.machine import cores, free_memory, threads_for, whole_memory
from soft_prompts.experiments.estimate.machine import probe
from soft_prompts.models.precision import dtype_name

PACKAGE = "soft_prompts"
SHOWN = ("torch", "transformers", "peft")
LEAST_MEMORY = 1e9  # bytes: torch, this package and an embedded model
LEAST_DISK = 1e9


def look_at_versions() -> Report:
    """Of Python, this package and what computes its numbers; every requirement is there and as wanted."""
    import platform

    shown = ", ".join(f"{name} {_version(name)}" for name in (PACKAGE, *SHOWN))
    wrong = [text for line in importlib.metadata.requires(PACKAGE) or () if (text := unmet(Requirement(line)))]
    advice = "install this package again into an environment of its own"
    return Report([f"versions: python {platform.python_version()}, {shown}"], [f"{text}; {advice}" for text in wrong])


def unmet(wanted: Requirement) -> str | None:
    """What is wrong with what is installed of a requirement; None: nothing, or it is not wanted here."""
    if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
        return None
    found = _version(wanted.name)
    if found == "missing":
        return f"{wanted.name} is missing, wanted {wanted.specifier or 'any version'}"
    fits = wanted.specifier.contains(found, prereleases=True)
    return None if fits else f"{wanted.name} is {found}, wanted {wanted.specifier}"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def look_at_devices() -> Report:
    """The processor and every GPU, and how fast each multiplies."""
    threads = threads_for(1)
    facts, findings = [_speed_line("cpu", f"cpu: {cores()} cores, {threads} threads")], []
    if threads > cores():
        findings.append(f"OMP_NUM_THREADS is {threads}, and there are {cores()} cores; give {cores()} at most")
    if torch.cuda.is_available():
        names = {torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())}
        count = torch.cuda.device_count()
        facts.append(_speed_line("cuda", f"gpu: {count} x {', '.join(sorted(names))}"))
    else:
        facts.append("gpu: torch sees none")
    return Report(facts, findings)


def _speed_line(device: str, what: str) -> str:
    rates = [f"{dtype} {probe(device, dtype, threads_for(1)).products / 1e9:.0f}" for dtype in ("float32", "bfloat16")]
    fastest = dtype_name("fastest", torch.device(device))
    return f"{what}; {', '.join(rates)} GFLOP/s (--dtype fastest: {fastest})"


def look_at_room(output: Path) -> Report:
    """Memory, and the disks that models and results go to."""
    free = free_memory()
    facts, findings = [f"memory: {gigabytes(whole_memory())}, {gigabytes(free)} free"], []
    if free < LEAST_MEMORY:
        findings.append(
            f"{gigabytes(free)} of memory are free, and a run needs some {gigabytes(LEAST_MEMORY)}; end others"
        )
    for what, folder in (("models", Path(constants.HF_HUB_CACHE)), ("output", output)):
        there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
        room = float(shutil.disk_usage(there).free)
        facts.append(f"disk: {gigabytes(room)} free for {what} ({folder})")
        if room < LEAST_DISK:
            findings.append(f"{gigabytes(room)} are free for {what} in {folder}; make room")
        if not os.access(there, os.W_OK | os.X_OK):
            findings.append(f"{there} cannot be written to, where {what} go; give another folder")
    return Report(facts, findings)


def look_at_hub(offline: bool) -> Report:
    """Does it answer? Not an error where it does not: embedded models and folders need none."""
    without = "embedded models, folders, and what was fetched before"
    if offline or constants.HF_HUB_OFFLINE:
        return Report([f"hub: not asked; there are {without}"])
    answers = hub_answers()
    return Report([f"hub: {constants.ENDPOINT} answers" if answers else f"hub: does not answer; there are {without}"])
