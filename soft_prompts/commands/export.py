"""How does a trained prompt get out of here, for PEFT, vLLM or plain transformers? `soft-prompts export`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from soft_prompts.commands.asked_model import AskedModel
from soft_prompts.common.console import say
from soft_prompts.common.errors import UsageError
from soft_prompts.data.conditions import named_values

BEHIND = ", behind DIR"  # where flags of several words stand, or they take DIR too


@dataclass(frozen=True)
class ExportOptions(AskedModel):
    """A trained prompt in the form of another library, with a recipe, checked against our own forward."""

    snapshot: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SNAPSHOT")]
    """Folder of a trained prompt, below snapshots/, or the result of its run."""
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """New folder for what is written."""
    to: Literal["peft", "vllm", "embeds"]
    """peft: a prompt-tuning adapter; embeds: the vectors [P, H], for plain transformers; vllm: the same for vLLM, with
    --text prompt and text as one prompt_embeds a text."""
    condition: tuple[str, ...] = ()
    """NAME=VALUE for each condition that the prompt takes: it is written as it is under these."""
    text: tuple[str, ...] = ()
    """Texts that the form is checked with; without them ids from all over the vocabulary."""
    dtype: Literal["auto", "float32", "bfloat16"] = "float32"
    """Precision of the check; what is written is float32 always."""
    allow_mismatch: bool = False
    """Export the prompt for a model with another fingerprint."""

    def __post_init__(self) -> None:
        named_values(self.condition, BEHIND)
        if "" in self.text:
            raise UsageError("--text is empty; give a text of one token or more, or leave it out")


def export_command(options: ExportOptions) -> int:
    """Write the form; print the recipe, and say what was written and how far it is from ours."""
    from soft_prompts.exchange.places import find_snapshot, refuse_full

    found = find_snapshot(options.snapshot)
    refuse_full(options.folder)
    from soft_prompts.exchange.export import Wanted, export_loaded
    from soft_prompts.exchange.rows import encoded
    from soft_prompts.prompts.snapshot import load_snapshot

    trained = load_snapshot(found)
    given = named_values(options.condition, BEHIND)
    encoded(trained.conditions, given)  # what is wrong is said before a model loads
    frozen = options.load(trained.model, trained.revision, options.dtype)
    wanted = Wanted(options.to, options.folder, given, options.text)
    exported = export_loaded(found, trained, frozen, wanted, options.allow_mismatch)
    for file in exported.files:
        say(f"wrote {file}")
    for remark in exported.remarks:
        say(f"note: {remark}")
    say(f"logits differ from ours by at most {exported.agreement.difference:.3g} ({frozen.dtype})")
    say(f"use it so ({options.folder / 'recipe.py'}):\n")
    print(exported.recipe, end="")
    return 0
