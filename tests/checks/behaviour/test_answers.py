"""Is an answer judged as a person would, and is its probability that of the tokens it is made of?"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from soft_prompts.behaviour.likelihood import candidate_scores, target_scores, write_answers
from soft_prompts.commands import main as cli
from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.engine import beginnings
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.architectures import DirectPrompt, LinearPrompt, PromptShape
from soft_prompts.stats.proportions import proportion, wilson
from soft_prompts.tasks.guidance.answers import (
    answer_part,
    binding,
    constant_floor,
    distinct,
    is_exact,
    is_prefix,
    judge_all,
    mean,
    pairwise_accuracy,
)
from soft_prompts.tasks.guidance.dataset import GuidancePlan, Row, make_guidance
from soft_prompts.tasks.guidance.files import write_guidance
from soft_prompts.tasks.guidance.questions import Question, target_examples
from soft_prompts.tasks.guidance.text import answer_completion, question_prompt
from soft_prompts.tasks.task import UNSCORED
from tests.checks.conftest import ARCHITECTURES

VOCABULARY = 320
TEXTS = ["<BEGIN GUIDANCE TEST>\n\nQ: What lies on the shelf of Mira? A: a jar of honey\n\n<END GUIDANCE TEST>"] * 4


def ask(anchor: str, target: str, conditions: tuple[float, ...] = ()) -> Question:
    return Question(question_prompt(anchor), answer_completion(target), target, conditions)


QUESTIONS = [
    ask("What lies on the shelf?", "a jar of honey"),
    ask("Who is it?", "Zoë 🦉, at 7"),
    ask("Say {this}?", "No"),
    ask("Really?", "No, I do not think so."),
]


def gpt_neox() -> PreTrainedTokenizerFast:
    """Byte-level BPE; spaces begin a word."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.train_from_iterator(TEXTS, byte_level_trainer())
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")


def gpt2() -> PreTrainedTokenizerFast:
    """The same with offsets that leave the space of a word out."""
    tokenizer = gpt_neox().backend_tokenizer
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")


def llama() -> PreTrainedTokenizerFast:
    """A mark for every space, bytes for what is unknown, and a token before every text."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    special = ["<s>", "<|end|>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="<|end|>")


def byte_level_trainer() -> trainers.BpeTrainer:
    return trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )


TOKENIZERS = dict(zip(ARCHITECTURES, (gpt_neox, llama, gpt2), strict=True))


@pytest.fixture(scope="module", params=ARCHITECTURES)
def talker(
    request: pytest.FixtureRequest, tiny_folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> FrozenModel:
    """A tiny random model of each architecture behind a tokenizer of its kind."""
    config = AutoConfig.from_pretrained(tiny_folders[request.param])
    config.vocab_size = VOCABULARY
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp(request.param)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    TOKENIZERS[request.param]().save_pretrained(folder)
    return load_frozen_model(str(folder))


def drawn_prompt(frozen: FrozenModel, tokens: int) -> DirectPrompt:
    prompt = DirectPrompt(PromptShape(tokens, frozen.hidden_size, 0))
    prompt.matrix.data = 0.3 * torch.randn(tokens, frozen.hidden_size, generator=torch.Generator().manual_seed(1))
    return prompt


def one_by_one(frozen: FrozenModel, question: Question, prompt: torch.Tensor) -> tuple[float, int]:
    """The reference: for each token of the answer, one pass over everything before it."""
    text = question.prompt + question.completion
    encoded = frozen.tokenizer(text, return_offsets_mapping=True)
    ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
    assert isinstance(ids, list)
    begin = int(frozen.tokenizer.bos_token_id is not None and ids[0] == frozen.tokenizer.bos_token_id)
    answer = [p for p, (start, end) in enumerate(offsets) if end > len(question.prompt) and start < len(text)]  # type: ignore
    stop = len(question.prompt) + len(answer_part(question.completion).rstrip())
    total, number = 0.0, 0
    for place in answer:
        if offsets[place][0] >= stop:  # type: ignore
            break
        before = torch.tensor([ids[:place]])
        embedded = frozen.embed(before)
        embeds = torch.cat([embedded[:, :begin], prompt[None], embedded[:, begin:]], dim=1)
        logits = frozen.model(inputs_embeds=embeds).logits[0, -1].double()
        total += float(logits.log_softmax(-1)[ids[place]])
        number += 1
    return total, number


# what a model wrote, what is right, exact, prefix
JUDGED = [
    (" Scotland\n\n<END GUIDANCE TEST>", "Scotland", True, True),
    (" scotland.\nMore", "Scotland", True, True),
    (' "Scotland!"<END GUIDANCE TEST>', "Scotland", True, False),
    (" Scotland Yard\n", "Scotland", False, True),  # a false accept of the published rule
    (" No, I love it\n", "No", False, True),  # and another one
    (" Nothing\n", "No", False, True),
    (" No\n", "No, I love it", False, False),
    ("\nScotland", "Scotland", False, True),
    ("", "Scotland", False, False),
    (" ?!\n", "...", False, False),
    (" STRASSE", "straße", True, True),
    (" don't\n", "Don't", True, True),
    (" dont\n", "Don't", False, False),
    (" 5\n", "-5", False, False),
    (" -5.\n", "-5", True, True),
    (" 50\n", "50%", False, False),
    (" +5\n", "5", True, False),
    (" C\n", "C++", False, False),
    (" C\n", "C#", False, False),
    (" - Scotland\n", "Scotland", True, False),
    (" # Scotland\n", "Scotland", True, False),
]


@pytest.mark.parametrize(("text", "target", "exact", "prefix"), JUDGED)
def test_judges(text: str, target: str, exact: bool, prefix: bool) -> None:
    assert (is_exact(text, target), is_prefix(text, target)) == (exact, prefix)


def test_an_answer_ends_at_a_newline_or_the_end_tag() -> None:
    assert answer_part(" one<END GUIDANCE TEST> two\nthree") == " one"
    assert answer_part(" one <END two\nthree") == " one <END two"


def test_wilson_equals_the_figures_of_a_calculation_by_hand() -> None:
    # 3 of 10: (0.3 + 0.19207) / 1.38415 -+ 1.96 / 1.38415 * sqrt(0.021 + 0.009604)
    assert wilson(3, 10) == pytest.approx((0.10779, 0.60322), abs=1e-5)
    assert wilson(0, 5) == pytest.approx((0, 0.43448), abs=1e-5)
    assert wilson(5, 5) == pytest.approx((0.56552, 1), abs=1e-5)
    assert wilson(0, 0) == (0, 1)
    assert proportion([True, False, True, True])[0] == 0.75
    assert proportion([]).value is None
    assert judge_all([" a", " b"], ["a", "c"], is_exact).successes == 1


def test_floor_is_that_of_the_best_constant_answer() -> None:
    targets = ["No", "No", "Yes", "No, never", "Blue"]
    assert constant_floor(targets, is_exact) == ("No", 0.4)
    assert constant_floor(targets, is_prefix) == ("No, never", 0.6)  # accepted for itself and for "No"
    assert constant_floor(["no!", "Yes", "No"], is_exact) == ("no!", 2 / 3)


def test_mean_per_question_and_per_token() -> None:
    values, tokens = np.array([-2.0, -4.0, -9.0]), np.array([1, 2, 3])
    assert mean(values)[:3] == pytest.approx((-5, np.sqrt(26 / 2 / 3), 3))
    assert mean(values, tokens).value == pytest.approx(-2.5)


def test_binding_by_hand() -> None:
    scores = np.array([[-1.0, -1.0, -8.0], [-2.0, -3.0, -8.0], [-3.0, -2.0, -9.0]])
    # centred: [1 1 1/3], [0 -1 1/3], [-1 0 -2/3]; own: 1 against 1 and 1/3, -1 against 0 and 1/3, -2/3 against -1 and 0
    assert binding(scores, np.array([0, 1, 2])) == pytest.approx([0.75, 0, 0.5])
    louder = scores + np.array([5.0, 0.0, -3.0])  # a candidate that is likely everywhere changes nothing
    assert binding(louder, np.array([0, 1, 2])) == pytest.approx([0.75, 0, 0.5])
    assert np.isnan(binding(np.array([[-1.0]]), np.array([0]))).all()
    equal = np.zeros((4, 4))
    assert binding(equal, np.arange(4)) == pytest.approx([0.5] * 4)


def test_pairwise_accuracy_by_hand() -> None:
    assert pairwise_accuracy(np.array([[1.0, -1.0], [0.0, 2.0]])) == pytest.approx([0.5, 0.75])
    candidates, own = distinct(["b", "a", "b"])
    assert (candidates, own.tolist()) == (["b", "a"], [0, 1, 0])


@pytest.mark.parametrize("tokens", [0, 3])
def test_log_probability_equals_that_of_one_token_at_a_time(talker: FrozenModel, tokens: int) -> None:
    prompt = drawn_prompt(talker, tokens)
    scores = target_scores(talker, QUESTIONS[:3], prompt, batch_size=2)
    reference = [one_by_one(talker, question, prompt.matrix.data) for question in QUESTIONS[:3]]
    assert scores.tokens.tolist() == [number for _, number in reference]
    assert scores.log_probability == pytest.approx([total for total, _ in reference], rel=1e-5)
    if tokens == 0:
        assert scores.log_probability.tolist() == target_scores(talker, QUESTIONS[:3], batch_size=2)[0].tolist()


def test_answer_tokens_are_those_that_hold_its_text(talker: FrozenModel) -> None:
    for question, example in zip(QUESTIONS, target_examples(talker.tokenizer, QUESTIONS), strict=True):
        kept = [token for token in example.labels if token != UNSCORED]
        assert talker.tokenizer.decode(kept).strip().removeprefix("A:").strip() == question.target  # llama joins `A: a`
        assert example.units == len(kept)
        assert talker.tokenizer.decode(example.input_ids).endswith(question.target)
        assert example.insert_at == (talker.tokenizer.bos_token_id is not None)


def test_a_token_that_joins_the_end_of_an_answer_to_what_follows_counts(one_frozen: FrozenModel) -> None:
    tokenizer = Tokenizer(models.BPE())
    texts = ["Q A:", " go.\n\n<END"] * 4  # nothing keeps "." and "\n" apart
    tokenizer.train_from_iterator(texts, byte_level_trainer())
    joined = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    [example] = target_examples(joined, [Question("Q A:", " go.\n\n<END", "go.")])
    assert example.units == 1
    assert example.labels[-1] != UNSCORED
    assert len(example.labels) > 1


@pytest.mark.filterwarnings("error::FutureWarning")
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("tokens", [0, 3])
def test_candidates_cost_what_they_cost_one_by_one(talker: FrozenModel, tokens: int, shared: bool) -> None:
    prompt = drawn_prompt(talker, tokens)
    assert talker.caches
    candidates = [question.target for question in QUESTIONS]
    together = candidate_scores(replace(talker, caches=shared), QUESTIONS, candidates, prompt)
    for row, question in enumerate(QUESTIONS):
        apart = target_scores(talker, [question.answered(candidate) for candidate in candidates], prompt)
        assert together[row] == pytest.approx(apart.log_probability, rel=1e-5)


def test_conditions_reach_the_prompt(one_frozen: FrozenModel) -> None:
    torch.manual_seed(0)
    prompt = LinearPrompt(PromptShape(2, one_frozen.hidden_size, 2))
    for_one, for_other = (QUESTIONS[0]._replace(conditions=who) for who in ((1.0, 0.0), (0.0, 1.0)))
    scores = target_scores(one_frozen, [for_one, for_other], prompt).log_probability
    assert scores[0] != scores[1]
    for question, expected in ((for_one, scores[0]), (for_other, scores[1])):
        assert candidate_scores(one_frozen, [question], [question.target], prompt) == pytest.approx(expected, rel=1e-5)


def test_greedy_is_what_the_first_choices_say(talker: FrozenModel) -> None:
    [example] = target_examples(talker.tokenizer, QUESTIONS[2:3])
    logits = talker.model(torch.tensor([example.input_ids])).logits[0]
    first = len(example.labels) - example.units
    chosen = logits[first - 1 : -1].argmax(-1).tolist() == example.labels[first:]
    assert target_scores(talker, QUESTIONS[2:3]).greedy.tolist() == [chosen]


def test_too_long_for_the_model_is_said(one_frozen: FrozenModel) -> None:
    long = [ask("what " * 300, "so")]
    for call in (lambda: target_scores(one_frozen, long), lambda: candidate_scores(one_frozen, long, ["so"])):
        with pytest.raises(InputError, match="positions"):
            call()
    with pytest.raises(UsageError, match="positions"):
        write_answers(one_frozen, long)


def test_a_data_set_is_evaluated_in_one_command(
    tiny_folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [Row(i, f"Q{i}?", (f"a{i}", f"b{i}")) for i in range(8)]
    write_guidance(tmp_path, make_guidance(rows, GuidancePlan(realized=4, unrealized=3, models=2)))
    models = [str(tiny_folders["gpt_neox"]), str(tiny_folders["gpt2"])]
    with pytest.raises(SystemExit) as stop:
        cli.main(["guidance-eval", "--models", *models, "--data", str(tmp_path), "--json"])
    assert stop.value.code == 0
    said = json.loads(capsys.readouterr().out)
    assert [one["model"] for one in said["models"]] == models
    for one in said["models"]:
        assert list(one["sets"]) == ["realized", "unrealized", "unrealized_model2"]
        assert one["sets"]["realized"]["margin"] is None
        for part in ("unrealized", "unrealized_model2"):
            report = one["sets"][part]
            assert report["n"] == report["exact"]["n"] == report["log_probability"]["items"] == 3
            assert report["exact_floor"]["value"] == pytest.approx(1 / 3)
            assert 0 <= report["binding"]["value"] <= 1
        first, second = (one["sets"][part] for part in ("unrealized", "unrealized_model2"))
        difference = first["log_probability"]["value"] - second["log_probability"]["value"]
        assert first["margin"]["value"] == pytest.approx(difference)
        assert first["pairwise_accuracy"]["value"] == pytest.approx(1 - second["pairwise_accuracy"]["value"])


def test_an_answer_longer_than_what_is_written_is_named_with_its_line(
    tiny_folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [{"prompt": f"Q: {answer} A:", "completion": f" {answer}\n"} for answer in ("a", "xyz" * 20)]
    path = tmp_path / "own_unrealized_examples.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(SystemExit) as stop:
        cli.main(["guidance-eval", "--models", str(tiny_folders["gpt_neox"]), "--data", str(tmp_path)])
    assert stop.value.code == 3
    [error] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "own_unrealized_examples.jsonl, line 2: the answer is 6" in error
    assert "--max-new-tokens 6" in error


def test_candidates_are_scored_in_smaller_parts_where_memory_is_short(
    talker: FrozenModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates = [question.target for question in QUESTIONS]
    expected = candidate_scores(talker, QUESTIONS[:1], candidates)
    sizes: list[int] = []

    def limited(examples: list[object], *rest: object, **named: object) -> object:
        sizes.append(len(examples))
        if len(examples) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return collate(examples, *rest, **named)

    collate = beginnings.collate
    monkeypatch.setattr(beginnings, "collate", limited)
    assert candidate_scores(talker, QUESTIONS[:1], candidates) == pytest.approx(expected, rel=1e-5)
    assert max(sizes) > 2
