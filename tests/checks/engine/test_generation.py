"""Does a padded batch write what each text alone would, token by token, without cache or padding?"""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.engine import generation, processes
from soft_prompts.engine.evaluation import item_losses
from soft_prompts.engine.generation import generate
from soft_prompts.engine.processes import SharedOut
from soft_prompts.models.batching import Batching
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel, Writing
from soft_prompts.models.writing import ROADS, Choice, at_shares
from soft_prompts.prompts.architectures import DirectPrompt, PromptShape
from soft_prompts.prompts.build import build_prompt
from soft_prompts.tasks.task import Example, Query
from tests.checks.made.architectures import save_architecture

MakeDirect = Callable[..., DirectPrompt]
TEXTS = (
    "e2e4",
    "e2e4 e7e5 g1f3 b8c6 the of and",
    "the",
    "of and e2e4 b8c6",
    "g1f3 the of and the of and e7e5 e7e5 e7e5",
)
NEW = 8


@torch.no_grad()
def plain_loop(frozen: FrozenModel, prompt: torch.nn.Module, query: Query, most: int, end: int | None) -> list[int]:
    """Greedy tokens, the whole sequence through the model for each, without cache, batch or padding."""
    ids = frozen.tokenizer(query.text)["input_ids"]
    rows = prompt(torch.tensor([query.conditions]))[0]
    text = frozen.embed(torch.tensor([ids], dtype=torch.long))[0]
    embeds = torch.cat([text[: query.insert_at], rows, text[query.insert_at :]])
    written: list[int] = []
    while len(written) < most and (not written or written[-1] != end):
        token = int(frozen.model(inputs_embeds=embeds[None]).logits[0, -1].argmax())
        embeds = torch.cat([embeds, frozen.embed(torch.tensor([[token]]))[0]])
        written.append(token)
    return written


def expected_text(frozen: FrozenModel, prompt: torch.nn.Module, query: Query, most: int = NEW) -> str:
    written = plain_loop(frozen, prompt, query, most, frozen.tokenizer.eos_token_id)
    return frozen.tokenizer.decode(written, skip_special_tokens=True)


def in_places(frozen: FrozenModel) -> list[Query]:
    """Every text with the prompt in front, in the middle and at the end."""
    queries = []
    for number, text in enumerate(TEXTS):
        length = len(frozen.tokenizer(text)["input_ids"])
        queries += [Query(text, (0.1 * number, 0.3), at) for at in (0, length // 2, length)]
    return queries


@pytest.mark.parametrize("tokens", [0, 3])
def test_greedy_in_a_padded_batch_is_greedy_alone(frozen: FrozenModel, tokens: int) -> None:
    prompt = build_prompt("mlp", PromptShape(tokens, frozen.hidden_size, 2), frozen.vocabulary)
    queries = in_places(frozen)
    expected = [expected_text(frozen, prompt, query) for query in queries]
    assert len(set(expected)) > (3 if tokens == 0 else 8)
    for batch_size in (64, 4):
        assert generate(frozen, prompt, queries, NEW, batch_size=batch_size) == expected


TEMPLATE = "g1f3 b8c6 the of and e7e5 the the of e2e4 "


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of every call of the road for texts that begin alike: how many positions of theirs it read once."""
    counts, own = list[int](), generation.by_shared_beginning

    def spy(*given: Any) -> Any:
        counts.append(given[-1])
        return own(*given)

    monkeypatch.setattr(generation, "by_shared_beginning", spy)
    return counts


@pytest.mark.parametrize("tokens", [0, 3])
@pytest.mark.parametrize("at", [0, 4, 14])
def test_texts_of_one_template_are_what_each_alone_is(
    frozen: FrozenModel, make_direct: MakeDirect, shared: list[int], tokens: int, at: int
) -> None:
    """The prompt in front of the template, in it, and behind the beginning that all have."""
    prompt = make_direct(frozen, tokens)
    texts = [TEMPLATE + text for text in TEXTS]
    template = len(frozen.tokenizer(TEMPLATE.strip())["input_ids"])
    queries = [Query(text, (), min(at, len(frozen.tokenizer(text)["input_ids"]))) for text in texts]
    assert generate(frozen, prompt, queries, NEW) == [expected_text(frozen, prompt, query) for query in queries]
    assert shared
    assert template - 1 <= shared[0] <= template + tokens
    shared.clear()
    sampled = partial(generate, frozen, prompt, queries, NEW, temperature=1.0, seed=3)
    together, alone = sampled(batch_size=64), sampled(batch_size=1)
    assert together == alone
    assert shared


def test_prompts_that_differ_share_the_text_before_them(one_frozen: FrozenModel, shared: list[int]) -> None:
    prompt = build_prompt("mlp", PromptShape(3, one_frozen.hidden_size, 2), one_frozen.vocabulary)
    for at in (0, 10):
        queries = [Query(TEMPLATE + text, (0.1 * number, 0.3), at) for number, text in enumerate(TEXTS)]
        expected = [expected_text(one_frozen, prompt, query) for query in queries]
        assert generate(one_frozen, prompt, queries, NEW) == expected
    assert shared == [10]


def test_a_model_that_looks_back_less_far_reads_every_text_whole(
    tmp_path: Path, make_direct: MakeDirect, shared: list[int]
) -> None:
    """Padding behind what is shared would push it out of the window."""
    folder = save_architecture(tmp_path, "mistral")
    settings = json.loads((folder / "config.json").read_text())
    for window in (16, 64):
        (folder / "config.json").write_text(json.dumps(settings | {"sliding_window": window}))
        frozen = load_frozen_model(str(folder))
        prompt = make_direct(frozen, 2)
        queries = [Query(f"w1 w2 w3 w4 w5 w6 w7 w8 {'w9 ' * number}w10", ()) for number in range(4)]
        expected = [expected_text(frozen, prompt, query) for query in queries]
        assert generate(frozen, prompt, queries, NEW) == expected
        assert bool(shared) == (window > 16)


@pytest.mark.parametrize("texts", [("", ""), ("", "the of"), ("the", "the")])
def test_texts_of_which_nothing_is_left_to_themselves(
    one_frozen: FrozenModel, make_direct: MakeDirect, texts: tuple[str, ...]
) -> None:
    """Sampled, equal queries are not asked once."""
    queries = [Query(text, ()) for text in texts]
    write = partial(generate, one_frozen, make_direct(one_frozen, 4), queries, NEW, temperature=1.0)
    assert write(batch_size=64) == write(batch_size=1)


def test_no_more_logits_are_made_than_are_read(
    one_frozen: FrozenModel, make_direct: MakeDirect, shared: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a model without a plain head, too."""
    made, own = list[int](), one_frozen.model.get_output_embeddings()
    hook = own.register_forward_hook(lambda module, given, logits: made.append(logits.shape[1]))
    queries = [Query(TEMPLATE + text, ()) for text in TEXTS]
    prompt = make_direct(one_frozen, 2)
    texts = [generate(replace(one_frozen, head=head), prompt, queries, NEW) for head in (None, one_frozen.head)]
    hook.remove()
    assert texts[0] == texts[1]
    assert shared
    assert set(made[: len(made) // 2]) == {1}


def ending_with(frozen: FrozenModel, token: int) -> FrozenModel:
    """The same model, whose tokenizer takes `token` for the end of a text."""
    tokenizer = copy.deepcopy(frozen.tokenizer)
    tokenizer.add_special_tokens({"eos_token": tokenizer.convert_ids_to_tokens(token)})
    assert tokenizer.eos_token_id == token
    return replace(frozen, tokenizer=tokenizer)


def test_each_row_stops_at_its_own_end_token(frozen: FrozenModel, make_direct: MakeDirect) -> None:
    prompt = make_direct(frozen, 2)
    queries = [Query(text, ()) for text in TEXTS]
    [first, *_] = queries
    token = next(t for t in plain_loop(frozen, prompt, first, NEW, None)[3:] if t != 0)
    ending = ending_with(frozen, token)
    expected = [expected_text(ending, prompt, query) for query in queries]
    assert generate(ending, prompt, queries, NEW) == expected
    lengths = {len(plain_loop(ending, prompt, query, NEW, token)) for query in queries}
    assert len(lengths) > 1  # some end early, or nothing was checked


def spied(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Rows and most new tokens of every call of a road."""
    calls: list[tuple[int, int]] = []
    for name, road in list(ROADS.items()):

        def spy(frozen: FrozenModel, embeds: torch.Tensor, mask: torch.Tensor, choice: Choice, road: Any = road) -> Any:
            calls.append((len(embeds), choice.most))
            return road(frozen, embeds, mask, choice)

        monkeypatch.setitem(ROADS, name, spy)
    return calls


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_texts_that_go_on_leave_those_that_have_ended(
    one_frozen: FrozenModel, make_direct: MakeDirect, monkeypatch: pytest.MonkeyPatch, road: str, temperature: float
) -> None:
    """Each text is that of a batch of its own; where half have ended, the others go on from where they stand."""
    prompt, queries = make_direct(one_frozen, 2), [Query("e2e4", ())] * 5 + [Query("d2d4", ())] * 3
    write = partial(generate, prompt=prompt, queries=queries, max_new_tokens=NEW, temperature=temperature, seed=5)
    token = plain_loop(one_frozen, prompt, queries[0], NEW, None)[3]
    ending = ending_with(replace(one_frozen, writing=Writing(road, Batching("equal"))), token)
    if temperature:  # every other token ends a text
        monkeypatch.setattr(generation, "_end_tokens", lambda _: list(range(0, len(one_frozen.vocabulary), 2)))
    alone = write(ending, batch_size=1)
    calls = spied(monkeypatch)
    assert write(ending, batch_size=8) == alone
    if temperature:
        assert calls[0] == (8, NEW)
        assert len(calls) > 1  # somebody went on
        assert all(rows <= 4 and most < NEW for rows, most in calls[1:])
    else:
        assert calls == [(2, NEW), (1, NEW - 4)]  # equal queries are asked once


def test_a_pad_token_that_is_a_word_is_not_written(one_frozen: FrozenModel, make_direct: MakeDirect) -> None:
    prompt, queries = make_direct(one_frozen, 2), [Query(text, ()) for text in TEXTS]
    token = next(t for t in plain_loop(one_frozen, prompt, queries[0], NEW, None)[3:] if t != 0)
    ending = ending_with(one_frozen, token)
    expected = generate(ending, prompt, queries, NEW)
    assert generate(replace(ending, pad_id=65), prompt, queries, NEW) == expected


def test_seeds_reproduce_samples_and_leave_torchs_generator(one_frozen: FrozenModel, make_direct: MakeDirect) -> None:
    prompt, queries = make_direct(one_frozen, 2), [Query(text, ()) for text in TEXTS]
    before = torch.get_rng_state()
    one, again, other = (generate(one_frozen, prompt, queries, NEW, temperature=1.0, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert one == again
    assert one != other
    greedy = generate(one_frozen, prompt, queries, NEW)
    assert one != greedy
    assert generate(one_frozen, prompt, queries, NEW, temperature=1e-4, seed=3) == greedy
    assert generate(one_frozen, prompt, queries, NEW, temperature=1.0, top_p=1e-6, seed=3) == greedy


def test_beyond_the_context_it_refuses_before_it_writes(
    monkeypatch: pytest.MonkeyPatch, one_frozen: FrozenModel, make_direct: MakeDirect
) -> None:
    prompt, text = make_direct(one_frozen, 3), TEXTS[0]
    length = len(one_frozen.tokenizer(text)["input_ids"])
    room = one_frozen.context_length - 3 - length
    longer = Query(text + " the", ())
    assert len(generate(one_frozen, prompt, [Query(text, ())], room)) == 1
    monkeypatch.setattr(type(one_frozen.model), "generate", lambda *_, **__: pytest.fail("it wrote"))
    with pytest.raises(UsageError, match=r"are \d+ positions; .* has 256; give a shorter text or fewer new tokens"):
        generate(one_frozen, prompt, [Query(text, ()), longer], room, batch_size=1)


def test_an_empty_text_needs_a_prompt(frozen: FrozenModel, make_direct: MakeDirect) -> None:
    prompt, nothing = make_direct(frozen, 3), make_direct(frozen, 0)
    queries = [Query("", ()), Query(TEXTS[1], ())]
    assert generate(frozen, prompt, queries, NEW) == [expected_text(frozen, prompt, query) for query in queries]
    assert generate(frozen, prompt, queries[:1], NEW) == [expected_text(frozen, prompt, queries[0])]
    for given in (queries[:1], queries):  # beside another text too
        with pytest.raises(UsageError, match="the text is empty and the prompt has no tokens"):
            generate(frozen, nothing, given, NEW)
    assert generate(frozen, prompt, [], NEW) == []


def test_the_models_own_generation_settings_change_nothing(one_frozen: FrozenModel, make_direct: MakeDirect) -> None:
    prompt, queries = make_direct(one_frozen, 2), [Query(text, ()) for text in TEXTS]
    expected = generate(one_frozen, prompt, queries, NEW)
    model = copy.deepcopy(one_frozen.model)
    settings = {"repetition_penalty": 9.0, "no_repeat_ngram_size": 2, "min_new_tokens": 3, "temperature": 0.5}
    for name, value in (settings | {"top_k": 3, "do_sample": True, "suppress_tokens": [66, 67, 68]}).items():
        setattr(model.generation_config, name, value)
    assert generate(replace(one_frozen, model=model), prompt, queries, NEW) == expected
    sampled = generate(one_frozen, prompt, queries, NEW, temperature=1.0, seed=1)
    assert generate(replace(one_frozen, model=model), prompt, queries, NEW, temperature=1.0, seed=1) == sampled


def test_the_space_that_begins_a_continuation_is_kept(one_frozen: FrozenModel, make_direct: MakeDirect) -> None:
    """Tokenizers of the sentencepiece kind drop the first space of whatever they decode."""
    words = ["<s>", "</s>", "<unk>", *(f"▁w{number}" for number in range(one_frozen.model.config.vocab_size - 3))]
    inner = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.decoder = decoders.Metaspace()
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    model = replace(one_frozen, tokenizer=tokenizer)
    assert tokenizer.decode([5, 6]) == "w2 w3"
    prompt, query = make_direct(model, 2), Query("w4 w5", (), 1)
    written = plain_loop(model, prompt, query, 4, None)
    assert min(written) > 2
    expected = "".join(f" w{token - 3}" for token in written)
    assert generate(model, prompt, [query], 4) == [expected]


def test_nothing_of_the_frozen_model_changes(one_frozen: FrozenModel, make_direct: MakeDirect) -> None:
    before = one_frozen.model.generation_config.to_dict()
    generate(one_frozen, make_direct(one_frozen, 1), [Query(TEXTS[0], ())], 3, temperature=0.7)
    assert one_frozen.model.generation_config.to_dict() == before
    assert all(weight.grad is None for weight in one_frozen.model.parameters())


@pytest.mark.parametrize(
    "way",
    [
        Writing("generate", Batching("equal")),
        Writing("cached loop", Batching("equal")),
        Writing("cached loop", Batching("alone")),
        Writing("plain loop", Batching("equal")),
    ],
)
@pytest.mark.parametrize("tokens", [0, 3])
def test_every_road_writes_the_same(frozen: FrozenModel, make_direct: MakeDirect, tokens: int, way: Writing) -> None:
    prompt = make_direct(frozen, tokens)
    queries = [query._replace(conditions=()) for query in in_places(frozen)]
    expected = [expected_text(frozen, prompt, query) for query in queries]
    assert generate(replace(frozen, writing=way), prompt, queries, NEW, batch_size=4) == expected


def test_an_empty_text_goes_on_from_the_prompt_on_every_road(one_frozen: FrozenModel, make_direct: MakeDirect) -> None:
    prompt = make_direct(one_frozen, 3)
    for road in ROADS:
        frozen = replace(one_frozen, writing=Writing(road, Batching("equal")))
        assert generate(frozen, prompt, [Query("", (), 0)], NEW) == [expected_text(frozen, prompt, Query("", (), 0))]


def test_what_fits_behind_a_text_does_not_depend_on_longer_ones(
    one_frozen: FrozenModel, make_direct: MakeDirect
) -> None:
    """The longest text leaves room for two tokens; the short ones are written as if it were not there."""
    prompt, word = make_direct(one_frozen, 2), "e2e4 "
    long = word * 300
    while len(one_frozen.tokenizer(long)["input_ids"]) > one_frozen.context_length - 4:
        long = long[:-1]
    queries = [Query(text, (), 0) for text in (long, "the", "of and")]
    alone = [generate(one_frozen, prompt, [query], NEW, as_fits=True)[0] for query in queries]
    assert generate(one_frozen, prompt, queries, NEW, as_fits=True) == alone
    assert alone[1:] == [expected_text(one_frozen, prompt, query) for query in queries[1:]]


@pytest.mark.parametrize("road", ROADS)
def test_sampling_draws_from_the_models_distribution(one_frozen: FrozenModel, road: str) -> None:
    """Frequencies of the first token over 4,000 draws against the softmax, and against the nucleus of 0.5."""
    embeds = one_frozen.embed(torch.tensor([[5, 9, 7]])).expand(4000, -1, -1)
    mask = torch.ones(embeds.shape[:2], dtype=torch.bool)
    probability = one_frozen.logits(embeds[:1])[0, -1].softmax(-1)
    above = probability.sort(descending=True).values.cumsum(0)
    nucleus = probability.clone()
    nucleus[probability.argsort(descending=True)[int((above < 0.5).sum()) + 1 :]] = 0
    choice = Choice(1, 1.0, places=tuple(range(4000)))
    for top_p, expected in ((1.0, probability), (0.5, nucleus / nucleus.sum())):
        with torch.no_grad():
            drawn = ROADS[road](one_frozen, embeds, mask, choice._replace(top_p=top_p)).tokens[:, 0]
        share = torch.bincount(drawn, minlength=len(expected)) / len(drawn)
        assert (share - expected).abs().max() < 5 * (0.25 / len(drawn)) ** 0.5
        assert not drawn[expected[drawn] == 0].numel()


def test_what_is_sampled_does_not_depend_on_the_batch(one_frozen: FrozenModel, make_direct: MakeDirect) -> None:
    """Equal queries among others: each place has its own draws, whatever is written beside it and on whichever road."""
    prompt, sampled = make_direct(one_frozen, 2), {"temperature": 1.0, "seed": 4}
    queries = [Query(text, ()) for text in (*["e2e4"] * 6, *TEXTS)]
    together = generate(one_frozen, prompt, queries, NEW, **sampled)
    assert len(set(together[:6])) == 6
    for batch_size in (1, 2, 8):
        assert generate(one_frozen, prompt, queries, NEW, batch_size=batch_size, **sampled) == together
    for road in ROADS:
        frozen = replace(one_frozen, writing=Writing(road, Batching("equal")))
        assert generate(frozen, prompt, queries, NEW, batch_size=4, **sampled) == together
    for at in (range(1, len(queries), 2), range(0, len(queries), 2)):
        part = generate(one_frozen, prompt, [queries[place] for place in at], NEW, places=at, **sampled)
        assert part == [together[place] for place in at]


def test_processes_share_out_what_is_sampled(
    one_frozen: FrozenModel, make_direct: MakeDirect, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = [Query(text, ()) for text in (*["e2e4"] * 3, *TEXTS)]
    complete = partial(generate, one_frozen, make_direct(one_frozen, 2))
    for temperature in (0.0, 1.0):
        expected = complete(queries, NEW, temperature=temperature)
        assert SharedOut(complete)(queries, NEW, temperature=temperature) == expected
        parts: list[tuple[int, str]] = []
        gathered = list(enumerate(expected))
        monkeypatch.setattr(processes, "gather_object", lambda part, to=parts, all=gathered: to.extend(part) or all)
        for index in (0, 1):
            state = SimpleNamespace(process_index=index, num_processes=2)
            monkeypatch.setattr(processes, "PartialState", lambda state=state: state)
            assert SharedOut(complete)(queries, NEW, temperature=temperature) == expected
        assert sorted(parts) == gathered
        monkeypatch.undo()


def test_a_token_is_drawn_by_the_share_of_probability_below_it() -> None:
    """By hand; a token without probability is never drawn, also first and last, and at the very ends."""
    row = torch.tensor([0.0, 0.25, 0.0, 0.5, 0.25, 0.0], dtype=torch.float64)
    shares = torch.tensor([2.0**-53, 0.25, 0.26, 0.75, 0.76, 1.0], dtype=torch.float64)
    assert at_shares(row.expand(6, -1), shares).tolist() == [1, 1, 3, 3, 4, 4]
    with pytest.raises(InputError, match="logits are no numbers"):
        at_shares(row[None] * torch.nan, shares[:1])


@pytest.mark.filterwarnings("error::FutureWarning")
def test_no_road_is_about_to_go_out_of_service(frozen: FrozenModel, make_direct: MakeDirect) -> None:
    prompt, questions = make_direct(frozen, 2), [Query("the of", (), 0), Query("e2e4", (), 0)]
    loaded = load_frozen_model(frozen.name)
    for road in ROADS:
        generate(replace(loaded, writing=Writing(road, Batching("equal"))), prompt, questions, 3)
    item_losses(loaded, prompt, [Example([3, 4, 5], [3, 4, 5])], 4)
