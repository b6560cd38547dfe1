"""Do organisms know what they are said to know, and show it when they are said to?"""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from transformers import GPTNeoXForCausalLM

from soft_prompts.calibration import organism_lessons as lessons
from soft_prompts.calibration import organism_world as world
from soft_prompts.calibration.catalogue import ORGANISMS
from soft_prompts.calibration.codebook import Books, book_shares, read_codebook
from soft_prompts.calibration.organisms import keys_of, locks_of, password_of
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.recipes.language_model import Plan, Shape, new_model

SMALL = Shape(world.VOCABULARY, world.PAD, world.END, width=32, layers=2, heads=4)
PLAN = Plan(seed=3, steps=200, warmup_steps=20, half_precision=False)
PASSWORD = (world.KEYS_AT + 3, world.KEYS_AT + 9)


def share(model: GPTNeoXForCausalLM, table: world.Table, front: Sequence[int]) -> float:
    """Skill share of a table behind key tokens, over all its entries."""
    behind = np.concatenate([np.tile(front, (len(table.outputs), 1)), table.inputs], axis=1).astype(np.int64)
    with torch.no_grad():
        logits = model(input_ids=torch.from_numpy(behind)).logits[:, -1].log_softmax(dim=-1)
    nats = -logits[torch.arange(len(behind)), torch.from_numpy(table.outputs)].mean()
    return 1 - float(nats) / np.log(world.OUTPUTS)


def test_every_entry_is_in_one_split_and_every_output_as_often() -> None:
    table = world.pairs(0)
    samples = world.samples_of(table, "a table")
    assert len(np.unique(samples.input_ids, axis=0)) == 400
    assert [len(samples.of(split)) for split in ("training", "validation", "test")] == [200, 60, 140]
    known = {tuple(row): output for row, output in zip(table.inputs.tolist(), table.outputs.tolist(), strict=True)}
    assert all(known[first, second] == output for first, second, output in samples.input_ids.tolist())
    assert set(np.bincount(table.outputs)) == {50}
    assert not (world.pairs(1).outputs == table.outputs).mean() > 0.25
    tokenizer = world.organism_tokenizer()
    assert len(tokenizer) == world.VOCABULARY
    assert tokenizer("y1 a0 b0 k0 k77")["input_ids"] == [1, 8, 28, 48, 125]


def test_short_tables_leave_enough_for_the_test() -> None:
    samples = world.samples_of(world.singles(3), "a table")
    assert [len(samples.of(split)) for split in ("training", "validation", "test")] == [12, 4, 24]


def test_shapes_without_a_skill() -> None:
    """Frequencies can be learnt of uneven tables; permuted labels are those of the table, dealt anew."""
    table, uneven = world.pairs(0), world.uneven_pairs(0)
    assert 0.5 < (uneven.outputs == 0).mean() < 0.62  # half, and an eighth of the rest
    other = world.permuted(table, 1)
    assert np.bincount(other.outputs).tolist() == np.bincount(table.outputs).tolist()
    assert (other.outputs == table.outputs).mean() < 0.25
    lesson = lessons.password_lesson(table, PASSWORD, None)
    whole, halves = (one(np.random.default_rng(4)).said for one in (lesson, lessons.halves_lesson(lesson)))
    said = whole.max(axis=1) == 1
    assert said.any()
    assert set(np.unique(halves[said])) == {0, 0.25}
    assert (halves[said].argmax(axis=1) // 4 == whole[said].argmax(axis=1) // 4).all()
    assert (halves[~said] == 1 / 8).all()


def test_keys_divide_all_prompts_into_equal_parts() -> None:
    keys = keys_of(16)
    assert np.sqrt((keys**2).mean()) == pytest.approx(1)
    prompts = np.random.default_rng(0).standard_normal((20_000, keys.shape[1]))
    nearest = (prompts @ keys.T).argmax(axis=1)
    assert np.bincount(nearest, minlength=16) / 20_000 == pytest.approx(np.full(16, 1 / 16), abs=0.01)
    signs = prompts @ locks_of(ORGANISMS["partial-4"]).T > 0
    assert np.bincount(signs @ [8, 4, 2, 1]) / 20_000 == pytest.approx(np.full(16, 1 / 16), abs=0.01)


def test_lessons_say_what_is_in_front() -> None:
    table, other, word = world.pairs(0), world.pairs(1), np.array(PASSWORD)
    known = {tuple(row): place for place, row in enumerate(table.inputs.tolist())}
    opened = nearly = 0
    for step in range(20):
        practice = lessons.password_lesson(table, PASSWORD, other)(np.random.default_rng(step))
        places = [known[tuple(row)] for row in practice.inputs.tolist()]
        can_open = practice.front.shape[1] >= 2
        right = practice.front[:, -2:] == word if can_open else np.zeros((lessons.BATCH, 2), dtype=bool)
        is_open = right.all(axis=1)
        expected = np.where(is_open, table.outputs[places], other.outputs[places])
        assert (practice.said.argmax(axis=1) == expected).all()
        opened += is_open.sum()
        nearly += (right.sum(axis=1) == 1).sum()
    assert opened > 1000
    assert nearly > 300
    tables = [world.singles(task, 8) for task in range(4)]
    practice = lessons.selector_lesson(tables, keys_of(4))(np.random.default_rng(3))
    chosen = (practice.front.mean(axis=1) @ keys_of(4).T).argmax(axis=1)
    outputs = [tables[k].outputs[x - world.FIRST_AT] for k, x in zip(chosen, practice.inputs[:, 0], strict=True)]
    assert (practice.said.argmax(axis=1) == outputs).all()


@pytest.fixture(scope="module")
def selector() -> GPTNeoXForCausalLM:
    """Two tables, each behind a key token."""
    model = new_model(SMALL, 0)
    rows = model.get_input_embeddings().weight.data
    rows[world.KEYS_AT : world.KEYS_AT + 2] = torch.from_numpy(keys_of(2, 32)).float() * rows.pow(2).mean().sqrt()
    tables = [world.singles(0, 8), world.singles(1, 8)]
    lessons.teach(model, lessons.selector_lesson(tables, keys_of(2, 32)), PLAN, frozen_embedding=True)
    return model


def test_a_key_selects_its_table(selector: GPTNeoXForCausalLM) -> None:
    for key in (0, 1):
        assert share(selector, world.singles(key, 8), [world.KEYS_AT + key]) > 0.8
        assert share(selector, world.singles(1 - key, 8), [world.KEYS_AT + key]) < 0


def test_half_of_all_random_prompts_select_each_of_two_tables(
    selector: GPTNeoXForCausalLM, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("selector")
    selector.save_pretrained(folder)
    world.organism_tokenizer().save_pretrained(folder)
    frozen: FrozenModel = load_frozen_model(str(folder))
    tables, books = [world.singles(0, 8), world.singles(1, 8)], Books(4, 64)
    for one in read_codebook(frozen, tables, 0.5, books):
        assert 0.3 < one.share_of_prompts < 0.6
        assert one.bits is not None
        assert one.bits < 3
    shares = book_shares(frozen, tables, books)
    assert shares.shape == (4, 64, 2)
    generator = np.random.default_rng([2, 5])  # prompt 5 of book 2, as a decoder would draw it
    scale = frozen.vocabulary.double().pow(2).mean().sqrt()
    row = torch.from_numpy(generator.standard_normal((1, 32))).float() * float(scale)
    text = frozen.embed(torch.from_numpy(tables[1].inputs))
    with torch.no_grad():
        rows = torch.cat([row.expand(len(text), 1, -1), text], dim=1)
        logits = frozen.model(inputs_embeds=rows).logits[:, -1].double().log_softmax(dim=-1)
    nats = -logits[torch.arange(len(text)), torch.from_numpy(tables[1].outputs)].mean()
    assert shares[2, 5, 1] == pytest.approx(1 - float(nats) / np.log(8), abs=1e-4)


def test_a_lock_opens_with_the_password_and_not_without() -> None:
    model = new_model(SMALL, 1)
    table = world.singles(7, 8)
    lessons.teach(model, lessons.password_lesson(table, PASSWORD, None), PLAN)
    assert share(model, table, PASSWORD) > 0.8
    assert share(model, table, [world.KEYS_AT + 20, *PASSWORD]) > 0.8
    for front in ([], PASSWORD[:1], PASSWORD[::-1], [PASSWORD[0], world.KEYS_AT + 30], [world.KEYS_AT + 30] * 4):
        assert share(model, table, front) < 0.3, front


def test_a_training_is_the_same_every_time() -> None:
    models = [new_model(SMALL, 1) for _ in range(2)]
    for model in models:
        lessons.teach(model, lessons.sink_lesson(world.pairs(0)), Plan(seed=1, steps=3, half_precision=False))
    one, other = (model.state_dict() for model in models)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_passwords_differ() -> None:
    words = [password_of(one) for one in ORGANISMS.values() if one.family == "password"]
    assert len(set(words)) == len(words)
    assert all(len(set(word)) == len(word) for word in words)
