"""What does a prompt put in front of a text, as plain vectors? Every form outside of this package holds nothing else.

Here a prompt stands behind the token that begins a text, where the tokenizer puts one there; PEFT and a plain
concatenation put it before everything. So the begin token's own vector goes along as the first row, and the text comes
without it: the model sees the same vectors in the same places.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.data.conditions import ConditionEncoder, own_numbers
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.tokenizer import encode
from soft_prompts.prompts.snapshot import Snapshot


class Rows(NamedTuple):
    """What stands in front of a text."""

    vectors: Float[Tensor, "R H"]
    """float32: the begin tokens', then the prompt's."""
    begin: list[int]
    """Ids of the tokens that the tokenizer puts in front of a text, where the prompt stands behind them."""
    special: bool = False
    """The text comes with its own special tokens: the prompt stands before them."""

    @property
    def prompt(self) -> Float[Tensor, "P H"]:
        """The prompt alone."""
        return self.vectors[len(self.begin) :]


@torch.no_grad()
def rows_of(snapshot: Snapshot, frozen: FrozenModel, given: Mapping[str, str]) -> Rows:
    """The prompt under the given conditions, behind what the model's tokenizer begins a text with.

    Raises UsageError for conditions that are missing or unknown, InputError where the model takes no embeddings.
    """
    conditions = torch.tensor([encoded(snapshot.conditions, given)])
    if frozen.hooked:
        raise InputError(
            f"{frozen.name} makes more of a token than its embedding, so no form that holds embeddings says the same; "
            "use soft-prompts generate"
        )
    first = snapshot.position == "first"
    begin = [] if first else encode(frozen.tokenizer, "a").ids[: encode(frozen.tokenizer, "a").start]
    before = frozen.embed(torch.tensor([begin], dtype=torch.long, device=frozen.device))[0].float().cpu()
    prompt = snapshot.prompt.cpu()(conditions)[0]
    return Rows(torch.cat([before, prompt]).contiguous(), begin, first)


def text_ids(frozen: FrozenModel, text: str, rows: Rows) -> list[int]:
    """The text's tokens, as a recipe asks the tokenizer for them; raises UsageError where they are not what stands
    behind the prompt here."""
    asked = frozen.tokenizer(text, add_special_tokens=rows.special).input_ids
    if not asked:
        raise UsageError(f"--text is {text!r}, which has no token; give a text of one token or more")
    if [*rows.begin, *asked] != encode(frozen.tokenizer, text).ids:
        how = "with its special tokens" if rows.special else "without special tokens"
        raise UsageError(f"{how} the tokenizer reads {text!r} otherwise than here; give another --text")
    return asked


def encoded(encoder: ConditionEncoder, given: Mapping[str, str]) -> tuple[float, ...]:
    """The conditions as floats; raises UsageError that names all that the prompt takes."""
    asked = encoder.asked
    if given.keys() != asked.keys():
        unknown = [name for name in given if name not in asked]
        missing = [name for name in asked if name not in given]
        wrong = f"condition {unknown[0]} is unknown" if unknown else f"condition {', '.join(missing)} is missing"
        takes = "this prompt takes none" if not asked else f"give --condition {described(encoder)}"
        raise UsageError(f"{wrong}; {takes}")
    return encoder.from_named(given)


def described(encoder: ConditionEncoder) -> str:
    """`white_elo=NUMBER black_elo=NUMBER (white_elo mostly 1000 to 3000, ...)`: names, and values that are common."""
    forms = [f"{name}={'|'.join(choices) or 'NUMBER'}" for name, choices in encoder.asked.items()]
    columns = zip(encoder.names, encoder.offset, encoder.scale, strict=True)
    form = "{} mostly {:g} to {:g}" if own_numbers(encoder) is None else "{} about {:g}, give or take {scale:.2g}"
    usual = [form.format(name, low, low + span, scale=span) for name, low, span in columns if "=" not in name]
    return " ".join(forms) + (f" ({', '.join(usual)})" if usual else "")


@torch.no_grad()
def scales_embeddings(frozen: FrozenModel) -> bool:
    """Does the model's embedding layer do more than look rows up? Gemma multiplies them by the root of its width."""
    first = torch.arange(min(8, len(frozen.embedding.weight)), device=frozen.device)
    return not torch.equal(frozen.embed(first[None])[0], frozen.embedding.weight[first])
