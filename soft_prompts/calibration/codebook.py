"""How many bits does it take to say which behaviour is wanted? The place of the first random prompt that brings it out.

A book is a list of random prompts that a decoder can draw again (soft_prompts/stats/bits.py). A behaviour that one
random prompt in K brings out is found at place K on average, whose log2 is log2 K - .83 on average: slope 1, and a
constant.
Nothing is trained, so every entry of a table counts.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from soft_prompts.calibration.organism_world import OUTPUTS, Table
from soft_prompts.models.model import FrozenModel
from soft_prompts.stats.bits import codebook_bits, codebook_prompt

ROWS_AT_ONCE = 2**14


class Books(NamedTuple):
    """How many are read, and how far."""

    books: int = 16
    prompts: int = 1024
    tokens: int = 1
    entries: int = 24
    """Of a table that every prompt is tried on, evenly spread; all of a shorter one."""


class CodebookReading(NamedTuple):
    """Of one behaviour over the books."""

    bits: float | None
    """Mean of log2 of the place over the books; None where some book has no such prompt."""
    missing: float
    """Share of the books without one."""
    share_of_prompts: float
    """That reach the mark."""


def read_codebook(frozen: FrozenModel, tables: Sequence[Table], mark: float, books: Books) -> list[CodebookReading]:
    """One reading a table; tables that have their inputs in common are read together.

    The share is that of the no-skill reference: uniform over the outputs, against none at all.
    """
    shares = book_shares(frozen, tables, books)  # [books, prompts, tables]
    readings = []
    for table in range(len(tables)):
        bits = [codebook_bits(book[:, table].tolist(), mark) for book in shares]
        found = [number for number in bits if number is not None]
        readings.append(
            CodebookReading(
                float(np.mean(found)) if len(found) == len(bits) else None,
                1 - len(found) / len(bits),
                float((shares[..., table] >= mark).mean()),
            )
        )
    return readings


@torch.no_grad()
def book_shares(frozen: FrozenModel, tables: Sequence[Table], books: Books) -> NDArray[np.float64]:
    """[books, prompts, tables] skill share of every prompt of every book."""
    shape = (books.tokens, frozen.hidden_size)
    scale = float(frozen.vocabulary.double().pow(2).mean().sqrt())
    prompts = np.stack(
        [codebook_prompt(index, shape, scale, book) for book in range(books.books) for index in range(books.prompts)]
    )
    kept = np.unique(np.linspace(0, len(tables[0].outputs) - 1, books.entries).astype(np.int64))
    tables = [Table(table.inputs[kept], table.outputs[kept]) for table in tables]
    inputs = tables[0].inputs
    if any(not np.array_equal(table.inputs, inputs) for table in tables):
        raise ValueError("tables differ in their inputs; read each by itself")
    outputs = torch.from_numpy(np.stack([table.outputs for table in tables]))  # [tables, N]
    text = frozen.embed(torch.from_numpy(inputs).to(frozen.device))
    losses = []
    for some in torch.from_numpy(prompts).float().to(frozen.device).split(max(1, ROWS_AT_ONCE // len(inputs))):
        losses.append(_mean_nats(frozen, some, text, outputs))
    return (1 - torch.cat(losses).double().numpy() / np.log(OUTPUTS)).reshape(books.books, books.prompts, len(tables))


def _mean_nats(
    frozen: FrozenModel, prompts: Float[Tensor, "R P H"], text: Float[Tensor, "N T H"], outputs: Tensor
) -> Float[Tensor, "R K"]:
    """Of each table's outputs [K, N] behind each prompt and every input."""
    count, entries = len(prompts), len(text)
    rows = torch.cat([prompts.repeat_interleave(entries, dim=0), text.repeat(count, 1, 1)], dim=1)
    logits = frozen.next_logits(rows)
    nats = -logits.float().log_softmax(dim=-1).cpu().view(count, entries, -1)
    places = outputs.T[None].expand(count, -1, -1)  # [R, N, K]
    return nats.gather(2, places).mean(dim=1)
