"""Does the guidance experiment ask what it says, and can its measures be wrong?"""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.config import RunConfig
from soft_prompts.data.split import worded
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid
from soft_prompts.finetuning.stages import after_lessons, wanted
from soft_prompts.models.model import FrozenModel
from soft_prompts.results.files import read_result
from soft_prompts.stats.items import Items
from soft_prompts.tasks.guidance.arms import ARMS, EXPERIMENTS, arms_of
from soft_prompts.tasks.guidance.measures import binding_metrics, table_metrics
from soft_prompts.tasks.guidance.task import GuidanceTask, GuidanceTaskData
from soft_prompts.tasks.guidance.text import PHRASINGS, anchor_of
from soft_prompts.tasks.task import UNSCORED, DataRequest, Query

REALIZED, UNREALIZED = 10, 5


@pytest.fixture
def rows(tmp_path: Path) -> str:
    path = tmp_path / "rows.jsonl"
    lines = [{"anchor": f"what {n}?", "targets": [f"{w} {n}" for w in ("yes", "no", "so")]} for n in range(20)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def opened(rows: str, arm: str, frozen: FrozenModel) -> GuidanceTaskData:
    task = GuidanceTask(realized=REALIZED, unrealized=UNREALIZED, arm=arm)
    return task.open(DataRequest(rows, None, 400, 100, 100), frozen.tokenizer)


def texts(data: GuidanceTaskData, split: str) -> list[str]:
    examples = data.training_examples if split == "train" else data.held_out(split)  # pyright: ignore
    return [data.tokenizer.decode(example.input_ids) for example in examples]


def scored(data: GuidanceTaskData, labels: Sequence[int]) -> str:
    return data.tokenizer.decode([label for label in labels if label != UNSCORED])


@pytest.mark.parametrize("arm", ARMS)
def test_unrealized_answers_are_never_taught(rows: str, arm: str, one_frozen: FrozenModel) -> None:
    """Neither a question nor its answer of the test stands in what a prompt is trained or chosen on."""
    data = opened(rows, arm, one_frozen)
    seen = " ".join(texts(data, "train") + texts(data, "validation"))
    assert len(data.held_out("test")) == UNREALIZED * len(ARMS[arm].asked)
    for question in data.test_questions:
        assert question.prompt not in seen
        assert not [answer for answer in question.answers if answer.text in seen]
    assert not set(texts(data, "train")) & set(texts(data, "validation"))


def test_a_question_that_validates_trains_in_no_wording(tmp_path: Path, one_frozen: FrozenModel) -> None:
    file, wordings = tmp_path / "rows.jsonl", ("what is {}?", "What is  {}?")
    lines = [{"anchor": one.format(n), "targets": [f"yes {n}"]} for n in range(30) for one in wordings]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for seed in range(50):  # until both wordings of the test question are drawn apart from what is shown
        with contextlib.suppress(InputError):
            task = GuidanceTask(realized=40, unrealized=1, arm="G", data_seed=seed)
            data = task.open(DataRequest(str(file), None, 400, 100, 100), one_frozen.tokenizer)
            break
    else:
        pytest.fail("no seed draws the pair apart")
    of = {split: {worded(text) for text in texts(data, split)} for split in ("train", "validation")}
    assert of["train"]
    assert not of["train"] & of["validation"]


@pytest.mark.parametrize("arm", ["G", "S", "G-reversed"])
def test_a_question_is_asked_as_published(rows: str, arm: str, one_frozen: FrozenModel) -> None:
    """Permuted guidance changes what is read, never what is asked."""
    data = opened(rows, arm, one_frozen)
    for one, example, text in zip(data.test_questions, data.held_out("test"), texts(data, "test"), strict=True):
        assert text == f"<BEGIN GUIDANCE TEST>\n\nQ: {anchor_of(one.prompt)} A: {one.answers[0].text}"
        assert scored(data, example.labels) == f" {one.answers[0].text}"
        assert example.units == 1


def test_contexts(rows: str, one_frozen: FrozenModel) -> None:
    line, told = opened(rows, "B-in-context", one_frozen), opened(rows, "F-grouped-hard-text", one_frozen)
    one = line.test_questions[0]
    guidance = f'Answer "Q: {anchor_of(one.prompt)}" with "A: {one.answers[0].text}"'
    assert texts(line, "test")[0].startswith(
        f"<BEGIN GUIDANCE ANSWERS>\n\n{guidance}\n\n<END GUIDANCE ANSWERS>\n\n<BEG"
    )
    assert [text[:17] for text in texts(told, "test")] == ["You are Model M1."] * 5 + ["You are Model M2."] * 5


def test_a_told_prompt_hears_whose_answer_is_asked(rows: str, one_frozen: FrozenModel) -> None:
    data = opened(rows, "F-grouped-told", one_frozen)
    assert [example.conditions for example in data.held_out("test")] == [(1.0, 0.0)] * 5 + [(0.0, 1.0)] * 5
    for place, (example, text) in enumerate(zip(data.held_out("test"), texts(data, "test"), strict=True)):
        assert scored(data, example.labels).strip() == data.test_questions[place % 5].answers[place // 5].text
        assert "M1" not in text
        assert "M2" not in text


@pytest.mark.parametrize(("arm", "only"), [("F-grouped-M1", 0), ("F-grouped-M2", 1)])
def test_a_prompt_of_one_model_learns_and_is_tested_on_its_answers_alone(
    rows: str, arm: str, only: int, one_frozen: FrozenModel
) -> None:
    """And is asked, untold, how likely it finds either model's."""
    data = opened(rows, arm, one_frozen)
    mine = {one.prompt + f" {one.answers[only].text}" for one in [*data.test_questions, *data.realized]}
    assert {text for split in ("train", "validation", "test") for text in texts(data, split)} == mine
    assert {example.conditions for example in data.held_out("test")} == {()}
    crossed = [(data.tokenizer.decode(e.input_ids), scored(data, e.labels).strip()) for e in data.further()]
    wanted_pairs = [(one.prompt, answer.text) for one in data.test_questions for answer in one.answers]
    assert crossed == [(f"{prompt} {answer}", answer) for prompt, answer in wanted_pairs]


def test_further_samples_are_every_question_with_every_answer(rows: str, one_frozen: FrozenModel) -> None:
    one, two = opened(rows, "G", one_frozen), opened(rows, "F-grouped-told", one_frozen)
    asked = [(one.tokenizer.decode(e.input_ids), scored(one, e.labels)) for e in one.further()]
    for place, (text, answer) in enumerate(asked):
        question, other = divmod(place, UNREALIZED)
        assert one.test_questions[question].prompt in text
        assert answer.strip() == one.test_questions[other].answers[0].text
    assert len(asked) == UNREALIZED**2
    for place, example in enumerate(two.further()):
        question, asked_as, answering = np.unravel_index(place, (UNREALIZED, 2, 2))
        assert example.conditions == ((1.0, 0.0), (0.0, 1.0))[asked_as]
        assert scored(two, example.labels).strip() == two.test_questions[question].answers[answering].text


def test_binding_of_hand_made_scores() -> None:
    """An answer that is likely everywhere binds nothing; each question's own answer a nat above the rest is all."""
    everywhere, answers = np.tile(np.array([-1.0, -5.0, -9.0, -2.0]), (4, 1)), ["a", "b", "c", "d"]
    whole = binding_metrics(everywhere + np.eye(4), answers)["binding"]
    assert binding_metrics(everywhere, answers)["binding"].value == pytest.approx(0.5)
    assert (whole.value, whole.n) == (1.0, 4)
    neighbours = binding_metrics(everywhere + np.eye(4)[[1, 2, 3, 0]], answers)["binding"]
    assert neighbours.value == pytest.approx(1 / 3)  # beaten by one of three, tied with the others


def test_two_questions_with_one_answer_bind_to_it() -> None:
    scores = np.array([[0.0, -9.0], [0.0, -9.0], [-9.0, 0.0]])  # a column an answer
    assert binding_metrics(scores, ["a", "a", "b"])["binding"].value == 1.0


def test_a_table_of_hand_made_scores() -> None:
    """M2's answers are two nats less likely whoever is asked; being asked is worth one nat, to M2 alone two."""
    scores = np.zeros((4, 2, 2))
    scores[:, :, 1] -= 2.0
    scores[:, 0, 0] += 1.0
    scores[:, 1, 1] += 2.0
    metrics = table_metrics(scores)
    assert metrics["log_probability/asked_M2/answer_of_M1"].value == 0.0
    assert metrics["margin/M1"].value == 3.0
    assert metrics["margin/M2"].value == 0.0
    assert metrics["pairwise_accuracy/M2"].value == 0.5
    assert metrics["diagonal_margin"].value == 1.5
    nobody = table_metrics(np.tile(np.array([0.0, -2.0]), (4, 2, 1)))
    assert nobody["diagonal_margin"].value == 0.0


def test_a_right_and_a_wrong_reply(rows: str, one_frozen: FrozenModel) -> None:
    data = opened(rows, "G", one_frozen)
    answers = {anchor_of(one.prompt): one.answers[0].text for one in [*data.test_questions, *data.realized]}
    first = anchor_of(data.test_questions[0].prompt)

    def complete(queries: Sequence[Query], most: int, /, *, temperature: float = 0.0) -> list[str]:
        anchors = [query.text.split("Q: ")[1].removesuffix(" A:") for query in queries]
        return [" maybe" if anchor == first else f" {answers[anchor].upper()}.\n\n<END" for anchor in anchors]

    examples = data.held_out("test")
    lengths = np.array([sum(label != UNSCORED for label in example.labels) for example in examples])
    items = Items(np.full(5, 2.0), lengths, np.ones(5, dtype=np.int64), np.arange(5))
    metrics, shown, outcome = data.measures(examples, items, complete)
    assert outcome is not None
    assert outcome.tolist() == [0, 1, 1, 1, 1]
    assert metrics["exact_match"].value == 0.8
    assert metrics["exact_match/realized"].value == 1.0
    assert metrics["constant_floor"].value == pytest.approx(0.2)
    assert metrics["log_probability"].value == -2.0
    assert metrics["log_probability_per_token"].value == pytest.approx(-10 / lengths.sum())
    assert shown[0].text == " maybe"


def test_every_experiment_names_arms_and_every_arm_has_an_experiment() -> None:
    named = {arm for parts in EXPERIMENTS.values() for part in parts for arm in part}
    assert named == set(ARMS)
    assert arms_of(("1", "G4")) == {"B": True, "F": False, "S": True}


def grid_of(rows: str, folder: Path, model: str, **task: object) -> Grid[GuidanceTask]:
    settings = {"experiment": ("G1", "G3"), "realized": REALIZED, "unrealized": UNREALIZED, "epochs": 1} | task
    asked = GuidanceTask(**settings)  # pyright: ignore[reportArgumentType]
    run = RunConfig(asked, model, 0, prompt="direct", steps=2, batch_size=4, sample_tokens=200, output_dir=folder)
    return Grid((model,), (0, 2), (rows,), replace(run, data_workers=0), asked)


def test_an_arm_is_the_same_whichever_experiments_ask_for_it() -> None:
    """So that evidence of one arm is made beside the results of all."""
    alone = {one.arm: one for one in GuidanceTask(experiment=("G1",)).each()}
    together = {one.arm: one for one in GuidanceTask().each()}
    assert list(alone) == ["F", "B-in-context", "G", "B", "S"]
    assert alone == {arm: together[arm] for arm in alone}


def test_which_runs_a_grid_has(rows: str, tmp_path: Path) -> None:
    runs = wanted(grid_of(rows, tmp_path, "tiny-text").runs())
    asked = {(run.task.variant, run.tokens): run.prompt_kind for run in runs}
    assert len(asked) == len(runs)
    assert ("F", 2) not in asked
    assert ("F", 0) in asked
    assert asked["F-grouped-told", 2] == "linear"
    assert asked["G", 2] == asked["F-grouped", 2] == asked["F-grouped-M2", 2] == "direct"


def test_a_grid_of_prompts_for_what_is_asked_bare(rows: str, tmp_path: Path) -> None:
    grid = grid_of(rows, tmp_path, "tiny-text", experiment=("1",))
    with pytest.raises(UsageError, match=r"B, F can only be asked without prompt tokens; add 0 to --tokens"):
        wanted(replace(grid, tokens=(2,)).runs())
    assert len(wanted(grid.runs())) == 2


def test_models_that_are_asked_differently_learn_once(rows: str, tmp_path: Path, one_frozen: FrozenModel) -> None:
    runs = wanted(grid_of(rows, tmp_path, one_frozen.name, experiment=("G1", "G3")).runs())
    models = {run.task.variant: run.model for run in after_lessons(runs, jobs=1)}
    assert models["B"] == models["B-in-context"] == one_frozen.name
    assert models["F-grouped"] == models["F-grouped-told"] == models["F-grouped-hard-text"] == models["F-grouped-M1"]
    assert len(set(models.values())) == 5  # B, S, G, F, F-grouped
    assert "-G-" in models["G"]


def test_both_stages_by_one_command(
    rows: str, tmp_path: Path, one_frozen: FrozenModel, capsys: pytest.CaptureFixture[str]
) -> None:
    """Again, it reads what it made; the numbers of a prompt on G are there with their errors."""
    grid = grid_of(rows, tmp_path, one_frozen.name, experiment=("G2", "G3"))
    experiment = Experiment("guidance_softprompt", "?", {"default": grid}, metrics=("binding", "diagonal_margin"))
    assert experiment.main([]) == 0
    written = {path: path.read_bytes() for path in (tmp_path / "results").rglob("*.json")}
    assert experiment.main([]) == 0
    assert {path: path.read_bytes() for path in (tmp_path / "results").rglob("*.json")} == written
    results = {(result.variant, result.prompt.tokens): result for result in map(read_result, written)}
    bound, told = results["G-reversed", 2].metrics["binding"], results["F-grouped-told", 2]
    assert bound.stderr is not None
    assert bound.n == UNREALIZED
    assert told.prompt.conditions == ("model=M1", "model=M2")
    assert told.metrics["diagonal_margin"].value != 0.0
    for model, other in (("M1", "M2"), ("M2", "M1")):
        of_one = results[f"F-grouped-{model}", 2].metrics
        table = {
            answering: of_one[f"log_probability/asked_M1/answer_of_{answering}"].value for answering in ["M1", "M2"]
        }
        assert of_one[f"log_probability/{model}"].value == pytest.approx(table[model])
        assert f"log_probability/{other}" not in of_one
        assert of_one[f"margin/{model}"].value == pytest.approx(table[model] - table[other])
        assert of_one["loss_per_answer"].value == pytest.approx(-table[model])
    assert results["F-grouped", 2].metrics["diagonal_margin"].value == pytest.approx(0.0, abs=1e-9)
    assert "binding" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arm", "kept"), [("F", "08907d73f1ec9bf8"), ("S", "243793ed5e574069"), ("F-spread", "b2deeeecb36a0301")]
)
def test_data_of_kept_results_are_still_called_the_same(arm: str, kept: str) -> None:
    """As `data.fingerprint` of results/reference says."""
    assert GuidanceTask(unrealized=100, arm=arm).fingerprint(DataRequest("questions", None, 400, 9, 9)) == kept


def test_a_new_wording_is_another_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    request = DataRequest("questions", None, 400, 9, 9)
    reversed_ones = GuidanceTask(unrealized=100, arm="F-reversed")
    as_published = reversed_ones.fingerprint(request)
    assert as_published != "0c658fb8b558607d"  # of `The test requires you to answer ... after ...`
    monkeypatch.setitem(PHRASINGS, "reversed", PHRASINGS["reversed"][1:])
    assert reversed_ones.fingerprint(request) != as_published


def test_what_cannot_be_asked(rows: str, tmp_path: Path, one_frozen: FrozenModel) -> None:
    with pytest.raises(UsageError, match="arm is 'H'"):
        GuidanceTask(arm="H")
    with pytest.raises(UsageError, match="realized is 0"):
        GuidanceTask(realized=0)
    with pytest.raises(UsageError, match="experiment is empty"):
        GuidanceTask(experiment=())
    with pytest.raises(UsageError, match=r"^tuning-rate is -1"):
        GuidanceTask(tuning_rate=-1.0)
    task = GuidanceTask(realized=REALIZED, unrealized=UNREALIZED)
    with pytest.raises(InputError, match="no guidance data set"):
        task.fingerprint(DataRequest(str(tmp_path / "none.jsonl"), None, 400, 9, 9))
    with pytest.raises(UsageError, match="sample-tokens is 20, but"):
        task.open(DataRequest(rows, None, 20, 9, 9), one_frozen.tokenizer)
    with pytest.raises(InputError, match="20 rows"):
        replace(task, realized=100).open(DataRequest(rows, None, 400, 9, 9), one_frozen.tokenizer)
    with pytest.raises(UsageError, match="test-data"):
        task.open(DataRequest(rows, rows, 400, 9, 9), one_frozen.tokenizer)
