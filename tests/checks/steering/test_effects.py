"""Is what a vector does measured as it is, beside controls, and is what no vector can do called so?"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.engine.activations.hooks import add
from soft_prompts.engine.activations.module_map import Inside
from soft_prompts.engine.activations.places import Places
from soft_prompts.models.model import FrozenModel
from soft_prompts.results.files import find_results
from soft_prompts.results.findings import Finding, find_findings, plain, read_finding, write_finding
from soft_prompts.steering.data.choices import Choice, Choices, as_line, deal, lettered, read_choices
from soft_prompts.steering.data.importers import ONE_OPTION, read_caa, read_function_pairs, read_machiavelli
from soft_prompts.steering.effects import choose, random_like
from soft_prompts.steering.evaluation import evaluate_vectors
from soft_prompts.steering.fitting import Wanted, cannot_do, fit_vectors, unsteered
from soft_prompts.steering.likeness import Likeness, likeness, shares_of_gain
from soft_prompts.steering.scoring import adding, captured, option_scores, text_nats
from soft_prompts.steering.vectors.files import read_vector, write_vector
from soft_prompts.steering.vectors.vector import SteeringVector
from soft_prompts.steering.writing import Written, write_steered
from tests.checks.steering.conftest import some_choices


def logp(frozen: FrozenModel, prompt: str, option: str) -> float:
    """Plain transformers on the whole text, float64 at the end."""
    before, after = (frozen.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (prompt, option))
    with torch.no_grad():
        logits = frozen.model(torch.tensor([before + after])).logits[0].double().log_softmax(-1)
    return sum(float(logits[len(before) - 1 + n, token]) for n, token in enumerate(after))


def test_options_of_any_length_are_scored_as_plain_transformers_does(frozen: FrozenModel) -> None:
    items = [
        Choice("go on", {"a": " up", "b": "q", "c": " a way off"}, "1"),
        Choice("e2e4 e7", {"a": "e5", "c": "x"}, "2"),
    ]
    scores = option_scores(frozen, Choices(tuple(items)))
    for row, item in enumerate(items):
        for column, name in enumerate(("a", "b", "c")):
            if name not in item.options:
                assert np.isnan(scores.logps[row, column])
            else:
                assert scores.logps[row, column] == pytest.approx(
                    logp(frozen, item.prompt, item.options[name]), abs=1e-3
                )
    assert scores.lead("a")[1] == pytest.approx(scores.logps[1, 0] - scores.logps[1, 2])


def test_what_is_no_number_is_no_certainty(one_frozen: FrozenModel) -> None:
    """A vector so long that the model's sums overflow."""
    choices = Choices((Choice("go on", {"a": " up", "b": "q"}, "1"),))
    inside = Inside(one_frozen)
    vector = torch.full((inside.hidden_size,), 3e38)
    with pytest.raises(UsageError, match=r"no number; give smaller --strengths"):
        option_scores(one_frozen, choices, adding(inside, {"resid.0": vector}))


def test_neutral_text_costs_what_transformers_says(one_frozen: FrozenModel) -> None:
    ids = torch.tensor([one_frozen.tokenizer("the of and the")["input_ids"]])
    with torch.no_grad():
        loss = one_frozen.model(ids, labels=ids).loss
    assert text_nats(one_frozen, ["the of and the"]) == pytest.approx(float(loss), abs=1e-4)


def test_captured_values_do_not_depend_on_the_batch(inside: Inside) -> None:
    texts = ["a", "abc def", "the of and the the"]
    together = captured(inside, texts, ["resid.1", "head.0.3"])
    for place, text in enumerate(texts):
        alone = captured(inside, [text], ["resid.1", "head.0.3"])
        for name, value in alone.items():
            torch.testing.assert_close(value[0], together[name][place], rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def steerable(one_frozen: FrozenModel) -> tuple[FrozenModel, SteeringVector]:
    """A model and the direction that its own head reads as the option q."""
    assert one_frozen.head is not None
    token = one_frozen.tokenizer("q")["input_ids"][0]
    row = one_frozen.head.weight[token].detach().clone()
    vector = SteeringVector(
        {1: 20 * row / row.norm()}, "one", "mean", fingerprint=one_frozen.fingerprint, classes=("one",)
    )
    return one_frozen, vector


def test_steering_beats_its_controls_where_a_direction_decides(
    steerable: tuple[FrozenModel, SteeringVector], choices: Choices
) -> None:
    frozen, vector = steerable
    inside = Inside(frozen)
    found = evaluate_vectors(inside, [vector], choices, ["the of and"])
    (one,) = found.effects
    own = one.arm("vector").measures["accuracy"]
    assert own.value >= one.best_control.measures["accuracy"].value + 0.3
    assert {arm.name for arm in one.arms} == {"none", "vector", "shuffled labels", "random", "wrong class", "prompt"}
    assert one.arm("none").neutral_nats == 0.0
    again = adding(inside, vector.at(one.layer, one.strength))
    test = choices.part("test")
    assert own.value == pytest.approx(option_scores(frozen, test, again).right("one").mean())
    assert one.arm("vector").neutral_nats == pytest.approx(
        text_nats(frozen, ["the of and"], again) - text_nats(frozen, ["the of and"]), abs=1e-6
    )
    assert found.says()[0].startswith("one: accuracy")
    json.dumps(plain(found.figures()))


def test_intervals_are_over_seeds_too(steerable: tuple[FrozenModel, SteeringVector], choices: Choices) -> None:
    """Two vectors of a class are seeds of one: what they differ by is in the interval, which a sentence says."""
    frozen, vector = steerable
    fixed = vector.chosen(1, 1.0)
    weak = fixed.with_layers({1: fixed.layers[1] / 20}, seed=1)
    one, both = (evaluate_vectors(Inside(frozen), some, choices) for some in ([fixed], [fixed, weak]))
    alone, spread = (found.effects[0].arm("vector") for found in (one, both))
    assert (alone.seeds, spread.seeds, both.effects[0].arm("random").seeds) == (1, 2, 5)
    lead, wide = (arm.measures["logit_difference"] for arm in (alone, spread))
    values = spread.items["logit_difference"].mean(axis=1)
    assert wide.value == pytest.approx(values.mean())
    error = abs(values[0] - values[1]) / 2  # s / root 2 of two seeds
    assert wide.high - wide.low > 2 * error > lead.high - lead.low
    assert "of vector its 2 vectors" in both.says()[-1]
    assert "nothing is said of another seed's" in one.says()[-1]


def test_layer_and_strength_are_chosen_on_dev_by_accuracy(
    steerable: tuple[FrozenModel, SteeringVector], choices: Choices
) -> None:
    frozen, vector = steerable
    tried = choose(Inside(frozen), vector, choices.part("dev"), (0.01, 1.0))
    assert tried[0].strength == 1.0
    assert tried[0].accuracy >= tried[-1].accuracy


def test_random_vectors_have_the_length_and_no_direction(steerable: tuple[FrozenModel, SteeringVector]) -> None:
    own = steerable[1].layers[1]
    for one in random_like(own, 3):
        assert float(one.norm()) == pytest.approx(float(own.norm()), rel=1e-5)
        assert abs(float(torch.nn.functional.cosine_similarity(one, own, dim=0))) < 0.6


def test_an_item_dependent_behaviour_is_called_not_vector_like() -> None:
    assert Likeness(2.0, 1, 1.02, 0.02, 0.02 / 1.02).verdict == "not vector-like"
    assert Likeness(2.0, 1, 0.95, 0.9, 0.9 / 0.95).verdict == "vector-like"
    assert Likeness(2.0, 1, 0.3, 0.3, 1.0).verdict.startswith("cannot be said: no single layer")


@pytest.mark.parametrize("gain", [-5.53, 0.0, 0.09, np.nan, np.inf])
def test_a_prompt_that_gains_nothing_is_no_measure_of_a_vector(gain: float) -> None:
    """Shares of it would say vector-like of anything: where both do as much harm, or where both are 0 / 0."""
    for patch, mean in ((1.0, 1.0), (np.nan, np.nan)):
        found = Likeness(gain, 1, patch, mean, mean / patch)
        assert found.verdict.startswith("cannot be said: the prompt does not ask for it (gain ")
    ends = np.zeros(12), np.full(12, gain)
    shares = shares_of_gain({"patch": np.ones(12)}, ends, [str(n) for n in range(12)])
    assert np.isnan(shares["patch"].value)
    assert shares["patch"][1:] == (None, None)


def test_likeness_of_a_last_layer_is_that_of_its_prompt(inside: Inside, choices: Choices) -> None:
    """At the last block each item's own activation is the donor's whole answer; of random weights there is a class
    whose cue makes it likelier."""
    parts = choices.part("train"), choices.part("test")
    found = [likeness(inside, name, *parts, [1]) for name in choices.classes]
    patches = [one.patch for one in found if one is not None and one.gain >= 0.1]
    assert patches
    assert patches == pytest.approx([1] * len(patches), abs=1e-3)
    assert likeness(inside, "one", *[some_choices(cues=False)] * 2) is None


@pytest.mark.filterwarnings("error")
def test_cues_that_do_nothing_leave_the_likeness_open(
    steerable: tuple[FrozenModel, SteeringVector], choices: Choices
) -> None:
    frozen, vector = steerable
    mute = replace(choices, items=tuple(replace(item, cues={**item.cues, "one": ""}) for item in choices.items))
    found = evaluate_vectors(Inside(frozen), [vector.chosen(1, 1.0)], mute)
    (said, _), (one,) = found.says(), plain(found.figures())["classes"]
    assert said.endswith("; cannot be said: the prompt does not ask for it (gain +0.00 nats)")
    like = one["likeness"]
    assert like["gain"] == 0
    assert [like[name] for name in ("layer", "patch", "mean", "ratio", "intervals")] == [None] * 5
    assert Finding("eval", "m", "d", one["n"], 0, found.figures()).to_json()["figures"]["classes"] == [one]


def test_fit_writes_what_eval_reads(inside: Inside, choices: Choices, tmp_path: Path) -> None:
    fitted = fit_vectors(inside, choices, Wanted("pca", ("two",), strengths=(1.0,)))
    write_vector(tmp_path / "two.safetensors", fitted[0].vector)
    back = read_vector(tmp_path / "two.safetensors")
    assert (back.name, back.layer, back.strength) == ("two", fitted[0].tried[0].layer, 1.0)
    with pytest.raises(UsageError, match="class 'four' is missing"):
        fit_vectors(inside, choices, Wanted(classes=("four",)))


@pytest.mark.parametrize("split", ["train", "dev"])
def test_a_class_that_a_split_lacks_is_said_with_the_split(inside: Inside, choices: Choices, split: str) -> None:
    items = [item if item.split != split else without(item, "three") for item in choices.items]
    some = replace(choices, items=tuple(items))
    says = f"class 'three' is in no {split} item of choices; give more lines, or --classes one two$"
    with pytest.raises(UsageError, match=says):
        fit_vectors(inside, some)
    assert len(fit_vectors(inside, some, Wanted(classes=("one", "two"), layers=(1,), strengths=(1.0,)))) == 2


def without(item: Choice, name: str) -> Choice:
    options, cues = ({one: text for one, text in given.items() if one != name} for given in (item.options, item.cues))
    return replace(item, options=options, cues=cues)


def test_what_the_model_itself_cannot_do_is_said_of_its_vector(inside: Inside, choices: Choices) -> None:
    """Random weights do not understand a cue."""
    parts = [choices.part(split) for split in ("train", "dev")]
    fitted = fit_vectors(inside, choices, Wanted(layers=(1,), strengths=(1.0,)))
    for one in fitted:
        assert one.unsteered is not None
        cued = Choices(tuple(item.cued(one.vector.name) for part in parts for item in part.items))
        right = option_scores(inside.frozen, cued).right(one.vector.name)
        assert one.unsteered.accuracy.value == pytest.approx(right.mean())
        assert (one.unsteered.items, one.unsteered.chance) == (36, pytest.approx(1 / 3))
    weak = [one.vector.name for one in fitted if one.unsteered and not one.unsteered.is_above_chance]
    (line,) = cannot_do(fitted)
    assert line.startswith("the model itself is not right beyond chance on train and dev items")
    assert [name for name in ("one", "two", "three") if f" {name} " in line] == weak
    assert unsteered(inside, parts, "one") == fitted[0].unsteered
    assert unsteered(inside, [some_choices(cues=False)], "one") is None


def test_writing_with_a_vector_is_the_model_s_own_greedy_choice(steerable: tuple[FrozenModel, SteeringVector]) -> None:
    frozen, vector = steerable
    inside = Inside(frozen)
    plain_text, steered = (
        write_steered(inside, vector, ["the of"], Written(1, strength, 4))[0] for strength in (0.0, 1.0)
    )
    ids = frozen.tokenizer("the of")["input_ids"]
    start = len(ids)
    for _ in range(4):  # the whole text again for each token, changed from the prompt's last token on
        places = Places(torch.arange(len(ids))[None] >= start - 1)
        with torch.no_grad(), add(inside, vector.at(1), places):
            ids.append(int(frozen.logits(frozen.embed(torch.tensor([ids])))[0, -1].argmax()))
    assert steered == frozen.tokenizer.decode(ids)[len("the of") :]
    assert plain_text != steered
    with pytest.raises(UsageError, match="no layer chosen"):
        write_steered(inside, vector, ["the"], Written())


def test_data_come_back_and_bad_lines_are_named(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    items = some_choices(8).items
    path.write_text("".join(json.dumps(as_line(item)) + "\n" for item in items))
    assert read_choices(path).items == items
    bad = {
        '{"prompt": "a", "options": {"x": " 1"}}': "text for each of two classes",
        '{"prompt": "a", "options": {"x": " 1", "y": " 2"}, "class": "z"}': "'z' is not among the options",
        '{"prompt": "a", "options": {"x": " 1", "y": " 2"}, "split": "all"}': "'split' is 'all'",
        '{"prompt": "a", "options": {"x": " 1", "y": " 1"}}': "line 1: classes 'x' and 'y' have one option, \" 1\"",
        '{"prompt": "", "options": {"x": " 1", "y": " 2"}}': "'prompt' is empty",
        '{"prompt": "a", "options": {"x": " 1", "y": " 2"}, "class": "x"}': "every line shows 'x'",
    }
    for line, says in bad.items():
        path.write_text(line + "\n")
        with pytest.raises(UsageError, match=says):
            read_choices(path)
    path.write_text("{}\n")
    with pytest.raises(InputError, match="'prompt' is missing"):
        read_choices(path)


def test_groups_are_dealt_whole_and_letters_are_shuffled() -> None:
    dealt = deal(str(n) for n in range(40))
    assert [list(dealt.values()).count(split) for split in ("train", "dev", "test")] == [20, 10, 10]
    item = Choice("Who?", {"a": "Ann", "b": "Bob", "c": "Cy"}, "1")
    seen = {tuple(lettered(replace(item, group=str(n)), 0).options.values()) for n in range(30)}
    assert len(seen) == 6
    one = lettered(item, 0)
    letter = one.options["b"].strip()
    assert f"\n{letter}. Bob" in one.prompt
    assert one.prompt.endswith("\nAnswer:")


def test_importers_read_published_layouts(tmp_path: Path) -> None:
    (tmp_path / "caa.json").write_text(
        json.dumps(
            [{"question": "Q (A) yes (B) no", "answer_matching_behavior": "(A)", "answer_not_matching_behavior": "(B)"}]
            * 2
        )
    )
    caa = read_caa(tmp_path / "caa.json")
    assert caa.choices.items[0].options == {"matching": "(A)", "not_matching": "(B)"}
    same = {"question": "Q?", "answer_matching_behavior": "(A)", "answer_not_matching_behavior": "(A)"}
    entries = [*json.loads((tmp_path / "caa.json").read_text()), same]
    (tmp_path / "caa.json").write_text(json.dumps(entries), encoding="utf-8-sig")  # as some editors save it
    again = read_caa(tmp_path / "caa.json")
    assert (again.choices, sum(again.dropped.values())) == (caa.choices, 1)
    pairs = {"up": {str(n): f"u{n}" for n in range(20)}, "down": {str(n): f"d{n}" for n in range(20)} | {"x": "y"}}
    pairs["down"]["3"] = "u3"
    for name, table in pairs.items():
        rows = [{"input": a, "output": b} for a, b in table.items()]
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
    found = read_function_pairs({name: tmp_path / f"{name}.json" for name in pairs}, shots=3)
    assert found.dropped == {"inputs of one function alone": 2, "outputs of two functions": 2}
    assert len(found.choices.items) == 19
    item, shown = found.choices.items[0], {one.group for one in found.choices.part("train").items}
    lines = item.cues["up"].splitlines()
    assert len(lines) == 3
    assert all(line.split(":")[0] in shown - {item.group} for line in lines)
    (tmp_path / "scenes.json").write_text(json.dumps({"1": "A door.", "2": "A road."}))
    tree = {
        "1": [{"text": "Lie", "next": 7}, {"text": "Tell", "next": 8}, {"text": "Go", "next": 9}],
        "2": [{"text": "Go", "next": 8}],
    }
    (tmp_path / "tree.json").write_text(json.dumps(tree))
    (tmp_path / "annotations.json").write_text(json.dumps({"7": {"deception": 1}, "8": {"deception": 0}}))
    games = read_machiavelli(tmp_path, "deception")
    assert games.choices.items[0].options == {"deception": " Lie", "not deception": " Tell"}
    assert games.dropped == {"choices without a label": 1, "scenes without both classes": 1, ONE_OPTION: 0}


def test_findings_come_back_checked_and_are_no_results(tmp_path: Path) -> None:
    figures = {
        "method": "mean",
        "vectors": [{"class": "a", "layer": 1, "strength": 0.5, "norm_shares": {1: 0.2}, "tried": []}],
    }
    finding = Finding("fit", "m", "d", 3, 0, figures, says=("a line",))
    write_finding(tmp_path / "fit.steering.json", finding)
    assert read_finding(tmp_path / "fit.steering.json").says == ("a line",)
    assert [one.kind for one in find_findings([tmp_path])] == ["fit"]
    assert find_results([tmp_path]) == ([], [])
    with pytest.raises(ValueError, match="'vectors' is a required property"):
        write_finding(tmp_path / "x.steering.json", replace(finding, figures={"method": "mean"}))
    (tmp_path / "fit.steering.json").write_text("{}")
    with pytest.raises(InputError, match="no finding of this version"):
        find_findings([tmp_path])
