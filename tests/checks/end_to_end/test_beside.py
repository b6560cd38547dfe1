"""Are anchors, controls and codes made beside the runs as they are called, on the same items, once?"""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.config import RunConfig, settings_that_count
from soft_prompts.engine.evaluation import evaluate, item_losses
from soft_prompts.experiments.beside import Made
from soft_prompts.experiments.evidence.anchors import FixedPrompt
from soft_prompts.experiments.evidence.battery import first_rung
from soft_prompts.experiments.evidence.controls import random_weights
from soft_prompts.experiments.evidence.order import EVERY_CONTROL
from soft_prompts.experiments.evidence.rounding import BITS
from soft_prompts.experiments.evidence.subjects import open_subject
from soft_prompts.experiments.evidence.trained_weights import with_adapters, with_all_weights
from soft_prompts.experiments.evidence.wanted import (
    control_runs,
    floor_runs,
    full_runs,
    further_anchors,
    lora_runs,
    rounded_runs,
)
from soft_prompts.experiments.run import run
from soft_prompts.experiments.sweep import run_all
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.snapshot import load_snapshot
from soft_prompts.results.files import read_items, read_result
from soft_prompts.results.roles import RUN, Half, OtherRate
from soft_prompts.results.schema import Result
from soft_prompts.stats.bits import prompt_bits, quantise
from soft_prompts.tasks.task import TaskData
from soft_prompts.training import starts
from soft_prompts.training.apparatus import Apparatus, data_request, load_for, prompt_for, run_paths
from soft_prompts.training.loop import set_conditions
from soft_prompts.training.titles import titles
from tests.checks.conftest import save_tiny_model
from tests.checks.made.beside import SHORT_SEARCH, apparatus
from tests.checks.made.disturbances import at_step

Settings = Callable[..., RunConfig]


class Whole(NamedTuple):
    """A grid of the bare model and one prompt, and all that stands beside it."""

    runs: list[RunConfig]
    made: Made
    frozen: FrozenModel
    data: TaskData

    def of(self, role: str, **wanted: object) -> list[tuple[RunConfig, Result]]:
        """Results of a role; `wanted` are fields of the settings."""
        return [
            (config, read_result(run_paths(config).result))
            for config in self.made.configs
            if config.role.name == role and all(getattr(config, name) == value for name, value in wanted.items())
        ]


@pytest.fixture(scope="module")
def whole(settings: Settings, one_frozen: FrozenModel, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    config = settings(tmp_path_factory.mktemp("beside"), steps=3, test_samples=6, checkpoint_every=3)
    runs = [replace(config, tokens=0), config]
    run_all(runs)
    subject = open_subject(runs)
    wanted = [*floor_runs(subject), *lora_runs(subject), *full_runs(subject), *further_anchors(subject, [2])]
    wanted += [*control_runs(subject, [2], EVERY_CONTROL), *rounded_runs(config)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(starts, "SEARCH", SHORT_SEARCH)
        made = Made(wanted, run_all(wanted))
    return Whole(runs, made, one_frozen, config.task.open(data_request(config), one_frozen.tokenizer))


OUTCOMES = {
    "anchor:no_skill": "move_accuracy",
    "anchor:placebo": "move_accuracy",
    "anchor:lora": "move_accuracy",
    "anchor:full": "move_accuracy",
    "control:permuted_targets": "whole_match",
    "control:random_strings": "whole_match",
    "control:random_weights": "move_accuracy",
}


def test_what_stands_beside_has_the_outcomes_of_its_kind(whole: Whole) -> None:
    """Of the task where its scores are made, of a whole match where the targets are others."""
    found: dict[str, str | None] = {}
    for config in whole.made.configs:
        path = run_paths(config).result
        result, items = read_result(path), read_items(path)
        found[result.role] = result.outcome
        assert (items.outcome is None) == (result.outcome is None)
        if result.outcome is None or items.outcome is None:
            continue
        assert result.metrics[result.outcome].value == pytest.approx(np.nanmean(items.outcome))
        if result.role == "anchor:no_skill":
            assert np.array_equal(items.outcome, whole.data.constant_outcome(), equal_nan=True)
    assert {role: found[role] for role in OUTCOMES} == OUTCOMES


def test_all_that_has_a_form_is_there_once_on_the_same_items(whole: Whole) -> None:
    counts: dict[str, int] = {}
    prints = set()
    for config in whole.made.configs:
        path = run_paths(config).result
        result, items = read_result(path), read_items(path)
        counts[result.role] = counts.get(result.role, 0) + 1
        assert path.name.startswith(result.role.replace(":", "-") + "-")
        assert path.parent == run_paths(whole.runs[0]).result.parent
        assert result.status == "success"
        assert result.metrics[result.headline].value == pytest.approx(items.loss_nats.sum() / items.scored_units.sum())
        assert result.prompt.tokens == config.tokens
        prints.add((result.data.items_fingerprint, result.data.fingerprint, result.model.parameters))
    for config in whole.runs:
        result = read_result(run_paths(config).result)
        prints.add((result.data.items_fingerprint, result.data.fingerprint, result.model.parameters))
        assert result.role == "run"
    assert len(prints) == 1
    assert counts == {
        "anchor:no_skill": 1,
        "anchor:placebo": 5,
        "anchor:hard_prompt": 2,
        "anchor:lora": 3,
        "anchor:full": 3,
        "control:permuted_targets": 2,
        "control:random_strings": 2,
        "control:random_weights": 2,
        **{f"code:{bits}": 1 for bits in BITS},
    }
    assert not whole.made.failures


def test_no_two_of_them_have_one_title(whole: Whole) -> None:
    """Of a whole grid with all its evidence, each list that is run together, and all of them at once."""
    base = replace(whole.runs[1], tokens=4)
    tried = first_rung(base, [base])
    made = [*whole.runs, *whole.made.configs, *tried, replace(base, tokens=2, role=Half())]
    for configs in (whole.runs, whole.made.configs, tried, made):
        named = titles(configs)
        assert len(set(named)) == len(configs)
    rates = [text for text in titles(whole.made.configs) if text.startswith("anchor:lora of ")]
    assert [text.split(", ")[1:] for text in rates] == [
        *(["learning-rate 0.0005"], ["learning-rate 0.002"], ["learning-rate 0.008"])
    ]


def test_no_skill_is_counted_by_hand(whole: Whole) -> None:
    """All training labels of 4,096 samples, by place or overall."""
    ((config, result),) = whole.of("anchor:no_skill")
    stream, seen = whole.data.training(None), {}
    overall: dict[int, int] = {}
    for _ in range(4096):
        example, _ = next(stream)
        for place, label in enumerate([label for label in example.labels[1:] if label >= 0]):
            seen[place, label] = seen.get((place, label), 0) + 1
            overall[label] = overall.get(label, 0) + 1
    size = whole.frozen.model.config.vocab_size
    totals = [sum(count for (where, _), count in seen.items() if where == place) for place in range(64)]

    def nats(place: int, label: int, by_place: bool) -> float:
        everywhere = (overall.get(label, 0) + 0.5) / (sum(overall.values()) + size / 2)
        return -np.log((seen.get((place, label), 0) + everywhere) / (totals[place] + 1) if by_place else everywhere)

    def losses(split: Any, by_place: bool) -> list[float]:
        answers = [[label for label in one.labels[1:] if label >= 0] for one in whole.data.held_out(split)]
        return [sum(nats(place, label, by_place) for place, label in enumerate(answer)) for answer in answers]

    by_place = sum(losses("validation", True)) < sum(losses("validation", False))
    assert read_items(run_paths(config).result).loss_nats == pytest.approx(losses("test", by_place))
    assert result.training.steps == result.prompt.tokens == 0


def test_a_placebo_is_its_tokens_in_the_text(whole: Whole) -> None:
    """Real token ids in front of the text, through the model's own road; five draws differ."""
    values = set()
    for config, result in whole.of("anchor:placebo", tokens=2):
        drawn = np.random.default_rng(config.seed).integers(0, len(whole.frozen.vocabulary), 2).tolist()
        losses = read_items(run_paths(config).result).loss_nats
        for example, loss in list(zip(whole.data.held_out("test"), losses, strict=True))[:3]:
            logits = whole.frozen.model(torch.tensor([[*drawn, *example.input_ids]])).logits[0].log_softmax(-1)
            scored = [(place, label) for place, label in enumerate(example.labels) if place and label >= 0]
            assert -sum(float(logits[1 + place, label]) for place, label in scored) == pytest.approx(loss, rel=1e-4)
        values.add(result.metrics["test_loss"].value)
        assert (result.prompt.kind, result.prompt.conditions) == ("direct", ())
    assert len(values) == 5


def test_a_projection_is_of_the_prompt_emitted_on_average(whole: Whole) -> None:
    hard = whole.of("anchor:hard_prompt")
    found = {str(config.role.facts()["found_by"]): (config, result) for config, result in hard}
    config, result = found["projection"]
    assert result.config["found_by"] == "projection"
    trained = load_snapshot(run_paths(whole.runs[1]).snapshot).prompt
    held_out = whole.data.held_out("validation")
    emitted = torch.stack([trained(torch.tensor([one.conditions]))[0] for one in held_out]).mean(0)
    vocabulary = whole.frozen.vocabulary
    nearest = [int(((vocabulary - row) ** 2).sum(1).argmin()) for row in emitted]
    prompt = FixedPrompt(vocabulary[nearest])
    test = set_conditions(whole.data.held_out("test"), config)
    expected = item_losses(whole.frozen, prompt, test, 8).nats
    assert read_items(run_paths(config).result).loss_nats == pytest.approx(expected)
    rows = load_snapshot(run_paths(found["search"][0]).snapshot).prompt.matrix  # a hard prompt is of whole tokens
    assert all((vocabulary - row).abs().sum(1).min() == 0 for row in rows.detach())


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_code_is_the_loss_of_the_rounded_prompt_and_its_size(whole: Whole, bits: int) -> None:
    ((config, result),) = whole.of(f"code:{bits}")
    prompt = load_snapshot(run_paths(whole.runs[1]).snapshot).prompt
    tensors = {name: value.numpy() for name, value in prompt.state_dict().items()}
    prompt.load_state_dict({name: torch.tensor(quantise(value, bits).values()) for name, value in tensors.items()})
    expected = evaluate(whole.frozen, prompt, whole.data.held_out("test"), 8).items.loss_nats
    assert read_items(run_paths(config).result).loss_nats == pytest.approx(expected)
    metric = result.metrics["prompt_bits"]
    assert (metric.value, metric.unit) == (prompt_bits(tensors.values(), bits), "bits")
    assert (result.prompt.tokens, result.training.seed, result.prompt.kind) == (2, 0, "mlp")


@pytest.mark.parametrize("prepare", [with_adapters, with_all_weights])
def test_weights_that_have_not_learnt_are_the_bare_model(whole: Whole, prepare: Callable[..., Apparatus]) -> None:
    before = {name: value.clone() for name, value in whole.frozen.model.state_dict().items()}
    bare = apparatus(whole.runs[0], whole.frozen, whole.data)
    ready = prepare(bare)
    examples = set_conditions(whole.data.held_out("test"), whole.runs[0])
    expected = item_losses(whole.frozen, bare.prompt, examples, 8).nats
    assert item_losses(ready.frozen, ready.prompt, examples, 8).nats == pytest.approx(expected, rel=1e-5)
    with torch.no_grad():
        for parameter in ready.prompt.parameters():
            parameter.add_(0.01)
    assert np.abs(item_losses(ready.frozen, ready.prompt, examples, 8).nats - expected).min() > 1e-3
    assert all(torch.equal(value, before[name]) for name, value in whole.frozen.model.state_dict().items())
    assert ready.frozen.model is not whole.frozen.model


def test_adapters_are_of_rank_eight_on_every_linear_layer_but_the_head(whole: Whole) -> None:
    _, result = whole.of("anchor:lora")[0]
    layers = {
        name: module
        for name, module in whole.frozen.model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not whole.frozen.head
    }
    adapters = sum(8 * (layer.in_features + layer.out_features) for layer in layers.values())
    told = prompt_for(replace(whole.runs[1], tokens=1), whole.frozen)  # the condition's token
    assert result.prompt.parameters == adapters + sum(parameter.numel() for parameter in told.parameters())
    assert result.prompt.conditions == ("white_elo", "black_elo")


def test_all_weights_learn_and_none_of_the_frozen_model(whole: Whole) -> None:
    """One step of a copy: the gradient reaches embeddings, body and head."""
    ready = with_all_weights(apparatus(whole.runs[0], load_for(whole.runs[0]), whole.data))
    from soft_prompts.engine.batch import collate
    from soft_prompts.training.gradients import batch_loss

    examples = set_conditions(whole.data.held_out("test"), whole.runs[0])
    batch_loss(ready.frozen, ready.prompt, collate(examples, ready.frozen.pad_id)).nats.backward()
    names = [name for name, weight in ready.frozen.model.named_parameters() if weight.grad is None]
    assert names == []
    assert float(ready.frozen.model.get_output_embeddings().weight.grad.abs().sum()) > 0


def test_trained_weights_are_resumed_to_the_bit(whole: Whole, harness: Any, tmp_path: Path) -> None:
    (config, result), *_ = whole.of("anchor:lora")
    again = replace(config, output_dir=tmp_path, checkpoint_every=1)
    ended = harness.run(again, before=at_step(2, lambda: os.kill(os.getpid(), signal.SIGTERM)))
    assert ended.code == 4, ended.text
    assert harness.run(again).code == 0
    assert read_result(run_paths(again).result).metrics == result.metrics


def test_random_weights_are_another_model(whole: Whole, tmp_path: Path) -> None:
    controls = {result.prompt.tokens: result for _, result in whole.of("control:random_weights")}
    own = read_result(run_paths(whole.runs[0]).result)
    assert controls.keys() == {0, 2}
    assert controls[0].metrics["test_loss"].value == pytest.approx(
        np.log(whole.frozen.model.config.vocab_size), rel=0.5
    )
    assert controls[0].model == own.model  # the result is about the model that was asked for
    known = load_frozen_model(str(save_tiny_model(tmp_path, "gpt_neox", seed=5)))
    fresh = random_weights(known).model
    weights = zip(known.model.parameters(), fresh.parameters(), strict=True)
    drawn = [(one, other) for one, other in weights if one.dim() == 2]
    assert drawn
    assert not any(torch.equal(one, other) for one, other in drawn)
    assert all(one.std() == pytest.approx(float(other.std()), rel=0.1) for one, other in drawn)


def test_settings_of_runs_are_what_they_were(settings: Settings, tmp_path: Path) -> None:
    config = settings(tmp_path)
    assert "role" not in settings_that_count(config)
    other = replace(config, role=OtherRate())
    assert settings_that_count(other)["role"] == "battery:rates"
    assert run_paths(other).result.name.startswith("battery-rates-mlp-2t-s0-")
    assert RUN.prefix == ""


def test_a_search_start_is_in_the_first_state_and_resumed(
    settings: Settings, harness: Any, tmp_path: Path, read_outputs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starts, "SEARCH", SHORT_SEARCH)
    runs = [
        settings(tmp_path / name, init="search", steps=4, condition="none", batch_size=4) for name in ("one", "other")
    ]
    assert harness.run(runs[0]).code == 0
    stop = harness.run(runs[1], before=at_step(1, lambda: os.kill(os.getpid(), signal.SIGTERM)))
    assert stop.code == 4, stop.text
    states = sorted(path.name for path in (run_paths(runs[1]).snapshot / "state").iterdir())
    assert "step-0" in states
    ended = harness.run(runs[1])
    assert ended.code == 0
    assert "searching" not in ended.text
    first, second = (read_outputs(one) for one in runs)
    assert first.prompt == second.prompt
    assert first.items == second.items


def test_a_grown_start_needs_the_smaller_prompt(settings: Settings, one_frozen: FrozenModel, tmp_path: Path) -> None:
    config = settings(tmp_path, tokens=4, init="grown", steps=1)
    with pytest.raises(InputError, match="run --tokens 2 with these settings"):
        run(config, one_frozen)
    half = replace(config, tokens=2, init="vocabulary")
    run(half, one_frozen)
    assert run(config, one_frozen).status == "success"
    with pytest.raises(UsageError, match="give 2 tokens or more"):
        settings(tmp_path, tokens=1, init="grown")
    with pytest.raises(UsageError, match="no row for each token"):
        settings(tmp_path, init="grown", prompt="shared_resnet")
