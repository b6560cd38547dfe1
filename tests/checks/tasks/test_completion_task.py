"""Does completion score the completion alone, keep prompts apart, and name the line that is wrong?"""

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from soft_prompts.common import files
from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.config import RunConfig, check_conditions, settings_that_count
from soft_prompts.data.completions import Row, RowSource, conditions_of, field_encoder, split_rows
from soft_prompts.data.conditions import ConditionEncoder, encoder_for, own_numbers
from soft_prompts.engine.batch import collate
from soft_prompts.engine.generation import Draft, _continuation, generate
from soft_prompts.models.frozen import load_tokenizer
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.tokenizer import encode, end_id
from soft_prompts.prompts.architectures import DirectPrompt, PromptShape
from soft_prompts.stats.items import Items
from soft_prompts.tasks.completion import CompletionData, CompletionTask
from soft_prompts.tasks.completion_lines import is_exact, is_prefix, is_whole_prefix
from soft_prompts.tasks.task import UNSCORED, DataRequest, Example, Measures, Query

BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())


def write(folder: Path, rows: list[Any], name: str = "rows.jsonl") -> str:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder / name)


def rows(count: int = 60, **fields: Any) -> list[dict[str, Any]]:
    return [{"prompt": f"ask {n // 2} :", "completion": f" it is {n}.", **fields} for n in range(count)]


def request_for(data: str, **changes: Any) -> DataRequest:
    return DataRequest(data, None, 64, 4, 4)._replace(**changes)


@pytest.mark.parametrize("end_token", [True, False])
def test_the_completion_alone_is_scored(tmp_path: Path, one_frozen: FrozenModel, end_token: bool) -> None:
    tokenizer = one_frozen.tokenizer
    data = CompletionTask(end_token=end_token).open(request_for(write(tmp_path, rows())), tokenizer)
    for example, row in zip(data.held_out("test"), data.test_rows, strict=True):
        scored = [label for label in example.labels if label != UNSCORED]
        end = [tokenizer.eos_token_id] if end_token else []
        assert scored == tokenizer(row.completion)["input_ids"] + end
        assert tokenizer.decode(example.input_ids) == row.prompt + row.completion + "<|end|>" * end_token
        assert (example.units, example.cluster) == (1, row.identity)


def test_a_prompt_lies_on_one_side(tmp_path: Path) -> None:
    data = write(tmp_path, rows())
    parts = [{row.prompt for row in part} for part in split_rows(RowSource(data), None).rows.values()]
    assert all(parts)
    assert not any(one & other for one, other in itertools.combinations(parts, 2))
    test = write(tmp_path, rows(20), "test.jsonl")
    apart = split_rows(RowSource(data), RowSource(test)).rows
    assert {row.prompt for row in apart["train"]} == {f"ask {n} :" for n in range(10, 30)}
    assert len(apart["validation"]) + len(apart["test"]) == 20


def test_a_test_file_within_the_folder_of_data_is_not_trained_on(tmp_path: Path) -> None:
    write(tmp_path, rows())
    test = write(tmp_path, [{**row, "prompt": f"test {row['prompt']}"} for row in rows(20)], "test.jsonl")
    apart = split_rows(RowSource(str(tmp_path)), RowSource(test)).rows
    assert {row.prompt for row in apart["train"]} == {f"ask {n} :" for n in range(30)}
    assert len(apart["validation"]) + len(apart["test"]) == 20


def test_every_byte_of_large_rows_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "WHOLE", 100)
    monkeypatch.setattr(files, "BLOCK", 4)
    path = Path(write(tmp_path, rows()))
    before, content = RowSource(str(path)).fingerprint(), path.read_bytes()
    place = content.index(b"it is 33")
    path.write_bytes(content[:place] + b"it is 44" + content[place + 8 :])
    assert RowSource(str(path)).fingerprint() != before


def test_conditions_come_from_the_training_lines_and_from_a_snapshots_numbers() -> None:
    made = RowSource("sums").read().sound
    encoder = field_encoder(made, ("operation", "larger"))
    larger = np.array([row.fields["larger"] for row in made])
    assert encoder.names == ("operation=minus", "operation=plus", "larger")
    assert encoder.offset == pytest.approx((0, 0, larger.mean()))
    assert encoder.scale == pytest.approx((1, 1, larger.std()))
    floats = encoder.from_named({"operation": "plus", "larger": "30"})
    assert floats == pytest.approx((0, 1, (30 - larger.mean()) / larger.std()))
    assert encoder.describe(floats) == "operation=plus larger=30"
    assert encoder_for(encoder.names, json.loads(json.dumps(own_numbers(encoder)))) == encoder
    with pytest.raises(UsageError, match="condition operation is 'times'; give one of minus, plus"):
        encoder.from_named({"operation": "times", "larger": "30"})
    with pytest.raises(UsageError, match=r"condition operation is missing; give --condition operation=minus\|plus"):
        encoder.from_named({"larger": "30"})


@pytest.mark.parametrize("value", [0.1, 0.3, 0.7, 1.1, 0.25, -4.0, 1e-300, 12345678.9])
def test_a_number_that_never_varies_in_training_is_shifted_and_no_more(value: float) -> None:
    """The sum of a hundred tenths is no ten: 1e-17 was its deviation, and another number 1e16 in the prompt."""
    made = [Row(f"item {n}", " red", {"x": value}, f"line {n}") for n in range(100)]
    encoder = field_encoder(made, ("x",))
    assert (encoder.offset, encoder.scale) == ((value,), (1.0,))
    assert conditions_of(Row("thing", " red", {"x": value + 1}, "line 1"), encoder) == pytest.approx((1.0,))
    made[7].fields["x"] = np.nextafter(value, np.inf).item()  # as .1 + .2 is beside .3
    assert field_encoder(made, ("x",)).scale == (1.0,)


def test_large_numbers_that_differ_by_one_are_no_rounding() -> None:
    """Seconds of an epoch, or numbers of accounts."""
    made = [Row(f"item {n}", " red", {"x": 10_000_000_001 + n % 2}, f"line {n}") for n in range(100)]
    encoder = field_encoder(made, ("x",))
    assert encoder.scale == (0.5,)
    assert conditions_of(made[0], encoder) == (-1.0,)


def test_numbers_whose_squares_are_nothing_are_told_apart_all_the_same() -> None:
    made = [Row(f"item {n}", " red", {"x": 1e-200 * (1 + n % 2)}, f"line {n}") for n in range(10)]
    assert field_encoder(made, ("x",)).scale == (1.0,)


def test_cells_that_spell_no_figures_are_names() -> None:
    """Whatever Python takes for a number."""

    def encoder(*cells: str) -> ConditionEncoder:
        return field_encoder([Row("a", "b", {"x": cell}, "line 1", is_text=True) for cell in cells], ("x",))

    assert encoder("Nan", "Inf", "infinity", "1_000").names == ("x=1_000", "x=Inf", "x=Nan", "x=infinity")
    assert encoder("1", "-2.5", "+3e2", " 4 ").names == ("x",)
    with pytest.raises(InputError, match="not a finite number"):
        encoder("1e999")


def test_matches() -> None:
    assert is_exact(" 19\n", "19")
    assert not is_exact(" 19 1", " 19")
    assert not is_exact("1 9", "19")
    assert is_prefix(" 19 and more", " 19")
    assert not is_prefix(" 1", " 19")
    others = [
        (" Nothing", " No"),
        ("\u0930\u093e\u092e\u093e", "\u0930\u093e\u092e"),  # a vowel sign behind a letter of Devanagari
        ("cafe\u0301", "cafe"),
        ("\u0915\u0940\u092e\u0924", "\u0915\u0940"),  # a letter behind a vowel sign
        ("12", "1"),
        ("1.5 km", "1"),
        ("1,000", "1"),
        ("10:30", "10"),
        ("B2", "B"),
        ("לאט", "לא"),
    ]
    assert not any(is_whole_prefix(reply, completion) for reply, completion in others)
    ended = [
        (" No, never", " No"),
        ("1. It", "1"),
        ("1, 2", "1"),
        ("(a) b", "(a"),
        ("北京的", "北京"),
        ("3个", "3"),
        ("10kg", "10"),
        ("\u0915\u0940 \u092e", "\u0915\u0940"),
        ("\u2764\ufe0f", "\u2764"),  # a heart, and the sign that it is drawn in colour
        ("서울은", "서울"),
    ]
    assert all(is_whole_prefix(reply, completion) for reply, completion in ended)
    assert not is_prefix("a 19", "19")


def test_greedy_completions_are_judged(one_frozen: FrozenModel) -> None:
    data = CompletionTask().open(request_for("sums"), one_frozen.tokenizer)
    answers = [row.completion for row in data.test_rows]

    def complete(queries: list[Query], most_new_tokens: int, /, *, temperature: float = 0.0) -> list[str]:
        assert [query.text for query in queries] == [row.prompt for row in data.test_rows]
        return [answers[0], answers[1] + " and", "no", "no"]

    zeros = np.zeros(4)
    items = Items(zeros, zeros.astype(int), zeros.astype(int), zeros.astype(int))
    measures = data.measures(data.held_out("test"), items, complete)
    assert [measures.metrics[name].value for name in ("exact_match", "prefix_match")] == [0.25, 0.5]
    assert measures.generations[0].reference == answers[0]
    assert measures.outcome is not None
    assert measures.outcome.tolist() == [1, 0, 0, 0]


def judged(data: CompletionData, *replies: str) -> tuple[list[Query], Measures]:
    """What is asked, and what is made of these replies in turn."""
    asked = list[Query]()

    def complete(queries: list[Query], most_new_tokens: int, /, *, temperature: float = 0.0) -> list[str]:
        asked.extend(queries)
        return list(itertools.islice(itertools.cycle(replies), len(queries)))

    zeros = np.zeros(len(data.test_rows))
    items = Items(zeros, zeros.astype(int), zeros.astype(int), zeros.astype(int))
    return asked, data.measures(data.held_out("test"), items, complete)


@pytest.mark.parametrize(("space", "joined"), [("", 0), (" ", 4)])
def test_what_is_asked_is_what_is_trained_wherever_the_line_is_cut(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], space: str, joined: int
) -> None:
    """`is a` and ` man`, or `is a ` and `man`: one text, one loss, one question, one right answer."""
    tokenizer = load_tokenizer("tiny-text")
    lines = [{"prompt": f"number {n} is a{space}", "completion": " man".removeprefix(space)} for n in range(60)]
    data = CompletionTask().open(request_for(write(tmp_path, lines)), tokenizer)
    asked, measures = judged(data, " man")
    for query, example, row in zip(asked, data.held_out("test"), data.test_rows, strict=True):
        scored = [place for place, label in enumerate(example.labels) if label != UNSCORED]
        assert list(query.ids or ()) == example.input_ids[: scored[0]]
        assert query.text == row.prompt.rstrip()
        assert [example.input_ids[place] for place in scored] == [*encode(tokenizer, " man").ids, end_id(tokenizer)]
    assert measures.metrics["exact_match"].value == 1.0
    assert measures.generations[0].reference == " man"
    assert (f"in {joined} of 4 test lines a token of this model holds" in capsys.readouterr().err) == bool(joined)


def test_generation_goes_on_from_the_tokens_of_the_whole_line(one_frozen: FrozenModel) -> None:
    """Ids that the text alone would not have."""
    ids = (7, 9, 11)
    text = str(one_frozen.tokenizer.decode(ids))
    nothing = DirectPrompt(PromptShape(0, one_frozen.hidden_size, 0))
    written = generate(one_frozen, nothing, [Query(text, (), 0, ids), Query("else", (), 0, ids)], 6)
    with torch.no_grad():
        grown = list(ids)
        for _ in range(6):
            grown.append(int(one_frozen.model(torch.tensor([grown])).logits[0, -1].argmax()))
    assert written == [one_frozen.tokenizer.decode(grown[3:])] * 2


def test_what_is_written_behind_half_a_character_is_whole(one_frozen: FrozenModel) -> None:
    """Ids that end in the first byte of a character: what follows begins with its rest, not behind it."""
    backend = Tokenizer(models.BPE(vocab={byte: at for at, byte in enumerate(BYTES)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    frozen = dataclasses.replace(one_frozen, tokenizer=PreTrainedTokenizerFast(tokenizer_object=backend))
    ids = encode(frozen.tokenizer, "aéд").ids
    draft = Draft(Example(ids, ids), 2, 0, 0, written=3)  # behind `a` and the first byte of `é`
    assert _continuation(frozen, draft) == "éд"
    assert _continuation(frozen, draft._replace(written=2)) == "д"


def test_without_an_end_token_what_stands_behind_the_completion_is_not_judged(
    tmp_path: Path, one_frozen: FrozenModel
) -> None:
    lines = [{"prompt": f"ask {n} :", "completion": " it"} for n in range(60)]
    for end_token, right in ((True, 0.0), (False, 1.0)):
        data = CompletionTask(end_token=end_token).open(request_for(write(tmp_path, lines)), one_frozen.tokenizer)
        _, measures = judged(data, " it goes on")
        assert measures.outcome is not None
        assert measures.outcome.tolist() == [right] * 4
        assert measures.metrics["exact_match"].value == right
        assert measures.metrics["prefix_match"].value == 1.0


def test_white_space_alone_is_not_judged(tmp_path: Path, one_frozen: FrozenModel) -> None:
    lines = [{"prompt": f"ask {n} :", "completion": "  " if n % 2 else " it"} for n in range(60)]
    data = CompletionTask().open(request_for(write(tmp_path, lines), test_samples=6), one_frozen.tokenizer)
    asked, measures = judged(data, "")
    blank = [not row.completion.strip() for row in data.test_rows]
    assert 0 < sum(blank) < 6
    assert measures.outcome is not None
    assert np.isnan(measures.outcome).tolist() == blank
    assert np.isnan(data.constant_outcome()).tolist() == blank
    assert len(asked) == 6 - sum(blank)
    assert measures.metrics["prefix_match"].value == 0.0


def test_texts_without_a_prompt_are_scored_behind_their_first_token(tmp_path: Path) -> None:
    """Of a tokenizer that puts nothing in front, as GPT-2's and Pythia's."""
    tokenizer = load_tokenizer("tiny-text")
    lines = [{"text": f"the cat number {n} sat"} for n in range(60)]
    data = CompletionTask(fields=("completion=text",)).open(request_for(write(tmp_path, lines)), tokenizer)
    batch = collate(data.held_out("test"), 0)
    for row, example, labels in zip(data.test_rows, data.held_out("test"), batch.labels.tolist(), strict=True):
        ids = [*encode(tokenizer, row.completion).ids, end_id(tokenizer)]
        assert list(example.input_ids) == ids
        assert [label for label in labels if label != UNSCORED] == ids[1:]
    one = write(tmp_path, [{"text": chr(97 + n)} for n in range(26)], "one.jsonl")
    with pytest.raises(InputError, match="of which this model scores no token"):
        CompletionTask(fields=("completion=text",)).open(request_for(one), tokenizer)


def test_what_an_empty_prompt_leaves_unscored_is_said_to_be_its_doing(tmp_path: Path) -> None:
    lines = [{"prompt": "", "completion": chr(97 + n)} for n in range(26)]
    with pytest.raises(InputError, match="no token: the prompt is empty, so nothing precedes its first; give a prompt"):
        CompletionTask().open(request_for(write(tmp_path, lines)), load_tokenizer("tiny-text"))


def test_lines_that_are_too_long_are_told_what_the_longest_needs(tmp_path: Path, one_frozen: FrozenModel) -> None:
    lines = [{"prompt": f"ask {n} :", "completion": " it" * (10 + n % 7)} for n in range(60)]
    data, tokenizer = write(tmp_path, lines), one_frozen.tokenizer
    with pytest.raises(InputError, match=r"give --sample-tokens \d+, if the model has so many positions") as refused:
        CompletionTask().open(request_for(data)._replace(sample_tokens=8), tokenizer)
    need = int(str(refused.value).partition("--sample-tokens ")[2].partition(",")[0])
    for tokens in (need, need - 1):
        request = request_for(data)._replace(sample_tokens=tokens)
        if tokens == need:
            assert CompletionTask().open(request, tokenizer).held_out("test")
            continue
        with pytest.raises(InputError, match=f"are {need} tokens of this model, but a sample has {tokens}"):
            CompletionTask().open(request, tokenizer)


def test_two_completions_of_one_prompt_are_chance_and_one_is_not(tmp_path: Path, one_frozen: FrozenModel) -> None:
    rows = [{"prompt": f"question {n} is", "completion": " yes" if n % 3 else " no"} for n in range(60)]
    again = {"prompt": "question 7 is", "completion": " both"}
    for name, more, determined in (("one", [rows[7]], True), ("two", [again], False)):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *more]))
        data = CompletionTask().open(request_for(str(path)), one_frozen.tokenizer)
        assert data.is_determined() is determined
        exact, constant = data.exact_test_nats(), data.constant_outcome()
        assert (exact is not None) is determined
        assert exact is None or exact.tolist() == [0.0] * len(data.test_rows)
        assert constant.tolist() == [float(row.completion == " yes") for row in data.test_rows]
    told = [{"prompt": "is it", "completion": f" {side}", "side": side} for side in ("left", "right")] * 20
    path = tmp_path / "told.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *told]))
    for row in rows:
        row["side"] = "none"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *told]))
    for fields, determined in (((), False), (("side",), True)):
        data = CompletionTask(condition_fields=fields).open(request_for(str(path)), one_frozen.tokenizer)
        assert data.is_determined() is determined


GOOD = {"prompt": "a", "completion": " b"}


@pytest.mark.parametrize(
    ("content", "fields", "message"),
    [
        (b"", (), r"rows.jsonl is empty"),
        (b'{"prompt": "a"}\n', (), r"rows.jsonl, line 1: 'completion' is missing"),
        (b'\n{"prompt": "a", "completion": "\xff"}\n', (), r"rows.jsonl, line 2: byte \d+ is no UTF-8"),
        (json.dumps(GOOD).encode() + b"\n{oh\n", (), r"rows.jsonl, line 2: no whole JSON object"),
        (b'{"prompt": "a", "completion": ""}\n', (), r"rows.jsonl, line 1: the completion is '', of which"),
        (b'{"prompt": "a", "completion": "' + b"x" * 99 + b'"}\n', (), r"line 1: prompt and completion are 101 tokens"),
        (json.dumps(GOOD).encode(), ("size",), r"rows.jsonl, line 1: 'size' is missing; its further fields: none"),
        (b'{"prompt": "a", "completion": "b", "size": NaN}', ("size",), r"line 1: 'size' is NaN, not a finite number"),
        (b'{"prompt": "a", "completion": "b", "size": []}', ("size",), r"line 1: 'size' is \[\]; give a number, text"),
    ],
)
def test_bad_lines_are_named(
    tmp_path: Path, one_frozen: FrozenModel, content: bytes, fields: tuple[str, ...], message: str
) -> None:
    (tmp_path / "rows.jsonl").write_bytes(content)
    request = request_for(str(tmp_path / "rows.jsonl"), test_data="sums")
    with pytest.raises(InputError, match=message) as refused:
        CompletionTask(fields).open(request, one_frozen.tokenizer)
    assert "\n" not in str(refused.value)


def test_a_choice_that_training_does_not_know_and_flags_that_cannot_be(tmp_path: Path, one_frozen: FrozenModel) -> None:
    data = write(tmp_path, rows(60, kind="red"))
    test = write(tmp_path, [{**row, "prompt": row["prompt"] + "?"} for row in rows(60, kind="blue")], "test.jsonl")
    with pytest.raises(InputError, match=r"test.jsonl, line \d+: 'kind' is 'blue'; the training lines have red"):
        CompletionTask(("kind",)).open(request_for(data, test_data=test), one_frozen.tokenizer)
    with pytest.raises(UsageError, match="condition-fields holds 'prompt'"):
        CompletionTask(("prompt",))


@pytest.mark.parametrize(("end_token", "between"), [(True, "<|end|>"), (False, "\n")])
def test_examples_in_front_are_training_lines(
    tmp_path: Path, one_frozen: FrozenModel, end_token: bool, between: str
) -> None:
    data = CompletionTask(end_token=end_token).open(request_for(write(tmp_path, rows())), one_frozen.tokenizer)
    lines = [one_frozen.tokenizer.decode(one.input_ids) for one in data.training_examples[:2]]
    text = one_frozen.tokenizer.decode(data.shots(2))
    assert text == "".join(line.removesuffix("<|end|>") + between for line in lines)
    held_out = {row.prompt + row.completion for row in data.test_rows}
    assert not held_out & set(text.split(between))


def test_fields_of_other_names_are_read(tmp_path: Path, one_frozen: FrozenModel) -> None:
    renamed = [{"question": row["prompt"], "answer": row["completion"]} for row in rows()]
    data = write(tmp_path, renamed)
    task = CompletionTask(fields=("prompt=question", "completion=answer"))
    plain = CompletionTask().open(request_for(write(tmp_path, rows(), "plain.jsonl")), one_frozen.tokenizer)
    opened = task.open(request_for(data), one_frozen.tokenizer)
    assert opened.held_out("test") == plain.held_out("test")
    for wrong in (("question=prompt",), ("prompt=a",), ("prompt=a", "prompt=b", "completion=c"), ("completion=",)):
        with pytest.raises(UsageError, match=r"fields is .*; give"):
            CompletionTask(fields=wrong)


@pytest.mark.parametrize(("unseen", "said"), [({"prompt": "direct"}, "prompt direct"), ({"condition": "none"}, "none")])
def test_conditions_that_the_prompt_cannot_see_are_refused(unseen: dict[str, Any], said: str) -> None:
    told = CompletionTask(("size",))
    check_conditions(RunConfig(told, "tiny-text", 2))
    check_conditions(RunConfig(told, "tiny-text", 0, **unseen))
    check_conditions(RunConfig(CompletionTask(), "tiny-text", 2, prompt="direct"))
    with pytest.raises(UsageError, match=rf"condition-fields is size, but .*{said} sees no conditions; give"):
        check_conditions(RunConfig(told, "tiny-text", 2, **unseen))


def test_settings_that_came_later_change_no_path_until_they_are_used() -> None:
    told = settings_that_count(RunConfig(CompletionTask(), "tiny-text", 2))["task"]
    assert set(told) == {"name", "condition_fields", "end_token"}
    named = CompletionTask(fields=("completion=text",))
    assert settings_that_count(RunConfig(named, "tiny-text", 2))["task"]["fields"] == ["completion=text"]


def test_unreadable_lines_are_borne_and_told(tmp_path: Path, one_frozen: FrozenModel) -> None:
    data = Path(write(tmp_path, rows(200)))
    data.write_text(data.read_text() + "{oh\n")
    opened = CompletionTask().open(request_for(str(data)), one_frozen.tokenizer)
    assert opened.rejected(None) == {"not JSON": 1}
    with pytest.raises(InputError, match=r"line 201: no whole JSON object .*0.10% are allowed"):
        CompletionTask().open(request_for(str(data), max_bad=0.001), one_frozen.tokenizer)
