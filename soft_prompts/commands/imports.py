"""How does a prompt that somebody else trained get in here? `soft-prompts import`."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from soft_prompts.common.console import say


@dataclass(frozen=True)
class ImportOptions:
    """A PEFT prompt-tuning adapter as a trained prompt of ours, to be measured, written with, or trained on."""

    adapter: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """Folder with adapter_config.json and adapter_model.safetensors."""
    into: Path | None = None
    """Folder for the snapshot; default: snapshots/imported/ and the adapter's own name."""
    model: str | None = None
    """Model that the prompt is for; default: the base that the adapter names."""
    device: str = "auto"
    """auto, cpu or cuda."""
    offline: bool = False
    """Never ask a model hub."""
    trust_remote_code: bool = False
    """Let a model run its own code."""
    debug: bool = False
    """Show the traceback of an error too."""


def import_command(options: ImportOptions) -> int:
    """Write the snapshot, and say what can be done with it."""
    from soft_prompts.exchange.imports import base_name, default_place, import_loaded
    from soft_prompts.exchange.peft_adapter import read_adapter
    from soft_prompts.models.frozen import load_frozen_model
    from soft_prompts.training.apparatus import find_device  # torch takes seconds to load

    adapter = read_adapter(options.adapter)  # what is wrong with it is said before a model loads
    frozen = load_frozen_model(
        options.model or base_name(options.adapter, adapter),
        revision=None if options.model else adapter.revision,
        device=find_device(options.device),
        offline=options.offline,
        trust_remote_code=options.trust_remote_code,
    )
    imported = import_loaded(options.adapter, frozen, options.into or default_place(options.adapter))
    for remark in imported.remarks:
        say(f"note: {remark}")
    tokens, folder = imported.snapshot.shape.tokens, shlex.quote(str(imported.folder))
    say(f"a prompt of {tokens} tokens for {frozen.name}: {imported.folder}")
    say(f"write:   soft-prompts generate {folder} --text ...")
    say(
        f"measure: soft-prompts run completion --models {shlex.quote(frozen.name)} --prompt direct --tokens 0 {tokens} "
        f"--snapshot {folder} --steps 0 --data ..."
    )
    return 0
