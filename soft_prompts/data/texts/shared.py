"""How much of the text that tests stands in documents that train, word by word?

Documents are split whole. What two of them share crosses the split: mirrors and quotations, licences, a module's code
beside its documentation. A prompt that has learnt such a passage by heart is right in the test as well.
"""

import itertools
from collections.abc import Iterable, Iterator

from soft_prompts.common.console import say
from soft_prompts.data.kept import KEPT
from soft_prompts.data.split import wording_of
from soft_prompts.data.texts.corpus import Corpus
from soft_prompts.data.texts.documents import Document
from soft_prompts.data.texts.held_out import buffers
from soft_prompts.data.texts.words import words_of

RUN = 13  # words and marks: what arXiv 2005.14165, appendix C, calls an overlap
LOOKED_AT = 1 << 22  # characters of training text: a second
OF_A_TEST, TESTS = 1 << 14, 256  # characters of a document that tests, and such documents
WORTH_SAYING = 0.05


def say_what_is_shared(corpus: Corpus, where: str, test: Iterable[Document], max_bad: float) -> None:
    """One line on the terminal where a source of files has more of it than `WORTH_SAYING`."""
    if not corpus.train.sources:
        return  # drawn by a rule, or of a hub, where reading ahead costs a download
    documents = tuple(test)
    key = ("shared", corpus, tuple(document.identity for document in documents), max_bad)
    files = (*corpus.train.sources, *corpus.held_out_reader.sources)
    share = KEPT.get(key, files, lambda: shared_share(documents, _training(corpus, documents, max_bad)))
    if share > WORTH_SAYING:
        say(
            f"{where}: {share:.0%} of the test's runs of {RUN} words stand in training documents too, where they can "
            "be learnt by heart; remove copies, or give --test-data of other sources"
        )


def shared_share(test: Iterable[Document], training: Iterable[Document]) -> float:
    """The part of the runs of the first of `test` that stand in `training` too; 0 where there are none."""
    asked = [run for document in itertools.islice(test, TESTS) for run in _runs(document.text[:OF_A_TEST])]
    known, found = frozenset(asked), set[int]()
    for document in training:
        found.update(known.intersection(_runs(document.text)))
    return sum(run in found for run in asked) / max(1, len(asked))


def _runs(text: str) -> Iterator[int]:
    """Hashes of the runs: words themselves would take ten times the memory."""
    words = words_of(text)
    return map(hash, zip(*(itertools.islice(words, first, None) for first in range(RUN)), strict=False))


def _training(corpus: Corpus, test: Iterable[Document], max_bad: float) -> Iterator[Document]:
    """The first documents that train."""
    size, held_out = 0, {wording_of(document.text) for document in test}
    for document in next(buffers(corpus.train, None, max_bad)).documents:
        if size >= LOOKED_AT:
            return
        if corpus.split_of(document, in_training=True) == "train" and wording_of(document.text) not in held_out:
            size += len(document.text)
            yield document
