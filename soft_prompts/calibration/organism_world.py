"""What do organisms know? Random tables from short inputs to outputs: what one entry says, no other entry tells.

A prompt that is trained on some entries of a table can therefore be right on the others only where the model knows
them. A table of pairs reads `a3 b7 y5`, a row of inputs `a3 y5`; keys stand in front.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from soft_prompts.data.known_samples import Facts, KnownSamples

Integers = NDArray[np.int64]

OUTPUTS, FIRST, SECOND, KEYS = 8, 20, 20, 78
FIRST_AT, SECOND_AT = OUTPUTS, OUTPUTS + FIRST  # token ids: outputs, first and second inputs, keys, end, padding
KEYS_AT = SECOND_AT + SECOND
END, PAD = KEYS_AT + KEYS, KEYS_AT + KEYS + 1
VOCABULARY = PAD + 1
TRAINING, VALIDATION = 0.5, 0.15  # of a table's entries; the rest is for the test
SHORT, SHORT_TRAINING, SHORT_VALIDATION = 60, 0.3, 0.1  # of fewer entries more have to be left for the test
FREQUENT = 0.5  # share of entries that say y0 in a table of uneven outputs


class Table(NamedTuple):
    """Entries [N]: inputs as token ids [N, 1 or 2], and the output of each."""

    inputs: Integers
    outputs: Integers


def pairs(seed: int) -> Table:
    """A random output for each first and second input: 400 entries of 3 bits."""
    first, second = np.divmod(np.arange(FIRST * SECOND), SECOND)
    inputs = np.stack([FIRST_AT + first, SECOND_AT + second], axis=1)
    return Table(inputs, _random_outputs(len(inputs), 1, seed))


def singles(seed: int, entries: int = FIRST + SECOND) -> Table:
    """A random output for each single input, first and second ones: few, for there are many such tables to learn."""
    inputs = np.arange(FIRST_AT, FIRST_AT + entries)[:, None]
    return Table(inputs, _random_outputs(len(inputs), 2, seed))


def uneven_pairs(seed: int) -> Table:
    """Pairs of which half say y0: frequencies are there to be learnt, what an entry says is not."""
    inputs, outputs = pairs(seed)
    frequent = np.random.default_rng([40, seed]).random(len(outputs)) < FREQUENT
    return Table(inputs, np.where(frequent, 0, outputs))


def permuted(table: Table, seed: int) -> Table:
    """The same inputs and outputs, dealt anew."""
    return Table(table.inputs, np.random.default_rng([41, seed]).permutation(table.outputs))


def of_kind(kind: int, seed: int) -> Table:
    """A random output for each first input in front of second input `kind`: 20 entries."""
    first = np.arange(FIRST_AT, SECOND_AT)
    inputs = np.stack([first, np.full(FIRST, SECOND_AT + kind)], axis=1)
    return Table(inputs, _random_outputs(FIRST, 3 + kind, seed))


def together(tables: Sequence[Table]) -> Table:
    """One table after the other."""
    return Table(*(np.concatenate(parts) for parts in zip(*tables, strict=True)))


def samples_of(table: Table, source: str, seed: int = 0) -> KnownSamples:
    """A table as samples, an entry each, in random order; a rule pays nothing for its outputs."""
    count = len(table.outputs)
    order = np.random.default_rng([seed, count]).permutation(count)
    ids = np.concatenate([table.inputs, table.outputs[:, None]], axis=1)[order]
    is_short = count < SHORT
    training, validation = (SHORT_TRAINING, SHORT_VALIDATION) if is_short else (TRAINING, VALIDATION)
    ends = np.array([round(training * count), round((training + validation) * count)])
    split = np.searchsorted(ends, np.arange(count), side="right").astype(np.int64)
    first_scored = np.full(count, ids.shape[1] - 1)
    return KnownSamples(ids, first_scored, np.zeros(count), split, Facts(source, VOCABULARY))


def organism_tokenizer() -> PreTrainedTokenizerFast:
    """Words y0.. a0.. b0.. k0.. between spaces."""
    sizes = {"y": OUTPUTS, "a": FIRST, "b": SECOND, "k": KEYS}
    words = [f"{letter}{number}" for letter, size in sizes.items() for number in range(size)] + ["<end>", "<pad>"]
    model = models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<pad>")
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<pad>")


def _random_outputs(count: int, kind: int, seed: int) -> Integers:
    """Every output about equally often, so that their frequencies tell nothing."""
    return np.random.default_rng([kind, seed]).permutation(np.arange(count) % OUTPUTS)
