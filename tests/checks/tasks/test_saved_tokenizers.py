"""Does what a tokenizer was saved with decide anything? Every task, on tokenizers that cut, pad, add and fold."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from soft_prompts.common.errors import InputError
from soft_prompts.data.texts.documents import document_of
from soft_prompts.models.frozen import load_tokenizer
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.tokenizer import Tokens, encode, encode_all
from soft_prompts.stats.items import Items
from soft_prompts.tasks.chess import ChessTask
from soft_prompts.tasks.completion import CompletionTask
from soft_prompts.tasks.guidance.questions import Question, target_examples
from soft_prompts.tasks.registry import TASKS
from soft_prompts.tasks.task import UNSCORED, DataRequest, Example, Query, TaskData
from tests.checks.made.tasks import open_small

SHORT = 4  # tokens, less than any sample has
CUTS: dict[str, dict[str, Any]] = {
    "cut left": {"truncation": {"max_length": SHORT, "direction": "left"}},
    "cut right": {"truncation": {"max_length": SHORT, "direction": "right"}},
    "padded left": {"padding": {"direction": "left", "pad_id": 0, "pad_token": "<|end|>"}},
    "padded to a length": {"padding": {"length": 300, "direction": "right", "pad_id": 0, "pad_token": "<|end|>"}},
    "both": {
        "truncation": {"max_length": SHORT, "direction": "left"},
        "padding": {"length": 300, "direction": "left", "pad_id": 0, "pad_token": "<|end|>"},
    },
}


def copy(tokenizer: PreTrainedTokenizerBase) -> Tokenizer:
    return Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())  # pyright: ignore


def saved(backend: Tokenizer, folder: Path, **settings: Any) -> PreTrainedTokenizerBase:
    """As a run would find it."""
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>", **settings)
    fast.save_pretrained(folder / "saved")
    return load_tokenizer(str(folder / "saved"))


def cutting(tokenizer: PreTrainedTokenizerBase, folder: Path, how: str) -> PreTrainedTokenizerBase:
    backend, sides = copy(tokenizer), CUTS[how]
    if "truncation" in sides:
        backend.enable_truncation(**sides["truncation"])
    if "padding" in sides:
        backend.enable_padding(**sides["padding"])
    found = saved(backend, folder, truncation_side="left", padding_side="left", model_max_length=SHORT)
    assert (state_of(found) != (None, None)) == bool(sides)
    return found


def state_of(tokenizer: Any) -> tuple[Any, Any]:
    return tokenizer.backend_tokenizer.truncation, tokenizer.backend_tokenizer.padding


def asked_of(data: TaskData) -> list[tuple[list[Query], int]]:
    """The queries of a task's own scores, and the tokens that it leaves for each."""
    asked = []

    def complete(queries: Sequence[Query], most: int, /, *, temperature: float = 0.0) -> list[str]:
        asked.append((list(queries), most))
        return [" a"] * len(queries)

    examples = data.held_out("test")
    ones = np.ones(len(examples), dtype=np.int64)
    data.measures(examples, Items(ones.astype(float), ones, ones, ones), complete)
    return asked


@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize("name", sorted(TASKS))
def test_saved_cutting_and_padding_change_no_sample_and_no_query(
    name: str, how: str, tmp_path: Path, one_frozen: FrozenModel
) -> None:
    other = cutting(one_frozen.tokenizer, tmp_path, how)
    before = state_of(other)
    (task, request, plain), (_, _, found) = (
        open_small(name, tmp_path, tokenizer) for tokenizer in (one_frozen.tokenizer, other)
    )
    if name == "chess":  # games longer than a sample, so that something is cut
        task, request = replace(task, max_plies=None), request._replace(sample_tokens=20)  # pyright: ignore
        plain, found = (task.open(request, tokenizer) for tokenizer in (one_frozen.tokenizer, other))
        assert {len(example.input_ids) for example in found.held_out("test")} == {20}
    for split in ("validation", "test"):
        assert found.held_out(split) == plain.held_out(split)
    assert list(itertools.islice(found.training(None), 40)) == list(itertools.islice(plain.training(None), 40))
    assert asked_of(found) == asked_of(plain)
    assert found.shots(2) == plain.shots(2)
    assert state_of(other) == before


def scored_text(tokenizer: PreTrainedTokenizerBase, example: Example) -> str:
    return str(tokenizer.decode([label for label in example.labels if label != UNSCORED]))


@pytest.mark.parametrize("name", ["chess", "completion", "guidance_softprompt", "pathfinding"])
def test_an_added_first_token_moves_a_sample_and_changes_nothing_else(
    name: str, tmp_path: Path, one_frozen: FrozenModel
) -> None:
    backend = copy(one_frozen.tokenizer)
    backend.post_processor = processors.TemplateProcessing(single="<|end|> $A <|end|>", special_tokens=[("<|end|>", 0)])
    task, request, plain = open_small(name, tmp_path, one_frozen.tokenizer)
    found = task.open(request, saved(backend, tmp_path, bos_token="<|end|>"))
    for one, other in zip(plain.held_out("test"), found.held_out("test"), strict=True):
        assert list(other.input_ids) == [0, *one.input_ids]
        assert list(other.labels) == [UNSCORED, *one.labels]
        assert (other.insert_at, other.units, other.cluster) == (one.insert_at + 1, one.units, one.cluster)


@pytest.mark.parametrize("fold", ["lower case", "prefix space"])
@pytest.mark.parametrize("name", ["chess", "completion", "guidance_softprompt", "pathfinding"])
def test_units_are_those_of_the_text_however_it_is_folded(
    name: str, fold: str, tmp_path: Path, one_frozen: FrozenModel
) -> None:
    backend = copy(one_frozen.tokenizer)
    if fold == "lower case":
        backend.normalizer = normalizers.Lowercase()
    else:
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    other = saved(backend, tmp_path)
    task, request, plain = open_small(name, tmp_path, one_frozen.tokenizer)
    found = task.open(request, other)
    for split in ("validation", "test"):
        for one, folded in zip(plain.held_out(split), found.held_out(split), strict=True):
            assert folded.cluster == one.cluster
            assert scored_text(other, folded) == (
                scored_text(one_frozen.tokenizer, one).lower() if fold == "lower case" else scored_text(other, one)
            )
            assert folded.units == one.units


@pytest.mark.parametrize("fold", ["lower case", "prefix space", "stripped"])
def test_bytes_are_those_of_the_text_however_it_is_folded(fold: str, tmp_path: Path, one_frozen: FrozenModel) -> None:
    backend = copy(one_frozen.tokenizer)
    backend.normalizer = normalizers.Lowercase() if fold == "lower case" else normalizers.Strip()
    if fold == "prefix space":
        backend.normalizer = normalizers.Sequence([])
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    texts = [f"{number} " + "DEF Hold(\u00d6l) \u2192 NONE\n" * 4 for number in range(40)]
    (tmp_path / "texts").mkdir()
    for number, text in enumerate(texts):
        (tmp_path / "texts" / f"{number}.txt").write_text(text)
    tokenizer = saved(backend, tmp_path)
    request = DataRequest(str(tmp_path / "texts"), None, 300, 4, 4)
    data = TASKS["autoregressive"]().open(request, tokenizer)
    by_identity = {document_of(text).identity: text for text in texts}
    for example in data.held_out("test"):
        text = by_identity[example.cluster]
        assert len(example.input_ids) < 300  # one window holds a document
        assert example.units == len(text.encode()) - encode(tokenizer, text).spans[0][1]  # all but the first token's


def test_completions_in_the_first_token_are_line_errors(tmp_path: Path, one_frozen: FrozenModel) -> None:
    """The tokenizer joins `of`, a line's prompt and completion."""
    assert len(encode(one_frozen.tokenizer, "of").ids) == 1
    for end_token in (True, False):
        path = tmp_path / "rows.jsonl"
        path.write_text('{"prompt": "o", "completion": "f"}\n')
        with pytest.raises(InputError, match=r"rows.jsonl, line 1: the completion .* begins in the first token"):
            CompletionTask(end_token=end_token).open(DataRequest(str(path), "sums", 64, 4, 4), one_frozen.tokenizer)
    with pytest.raises(InputError, match="the answer 'of' to '' begins in the first token"):
        target_examples(one_frozen.tokenizer, [Question("", "of", "of")])


def test_the_end_token_of_a_tokenizer_and_of_a_text_are_told_apart(tmp_path: Path, one_frozen: FrozenModel) -> None:
    backend = copy(one_frozen.tokenizer)
    backend.post_processor = processors.TemplateProcessing(single="$A <|end|>", special_tokens=[("<|end|>", 0)])
    tokenizer = saved(backend, tmp_path, split_special_tokens=True)
    assert encode(tokenizer, "") == Tokens([], [], 0)
    assert encode_all(tokenizer, []) == []
    inside = encode(tokenizer, "e<|end|>")
    assert (inside.ids[-1], inside.spans[-1]) == (0, (1, 8))  # what the text itself spells
    assert tokenizer.backend_tokenizer.encode_special_tokens  # pyright: ignore[reportAttributeAccessIssue]


def test_white_space_that_a_tokenizer_leaves_out_is_the_next_tokens(one_frozen: FrozenModel, tmp_path: Path) -> None:
    backend = copy(one_frozen.tokenizer)
    backend.post_processor = processors.ByteLevel(trim_offsets=True)
    tokens = encode(saved(backend, tmp_path), "e2e4 e7e5  g1f3")
    assert [start for start, _ in tokens.spans[1:]] == [end for _, end in tokens.spans[:-1]]


def test_a_left_cutting_tokenizer_is_asked_for_the_same_moves(tmp_path: Path, one_frozen: FrozenModel) -> None:
    """Whole moves counted are whole moves scored, each with all of its tokens."""
    _, request, _ = open_small("chess", tmp_path, one_frozen.tokenizer)
    tokenizer = cutting(one_frozen.tokenizer, tmp_path, "cut left")
    data = ChessTask(max_plies=None).open(request._replace(sample_tokens=23), tokenizer)
    for example in data.held_out("test"):
        assert len(scored_text(tokenizer, example).split()) == example.units > 0
        assert example.labels[0] == UNSCORED
