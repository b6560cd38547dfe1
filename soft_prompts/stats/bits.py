"""How many bits of information did it take, rather than how many tokens? One trained vector can hold a long text.

Sizes are of prompts rounded to q bits a coordinate and losslessly coded. The loss that goes with a size is that of the
prompt a decoder would rebuild: rounded, or trained on after rounding. The caller says which, and measures it.
For a conditional prompt the tensors are those of the encoder, or of the prompt emitted at one condition: say which.

Krichevsky and Trofimov, The Performance of Universal Encoding (1981); Rissanen, Modeling by Shortest Data Description
(1978).
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

HEADER_BITS = 64  # of a tensor: its least value and its step, a float32 each
MOST_BITS = 16  # of a coordinate: beyond it the table of symbols is larger than any prompt


class Quantised(NamedTuple):
    levels: NDArray[np.int64]
    """Shape of the tensor; 0 .. 2^q - 1."""
    least: float
    step: float

    def values(self) -> Floats:
        """The tensor that a decoder rebuilds."""
        return self.least + self.step * self.levels.astype(np.float64)


def quantise(tensor: ArrayLike, bits_per_coordinate: int) -> Quantised:
    """Rounded to the nearest of 2^q levels, evenly spaced from the least to the greatest value of the tensor.

    Raises ValueError for q outside 1 .. 16, an empty tensor, or one that is not finite.
    """
    values = np.asarray(tensor, dtype=np.float64)
    if not 1 <= bits_per_coordinate <= MOST_BITS:
        raise ValueError(f"bits per coordinate is {bits_per_coordinate}; give 1 to {MOST_BITS}")
    if not values.size or not np.isfinite(values).all():
        raise ValueError(f"a tensor of {values.size} values is empty or not finite; give a trained prompt")
    least = float(np.float32(values.min()))
    step = float(np.float32((float(values.max()) - least) / (2**bits_per_coordinate - 1)))
    if step == 0:
        return Quantised(np.zeros(values.shape, dtype=np.int64), least, 0.0)
    levels = np.clip(np.rint((values - least) / step), 0, 2**bits_per_coordinate - 1)
    return Quantised(levels.astype(np.int64), least, step)


def coded_bits(levels: NDArray[np.int64], bits_per_coordinate: int) -> float:
    """Bits of an ideal arithmetic coder that learns the frequencies on the way, so that no table need be sent.

    Krichevsky-Trofimov: symbol k has probability (n_k + 1/2) / (n + 2^q / 2) after n symbols, n_k of them k. One bit
    more says whether this or the plain code of q bits a coordinate is used, whichever is shorter.
    """
    total, alphabet = levels.size, 2**bits_per_coordinate
    seen = np.unique(levels, return_counts=True)[1].tolist()
    nats = math.lgamma(total + alphabet / 2) - math.lgamma(alphabet / 2)
    nats -= sum(math.lgamma(count + 0.5) - math.lgamma(0.5) for count in seen)
    return 1 + min(nats / math.log(2), float(total * bits_per_coordinate))


def prompt_bits(tensors: Iterable[ArrayLike], bits_per_coordinate: int) -> float:
    """B: the sum over a prompt's tensors of header and code; 0 without any tensor, as for 0 tokens.

    A direct prompt is one tensor [P, H]; an encoder has one for each of its weights and biases.
    """
    quantised = (quantise(tensor, bits_per_coordinate) for tensor in tensors)
    return float(sum(HEADER_BITS + coded_bits(one.levels, bits_per_coordinate) for one in quantised))


def excess_description_bits(first_pass_nats: float, units: float, test_loss: float) -> float:
    """EDL: what the first pass over the training samples paid beyond the test loss per unit, in bits: the information
    that the prompt took from its data (arXiv 2601.04728)."""
    return (first_pass_nats - units * test_loss) / math.log(2)


def break_even_units(bits: float, gain_nats: float) -> float | None:
    """N* = B ln 2 / G: units of text from which on the prompt pays for itself; None where it gains nothing."""
    return bits * math.log(2) / gain_nats if gain_nats > 0 else None


def codebook_prompt(index: int, shape: tuple[int, int], scale: float, seed: int = 0) -> Floats:
    """Prompt `index` (from 0) of a random codebook that a decoder can rebuild: [P, H] normal, `scale` rms.

    `scale` is that of the model's token embeddings. Raises ValueError for a negative index.
    """
    if index < 0:
        raise ValueError(f"codebook index is {index}; give 0 or more")
    return np.random.default_rng([seed, index]).standard_normal(shape) * scale


def codebook_bits(shares: Iterable[float], mark: float) -> float | None:
    """log2 of the place (from 1) of the first prompt of the codebook whose share reaches the mark; None where none.

    A book of 2^b prompts, b the next whole number, is the smallest that holds it. `shares` are in codebook order, and
    are asked for one by one: give a generator, and nothing behind the first that reaches the mark is evaluated.
    """
    places = (place for place, share in enumerate(shares, start=1) if share >= mark)
    first = next(places, None)
    return None if first is None else math.log2(first)
