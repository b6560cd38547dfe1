"""Does an item count as whole exactly where greedy writing gives its completion?"""

import json
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from soft_prompts.engine.evaluation import evaluate
from soft_prompts.engine.generation import generate
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.architectures import DirectPrompt
from soft_prompts.tasks.completion import CompletionTask
from soft_prompts.tasks.task import DataRequest, Query
from tests.checks.conftest import save_tiny_model

MOST = 12


@pytest.fixture(scope="module")
def ending(tmp_path_factory: pytest.TempPathFactory) -> FrozenModel:
    """A random model that ends most of its texts: its end token's row of the output is one that it often takes."""
    folder = save_tiny_model(tmp_path_factory.mktemp("ending"), "gpt_neox", seed=3)
    frozen = load_frozen_model(str(folder))
    rows = frozen.model.get_output_embeddings().weight
    rows.data[0] = rows.data[1:].norm(dim=1).max() / rows.data[5].norm() * 1.5 * rows.data[5]
    frozen.model.save_pretrained(folder)
    return load_frozen_model(str(folder))


@pytest.mark.parametrize("tokens", [0, 2])
def test_whole_items_are_those_that_greedy_writing_gives(
    tokens: int, ending: FrozenModel, make_direct: Callable[..., DirectPrompt], tmp_path: Path
) -> None:
    """Half of the lines ask for what the model itself writes, half for a text that differs in its last character."""
    frozen, prompt = ending, make_direct(ending, tokens)
    complete = partial(generate, frozen, prompt)
    draw = random.Random(0)
    texts = ["".join(draw.choices("abcdefgh", k=6)) for _ in range(900)]
    written = complete([Query(text, (), 0) for text in texts], MOST)
    usable = {
        text: reply for text, reply in zip(texts, written, strict=True) if is_spelt_alike(frozen, prompt, text, reply)
    }
    assert len(usable) > 40
    rows = []
    for place, (text, reply) in enumerate(usable.items()):
        rows.append({"prompt": text, "completion": reply if place % 2 else reply[:-1] + "~"})
    for name in ("train", "test"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "train.jsonl").write_text('{"prompt": "a b", "completion": " c"}\n' * 3)
    request = DataRequest(str(tmp_path / "train.jsonl"), str(tmp_path / "test.jsonl"), 64, 4, 1000)
    data = CompletionTask().open(request, frozen.tokenizer)
    examples = data.held_out("test")
    evaluated = evaluate(frozen, prompt, examples, 16)
    _, _, outcome = data.measures(examples, evaluated.items, complete)
    assert outcome is not None
    assert 10 < outcome.sum() < len(outcome) - 10
    np.testing.assert_array_equal(evaluated.whole, outcome)


def is_spelt_alike(frozen: FrozenModel, prompt: nn.Module, text: str, reply: str) -> bool:
    """Is the text read as the very tokens that were written? Else there are two ways to write it."""
    start, ids = (frozen.tokenizer(some)["input_ids"] for some in (text, text + reply))
    plain = reply == reply.strip() and reply != "" and reply[-1] != "~"
    return plain and [*ids, 0] == start + greedy_ids(frozen, prompt, start)


@torch.no_grad()
def greedy_ids(frozen: FrozenModel, prompt: nn.Module, start: list[int]) -> list[int]:
    """Token by token, the whole text anew each time."""
    rows, written = prompt(torch.zeros(1, 0))[0], list[int]()
    while len(written) < MOST and 0 not in written:
        embedded = torch.cat([rows, frozen.embed(torch.tensor([start + written]))[0]])
        written.append(int(frozen.model(inputs_embeds=embedded[None]).logits[0, -1].argmax()))
    return written
