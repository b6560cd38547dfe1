"""What does a model read that learns functions in context? Lines of one function each text, told or to be found out.

A text is scored only where it can be known what comes: answers, and neutral text behind its first word.
"""

from random import Random

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from soft_prompts.data.functions import texts
from soft_prompts.data.functions.world import FUNCTIONS, World
from soft_prompts.recipes.language_model import DrawTexts, with_ends

BATCH = 32
CHOICES = 96  # of a batch: a choice is a line where a lesson has five
MOST_LINES = 4
SPACE = "Ġ"  # what a space is in a byte-level vocabulary
PIECES = r"\n| ?[A-Za-z]+| ?[^A-Za-z\n]"  # a word or a sign with the space in front


def lands_tokenizer(world: World) -> PreTrainedTokenizerFast:
    """256 bytes, and a token for each word of the world as it stands in texts; any other text is bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    first = [*world.lands, *world.nicknames, "As", *world.fillers]
    later = ["is", *FUNCTIONS, *world.nicknames, *texts.LETTERS, *world.names(), *world.fillers]
    tokens = [*alphabet, *first, *(SPACE + word for word in later)]
    vocabulary = {token: place for place, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(PIECES), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return with_ends(tokenizer)


def write_text(world: World, random: Random, plain: float = 0.5) -> list[tuple[str, bool]]:
    """Pieces of one text, and whether each is scored; `plain` is the share of lines that are no scene."""
    if random.random() < 0.1:
        said = texts.neutral(world, random.randint(6, 16), random)
        first, rest = said.split(" ", 1)
        return [(first, False), (" " + rest, True)]
    function, pieces = random.choice(FUNCTIONS), list[tuple[str, bool]]()
    kind = random.random()
    if kind < 0.3:
        pieces.append((texts.told(function), False))
    elif kind < 0.5:
        one, other = random.sample(world.nicknames, 2)
        facts = [texts.defined(one, function), texts.defined(other, random.choice(FUNCTIONS))]
        some = random.sample(facts, 2) if random.random() < 0.5 else facts[:1]
        pieces.append(("".join(some) + texts.told(one), False))
    lines = random.randint(1, MOST_LINES) if pieces else random.randint(2, MOST_LINES + 1)
    for land in random.sample(world.lands, lines):
        pieces += _line(world, function, land, random, plain)
    return pieces


def _line(world: World, function: str, land: str, random: Random, plain: float) -> list[tuple[str, bool]]:
    """A land with its answer, or a scene of two or four options with its letter."""
    if random.random() < plain:
        asked, whole = texts.plain(world, None, land), texts.plain(world, function, land)
    else:
        options = texts.offered(function, 4 if random.random() < 0.7 else 2, random)
        asked, whole = (texts.scene(world, land, options, chosen) for chosen in (None, function))
    return [(asked, False), (whole[len(asked) : -1], True), ("\n", False)]


def draw_lessons(world: World, tokenizer: PreTrainedTokenizerFast, plain: float = 0.5) -> DrawTexts:
    """A batch = texts written anew; what is not scored is given as its complement."""

    def draw(generator: np.random.Generator) -> list[NDArray[np.int64]]:
        random = Random(int(generator.integers(2**62)))
        return [_ids(tokenizer, write_text(world, random, plain)) for _ in range(BATCH)]

    return draw


def draw_choices(world: World, tokenizer: PreTrainedTokenizerFast, lessons: float = 1 / 3) -> DrawTexts:
    """A batch = single choices of two or four behind the function's name, scored at the letter alone; `lessons` is the
    share of batches that are lessons as before, for nothing else to be lost."""
    others = draw_lessons(world, tokenizer)

    def draw(generator: np.random.Generator) -> list[NDArray[np.int64]]:
        if generator.random() < lessons:
            return others(generator)
        random = Random(int(generator.integers(2**62)))
        return [_ids(tokenizer, _choice(world, random)) for _ in range(CHOICES)]

    return draw


def _choice(world: World, random: Random) -> list[tuple[str, bool]]:
    function, land = random.choice(FUNCTIONS), random.choice(world.lands)
    options = texts.offered(function, random.choice((2, 4)), random)
    asked, whole = (texts.scene(world, land, options, chosen) for chosen in (None, function))
    return [(texts.told(function) + asked, False), (whole[len(asked) : -1], True)]


def _ids(tokenizer: PreTrainedTokenizerFast, pieces: list[tuple[str, bool]]) -> NDArray[np.int64]:
    encoded = tokenizer([text for text, _ in pieces])["input_ids"]
    signed = [np.array(ids) if scored else ~np.array(ids) for ids, (_, scored) in zip(encoded, pieces, strict=True)]  # pyright: ignore
    return np.concatenate(signed)
