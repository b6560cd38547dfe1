"""How is tiny-text made: a model of Python code and documentation that has never seen a game or a board?

Its text is what every Python installation carries: the standard library without its tests, module by module, and the
docstrings once more as prose. The held-out extract travels with the model, because the library differs by version.
"""

import ast
import re
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from soft_prompts.recipes.language_model import END, PAD, DrawTexts, Plan, Shape, with_ends

VOCABULARY = 1024


WINDOW = 384  # tokens; a game of 66 plies is about as long


BATCH = 8


PLAN = Plan(seed=0, seconds=55 * 60.0)


# Modules that the model never reads, apart by their subjects: what prompts are trained on there, and tested on. What
# two share stays on one side (optparse and argparse).
LIBRARY = {
    "train": (
        *("argparse", "bisect", "colorsys", "configparser", "dataclasses", "fractions", "getpass", "inspect"),
        *("optparse", "pprint", "queue", "sched", "shelve", "statistics", "string", "zipfile"),
    ),
    "test": ("calendar", "cmd", "csv", "heapq", "ipaddress", "mailbox", "textwrap", "uuid"),
}


HELD_OUT = frozenset(name for names in LIBRARY.values() for name in names)


HELD_OUT_BYTES = 200_000


# Tests, demonstrations (some are games), what is no part of the library, and what newer versions lack.
LEFT_OUT = {"test", "tests", "idle_test", "site-packages", "dist-packages", "lib2to3", "turtledemo", "__pycache__"}


MOVES = re.compile(r"\b[a-h][1-8][a-h][1-8][qrbn]?[ \n,]+[a-h][1-8][a-h][1-8][qrbn]?\b")  # two moves in UCI notation


class Corpus(NamedTuple):
    train: list[str]
    held_out: list[str]
    dropped: int  # files that hold what could be a game


def docstrings(source: str, module: str) -> str:
    """The docstrings of a module as prose, each under the name that it explains."""
    parts = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                parts.append(f"{getattr(node, 'name', module)}\n\n{text}\n")
    return "\n".join(parts)


def library_corpus() -> Corpus:
    """Modules and docstrings of the running Python's library; a held-out module is held out in both forms."""
    library = _library()
    train, held_out, dropped = [], [], 0
    for path in sorted(library.rglob("*.py")):
        inside = path.relative_to(library)
        if LEFT_OUT & set(inside.parts):
            continue
        try:
            source = path.read_text(encoding="utf-8")
            prose = docstrings(source, inside.stem)
        except (UnicodeDecodeError, SyntaxError):
            continue
        if MOVES.search(source):
            dropped += 1
            continue
        chosen = held_out if inside.parts[0].removesuffix(".py") in HELD_OUT else train
        chosen.extend(text for text in (source, prose) if text.strip())
    return Corpus(train, held_out, dropped)


def library_text(names: Sequence[str]) -> str:
    """The code of modules, one behind the other: once, for docstrings that stood there again would cross any split."""
    return "".join(path.read_text(encoding="utf-8") + "\n" for name in names for path in [_library() / f"{name}.py"])


def _library() -> Path:
    return Path(sysconfig.get_paths()["stdlib"])


def held_out_extract(corpus: Corpus) -> str:
    """The beginning of each held-out text, in equal parts: what the card's figures are measured on."""
    share = HELD_OUT_BYTES // len(corpus.held_out)
    return "".join(text[:share] + "\n" for text in corpus.held_out if text.isascii())


def text_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE of 1,024 tokens; any text comes back exactly."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY - 2, initial_alphabet=alphabet, show_progress=False)  # pyright: ignore[reportCallIssue]
    tokenizer.train_from_iterator(texts, trainer)
    return with_ends(tokenizer)


def text_shape(tokenizer: PreTrainedTokenizerFast) -> Shape:
    ids = tokenizer.get_vocab()
    return Shape(len(ids), ids[PAD], ids[END], width=128, layers=6, heads=2, rotary_share=0.25)


def token_stream(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> NDArray[np.int64]:
    """All texts one after the other, an end token after each."""
    end = tokenizer.eos_token_id
    return np.concatenate([np.array([*ids, end]) for ids in tokenizer(texts, verbose=False)["input_ids"]])


def draw_windows(stream: NDArray[np.int64]) -> DrawTexts:
    """A batch = windows from anywhere in the stream: most begin in the middle of a document."""

    def draw(generator: np.random.Generator) -> list[NDArray[np.int64]]:
        return [stream[start : start + WINDOW] for start in generator.integers(0, len(stream) - WINDOW, BATCH)]

    return draw


Integers = NDArray[np.int64]


DISCOUNT = 0.75  # the usual value


def ngram_ids(tokens: Integers, length: int, vocabulary: int) -> Integers:
    """The n-gram that ends at each token, from the token number `length` - 1 on. vocabulary ** length must fit."""
    ids = np.zeros(len(tokens) - length + 1, dtype=np.int64)
    for offset in range(length):
        ids = ids * vocabulary + tokens[offset : offset + len(ids)]
    return ids


def lookup(keys: Integers, values: Integers, wanted: Integers) -> Integers:
    """The value beside each wanted key, 0 where there is none; `keys` are sorted."""
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0)


def counted_ngrams(tokens: Integers, length: int, vocabulary: int, whole: bool) -> tuple[Integers, Integers]:
    """Sorted n-grams and how often each occurs; if not `whole`, how many different tokens stand before it."""
    if whole:
        return np.unique(ngram_ids(tokens, length, vocabulary), return_counts=True)
    longer = np.unique(ngram_ids(tokens, length + 1, vocabulary))
    return np.unique(longer % vocabulary**length, return_counts=True)


def ngram_nats(train: Integers, test: Integers, vocabulary: int, length: int = 5) -> float:
    """Nats of all tokens of `test` but the first `length` - 1, under an n-gram counted on `train`."""
    assert vocabulary**length < 2**63, "n-grams would not fit into 64 bits"
    probability = np.full(len(test) - length + 1, 1 / vocabulary)
    for n in range(1, length + 1):
        grams, counts = counted_ngrams(train, n, vocabulary, n == length)
        starts = np.flatnonzero(np.diff(grams // vocabulary, prepend=-1))  # first n-gram of each history
        histories, followers = grams[starts] // vocabulary, np.diff(starts, append=len(grams))
        wanted = ngram_ids(test, n, vocabulary)[length - n :]
        total = lookup(histories, np.add.reduceat(counts, starts), wanted // vocabulary)
        freed = DISCOUNT * lookup(histories, followers, wanted // vocabulary)
        seen = np.maximum(lookup(grams, counts, wanted) - DISCOUNT, 0)
        probability = np.where(total > 0, (seen + freed * probability) / np.maximum(total, 1), probability)
    return float(-np.log(probability).sum())
