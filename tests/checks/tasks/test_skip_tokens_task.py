"""Is the token that skip tokens asks for the right one, and never one that is not there?"""

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from soft_prompts.common.errors import UsageError
from soft_prompts.engine.evaluation import item_losses
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.architectures import PromptShape
from soft_prompts.prompts.build import build_prompt
from soft_prompts.tasks.task import UNSCORED, DataRequest
from soft_prompts.tasks.texts.repetition import RepetitionTask
from soft_prompts.tasks.texts.skip_tokens import SkipTokensTask, skipped_labels


def request_for(folder: Path, sample_tokens: int = 40) -> DataRequest:
    rows = [json.dumps({"text": f"text {number}, of some length " * (1 + number % 3)}) for number in range(80)]
    (folder / "texts.jsonl").write_text("\n".join(rows))
    return DataRequest(str(folder / "texts.jsonl"), None, sample_tokens, 4, 12)


def test_the_label_lies_skip_tokens_behind_the_next_and_the_tail_has_none() -> None:
    assert skipped_labels([10, 11, 12, 13, 14, 15], 2, 1) == [UNSCORED, 13, 14, 15, UNSCORED, UNSCORED]
    assert skipped_labels([10, 11, 12, 13, 14, 15], 1, 3) == [UNSCORED] * 3 + [14, 15, UNSCORED]
    assert skipped_labels([10, 11], 8, 1) == [UNSCORED, UNSCORED]


@pytest.mark.parametrize("skip", [1, 4])
def test_examples_ask_for_the_text_as_it_is(tmp_path: Path, one_frozen: FrozenModel, skip: int) -> None:
    [task] = SkipTokensTask((skip,)).each()
    for example in task.open(request_for(tmp_path), one_frozen.tokenizer).held_out("test"):
        scored = {at: label for at, label in enumerate(example.labels) if label != UNSCORED}
        assert all(example.input_ids[at + skip] == label for at, label in scored.items())
        assert min(scored) == example.insert_at + 1  # what follows the prompt, less the first label behind it
        assert max(scored) == len(example.input_ids) - skip - 1
        assert example.units == len(scored) == len(example.input_ids) - skip - example.insert_at - 1


def test_one_run_a_skip_and_refusals(tmp_path: Path, one_frozen: FrozenModel) -> None:
    assert [task.variant for task in SkipTokensTask((1, 8, 1)).each()] == ["skip-1", "skip-8"]
    with pytest.raises(UsageError, match="skip is 0; give 1 or more"):
        SkipTokensTask((0,))
    with pytest.raises(UsageError, match="skip is empty"):
        SkipTokensTask(())
    with pytest.raises(UsageError, match="skip is 1, 2; one run has one"):
        SkipTokensTask((1, 2)).open(request_for(tmp_path), one_frozen.tokenizer)
    with pytest.raises(UsageError, match="skip is 38, but a sample has 40 tokens"):
        SkipTokensTask((38,)).open(request_for(tmp_path), one_frozen.tokenizer)


def with_absurd_pad(frozen: FrozenModel) -> FrozenModel:
    """The same model with a pad token that no text holds, whose rows, read and written, would ruin every loss."""
    model = copy.deepcopy(frozen.model)
    read, written = model.get_input_embeddings(), model.get_output_embeddings()
    pad_id = len(frozen.tokenizer) + 2
    with torch.no_grad():
        for matrix in (read, written):
            matrix.weight[pad_id] = 1e3
    return replace(frozen, model=model, pad_id=pad_id, head=None if frozen.head is None else written)


@pytest.mark.parametrize("task", [SkipTokensTask((4,)), RepetitionTask(("abc",))], ids=lambda task: task.name)
def test_no_pad_label_is_ever_scored(
    tmp_path: Path, frozen: FrozenModel, task: SkipTokensTask | RepetitionTask
) -> None:
    """Items that go through the model one by one, without padding, cost what they cost in a padded batch."""
    model = with_absurd_pad(frozen)
    examples = task.open(request_for(tmp_path), model.tokenizer).held_out("test")
    assert len({len(example.input_ids) for example in examples}) > 2
    for tokens in (0, 1, 5):
        prompt = build_prompt("direct", PromptShape(tokens, model.hidden_size, 0), model.vocabulary, "vocabulary", 0)
        alone = item_losses(model, prompt, examples, 1)
        together = item_losses(model, prompt, examples, len(examples))
        assert together.tokens.tolist() == alone.tokens.tolist() == [example.units for example in examples]
        assert together.nats == pytest.approx(alone.nats, rel=1e-4)
