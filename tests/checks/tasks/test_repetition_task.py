"""Does repetition ask for one string, from its first token on, and count copies as a reader would?"""

import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from soft_prompts.common.errors import UsageError
from soft_prompts.models.frozen import load_frozen_model, load_tokenizer
from soft_prompts.models.model import FrozenModel
from soft_prompts.stats.items import Items
from soft_prompts.tasks.task import UNSCORED, DataRequest, Query
from soft_prompts.tasks.texts.repetition import (
    NAMED,
    RepetitionTask,
    repeated_labels,
    said_string,
    share_in_copies,
    spread_over,
    string_ids,
)
from soft_prompts.tasks.texts.repetition import wanted_string as wanted


def request_for(folder: Path) -> DataRequest:
    rows = [json.dumps({"text": f"text {number}, of some length " * 6}) for number in range(60)]
    (folder / "texts.jsonl").write_text("\n".join(rows))
    return DataRequest(str(folder / "texts.jsonl"), None, 40, 4, 12)


def test_the_string_begins_behind_the_prompt() -> None:
    assert repeated_labels(7, [1, 2, 3], 2, 2) == [UNSCORED, UNSCORED, 1, 2, 3, 1, 2]
    assert repeated_labels(7, [1, 2, 3], 2, 3) == [UNSCORED] * 3 + [2, 3, 1, 2]


def test_inputs_stay_the_text_and_labels_are_the_tiled_string(tmp_path: Path, one_frozen: FrozenModel) -> None:
    data = RepetitionTask(("abc",)).open(request_for(tmp_path), one_frozen.tokenizer)
    string = string_ids(one_frozen.tokenizer, "abc")
    examples = data.held_out("test")
    assert len({example.insert_at for example in examples}) > 4
    for example in examples:
        text = one_frozen.tokenizer.decode(example.input_ids)
        assert "abc" not in text
        assert "some" in text or "length" in text
        for at, label in enumerate(example.labels):
            place = at - example.insert_at
            assert label == (string[place % len(string)] if place > 0 else UNSCORED)


def test_named_strings_are_so_many_tokens(one_frozen: FrozenModel) -> None:
    for tokenizer in (one_frozen.tokenizer, load_frozen_model("tiny-text").tokenizer):
        for name, count in NAMED.items():
            assert len(string_ids(tokenizer, wanted(tokenizer, name))) == count
    assert wanted(one_frozen.tokenizer, "10-token") == "10-token"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", 0), ("ababab", 1), ("xxabxx", 1 / 3), ("aba", 1), ("abxa", 0.5), ("ba", 0), ("xa", 0), (" abab", 0.8)],
)
def test_characters_inside_copies_are_counted(text: str, expected: float) -> None:
    assert share_in_copies(text, "ab") == pytest.approx(expected)


def test_texts_that_are_gone_on_from_are_of_many_documents() -> None:
    """310 items of 13 documents, one after another: the first 64 are of three."""
    documents = [place // 24 for place in range(310)]
    chosen = spread_over(range(310), 64)
    assert len(chosen) == len(set(chosen)) == 64
    assert {documents[place] for place in chosen} == set(documents)
    assert spread_over(range(5), 64) == [0, 1, 2, 3, 4]


def test_what_the_model_writes_is_judged_behind_text_and_prompt(tmp_path: Path, one_frozen: FrozenModel) -> None:
    data = RepetitionTask(("abc",)).open(request_for(tmp_path), one_frozen.tokenizer)
    examples = data.held_out("test")
    asked: list[Query] = []

    def complete(queries: list[Query], most_new_tokens: int, /, *, temperature: float = 0.0) -> list[str]:
        asked.extend(queries)
        return ["abcabc" if place < 4 else "xxxabc" for place in range(len(queries))]

    zeros = np.zeros(len(examples))
    items = Items(zeros, zeros.astype(int), zeros.astype(int), zeros.astype(int))
    measures = data.measures(examples, items, complete)
    found = measures.metrics["repeated_share"]
    count = len(asked)
    assert found.value == pytest.approx((4 + (count - 4) / 2) / count)
    assert found.stderr
    assert found.stderr > 0
    assert all(query.insert_at == len(string_ids(one_frozen.tokenizer, query.text)) for query in asked)
    assert measures.generations[0].reference == "abcabcabc"
    assert measures.outcome is not None
    places = [place for place, example in enumerate(examples) if example.insert_at > 0][:count]
    assert measures.outcome[places].tolist() == [1.0 if number < 4 else 0.5 for number in range(count)]
    assert np.isnan(np.delete(measures.outcome, places)).all()


@pytest.mark.parametrize(("test_samples", "written"), [(300, 64), (1000, 64), (2000, 128)])
def test_more_test_items_are_more_texts_to_go_on_from(test_samples: int, written: int) -> None:
    """The verdict names --test-samples where an interval of what is written is too wide."""
    request = DataRequest("library", None, 64, 16, test_samples)
    data = RepetitionTask(("abc",)).open(request, load_tokenizer("tiny-text"))
    examples = data.held_out("test")
    zeros = np.zeros(len(examples))
    items = Items(zeros, zeros.astype(int), zeros.astype(int), zeros.astype(int))
    outcome = data.measures(examples, items, lambda queries, *_, **__: ["abc"] * len(queries)).outcome
    assert outcome is not None
    assert (~np.isnan(outcome)).sum() == written


def test_one_run_a_string_and_refusals(tmp_path: Path, one_frozen: FrozenModel) -> None:
    assert [task.variant for task in RepetitionTask().each()] == list(NAMED)
    with pytest.raises(UsageError, match="string is empty"):
        RepetitionTask(("a", ""))
    with pytest.raises(UsageError, match="one run has one"):
        RepetitionTask(("a", "b")).open(request_for(tmp_path), one_frozen.tokenizer)
    with pytest.raises(UsageError, match=r"string is \d+ tokens of this model, but a sample has 40"):
        RepetitionTask(("long " * 40,)).open(request_for(tmp_path), one_frozen.tokenizer)


def test_its_source_pays_nothing_and_examples_are_the_string_again(tmp_path: Path, one_frozen: FrozenModel) -> None:
    data = RepetitionTask(("ab",)).open(request_for(tmp_path), one_frozen.tokenizer)
    ids = string_ids(one_frozen.tokenizer, "ab")
    assert data.exact_test_nats().tolist() == [0.0] * len(data.held_out("test"))
    assert data.shots(3) == ids * 3


def test_the_string_that_is_judged_is_the_one_that_is_asked_for(one_frozen: FrozenModel) -> None:
    """A tokenizer that folds case, or begins with a space, never says the string as it was given."""
    plain, backend = one_frozen.tokenizer, Tokenizer.from_str(one_frozen.tokenizer.backend_tokenizer.to_str())
    assert said_string(plain, string_ids(plain, "The END")) == "The END"
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    folding = PreTrainedTokenizerFast(tokenizer_object=backend)
    assert said_string(folding, string_ids(folding, "The END")) == " the end"
