"""Does a model that was taught a behaviour differ from its base as the base differs from itself behind the prompt?

A copy is fine-tuned to answer bare prompts as one function; its activations, and the base's behind the function's name,
are patched into the base item by item, and their mean differences are added.
"""

import json
from pathlib import Path

import torch
from torch import Tensor

from soft_prompts.common.files import write_atomically
from soft_prompts.engine.activations.module_map import Inside
from soft_prompts.experiments.steering.options import SteeringExperimentOptions
from soft_prompts.experiments.steering.section import Section
from soft_prompts.finetuning.fine_tuning import FineTuning, fine_tune
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.stats.bootstrap import Floats
from soft_prompts.steering.data.choices import Choices, with_cues
from soft_prompts.steering.data.sources import land_choices
from soft_prompts.steering.likeness import is_gain, shares_of_gain
from soft_prompts.steering.scoring import Steer, adding, captured, option_scores, patching, untouched
from soft_prompts.tasks.lesson import LearningRule, Lesson

EPOCHS = 30
RATE = 1e-3  # AdamW


def taught_section(inside: Inside, options: SteeringExperimentOptions, name: str) -> Section:
    """At every layer, at the prompt's last token: shares of what the fine-tuned model does beyond its base."""
    choices = land_choices("told", options.seed)
    train, test = choices.part("train"), choices.part("test")
    taught = Inside(load_frozen_model(str(_teach(train, options, name))))
    cued = {part: with_cues(part_choices, name) for part, part_choices in (("train", train), ("test", test))}
    ends = _leads(inside, test, name), _leads(taught, test, name)
    gap = float(ends[1].mean() - ends[0].mean())
    rows = []
    for layer in range(inside.layers):
        site = f"resid.{layer}"
        model = {
            part: _at(taught, one, site) - _at(inside, one, site) for part, one in (("train", train), ("test", test))
        }
        prompt = _at(inside, _there(cued["train"]), site) - _at(inside, train, site)
        own = _at(inside, test, site) + model["test"]
        steers = {
            "item_patch": patching(inside, {site: own}),
            "model_mean": adding(inside, {site: model["train"].mean(dim=0)}, "last"),
            "prompt_mean": adding(inside, {site: prompt.mean(dim=0)}, "last"),
        }
        leads = {kind: _leads(inside, test, name, steer) for kind, steer in steers.items()}
        intervals = shares_of_gain(leads, ends, test.groups)
        shares = {kind: share.value for kind, share in intervals.items()}
        cosine = torch.nn.functional.cosine_similarity(model["train"].mean(dim=0), prompt.mean(dim=0), dim=0)
        rows.append({"layer": layer, **shares, "cosine": float(cosine), "intervals": intervals})
    says = [
        f"layer {row['layer']}: each item's own activation of the taught model {row['item_patch']:.2f}, its mean "
        f"difference {row['model_mean']:.2f}, the prompt's {row['prompt_mean']:.2f}; "
        f"their cosine {row['cosine']:.2f}"
        for row in rows
        if is_gain(gap)
    ]
    accuracy = float(option_scores(taught.frozen, test).right(name).mean())
    says.insert(0, f"taught to answer bare prompts as {name}: accuracy {accuracy:.2f} on test lands")
    if not is_gain(gap):
        says.append(f"no share can be said: it answers so no more than its base (gain {gap:+.2f} nats)")
    figures = {"function": name, "accuracy": accuracy, "gap_nats": gap, "layers": rows}
    return Section(
        "taught", "experiment", "lands-told", len(test.items), figures, says, "a taught model beside a prompt"
    )


def _teach(train: Choices, options: SteeringExperimentOptions, name: str) -> Path:
    """The folder of a copy that learnt the bare prompts of the train lands."""
    path = options.output_dir / "steering" / f"taught-{name}.jsonl"
    lines = [json.dumps({"prompt": item.prompt, "completion": item.options[name]}) for item in train.items]
    write_atomically(path, ("\n".join(lines) + "\n").encode())
    rule = LearningRule(learning_rate=RATE)
    lesson = Lesson(path, rule=rule, completion_only=True, epochs=EPOCHS, seed=options.seed)
    return fine_tune(FineTuning(options.model, lesson, output_dir=options.output_dir))


def _there(choices: Choices | None) -> Choices:
    assert choices is not None
    return choices


def _at(inside: Inside, choices: Choices, site: str) -> Tensor:
    """[N H] at the last token."""
    return captured(inside, [item.prompt for item in choices.items], [site])[site][:, 0]


def _leads(inside: Inside, choices: Choices, name: str, steer: Steer = untouched) -> Floats:
    return option_scores(inside.frozen, choices, steer).lead(name)
