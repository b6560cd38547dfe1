"""Does an exported prompt say what it says here? Its files are read again and asked the same as our own road."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from soft_prompts.common.errors import InputError
from soft_prompts.engine.insertion import insert_prompt
from soft_prompts.exchange.rows import Rows
from soft_prompts.models.model import FrozenModel

MOST = 1e-3  # of the largest logit: far above what the order of a sum changes in float32, far below another position
SHORT, LONG = 3, 12  # tokens of the texts that are tried where none is given


class Agreement(NamedTuple):
    """How far two roads to the logits are apart."""

    difference: float
    """Largest of any logit at any position."""
    largest: float
    """The largest logit itself, by size."""

    def refuse_more(self, folder: Path) -> None:
        """Raise InputError where it is no matter of rounding."""
        if not self.difference <= MOST * self.largest:
            raise InputError(
                f"{folder}: its logits are up to {self.difference:.2g} from ours, so it says something else; nothing "
                "is kept of it"
            )


Asked = Callable[[list[int]], Float[Tensor, "S V"]]


@torch.no_grad()
def agreement(frozen: FrozenModel, rows: Rows, texts: Sequence[list[int]], asked: Asked) -> Agreement:
    """Of `asked`, the exported form, which is given a text's tokens as its recipe would."""
    apart = [(ours(frozen, rows, ids), asked(ids)) for ids in texts]
    found = [(float((one - other).abs().max()), float(one.abs().max())) for one, other in apart]
    return Agreement(max(difference for difference, _ in found), max(largest for _, largest in found))


def some_texts(frozen: FrozenModel) -> list[list[int]]:
    """Ids of two texts, spread over the vocabulary."""
    known = len(frozen.vocabulary)
    return [[(place * 2654435761) % known for place in range(1, length + 1)] for length in (SHORT, LONG)]


def ours(frozen: FrozenModel, rows: Rows, ids: list[int]) -> Float[Tensor, "S V"]:
    """Logits of begin tokens, prompt and text, the prompt where the engine puts it."""
    whole = torch.tensor([[*rows.begin, *ids]], device=frozen.device)
    prompt, place = rows.prompt[None].to(frozen.device), torch.tensor([len(rows.begin)], device=frozen.device)
    inserted = insert_prompt(frozen.embed(whole), prompt, whole, torch.ones_like(whole, dtype=torch.bool), place)
    return frozen.logits(inserted.embeds)[0]


def of_adapter(frozen: FrozenModel, folder: Path) -> Asked:
    """PEFT's own forward, its virtual tokens' positions included."""
    from peft import PeftModel  # takes a second to load

    wrapped: Any = PeftModel.from_pretrained(frozen.model, folder).eval()
    if wrapped.word_embeddings is None:  # it looks for a matrix of as many rows as the configuration's vocabulary
        raise InputError(
            f"PEFT does not find the embeddings of {frozen.name}: they have other rows than its configuration says; "
            "give --to embeds"
        )

    def asked(ids: list[int]) -> Float[Tensor, "S V"]:
        text = torch.tensor([ids], device=frozen.device)
        return wrapped(input_ids=text, attention_mask=torch.ones_like(text)).logits[0]

    return asked


def of_rows(frozen: FrozenModel, file: Path) -> Asked:
    """The rows in a file and the text's embeddings, one behind the other, through plain transformers."""
    rows = load_file(file)["prompt"]

    def asked(ids: list[int]) -> Float[Tensor, "S V"]:
        text = frozen.model.get_input_embeddings()(torch.tensor(ids, device=frozen.device))
        return of_embeddings(frozen, torch.cat([rows.to(text), text]))

    return asked


def of_embeddings(frozen: FrozenModel, embeds: Float[Tensor, "S H"]) -> Float[Tensor, "S V"]:
    """What plain transformers makes of a whole sequence."""
    asked = embeds.to(frozen.device, frozen.model.dtype)[None]
    return frozen.model(inputs_embeds=asked).logits[0]
