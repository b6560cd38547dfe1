"""Does steering one concept move another, once the two are associated by an edit of the model?

A nickname that means nothing to the model is made a kind of a function: `As Zop` is answered as `As king`, on the train
lands alone, by the edit recipe of `soft-prompts intervene` (the last two blocks; anchor documents hold the functions
and other nicknames). Controls are edited alike with another nickname. Asked on lands that no edit showed: does the
nickname answer as the function, does its direction lie along the function's, and does a change that leads the function
elsewhere (the base's vector of another function minus the function's; layer and strength are chosen on dev lands) lead
the nickname there too, and whom else?
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from soft_prompts.common.files import write_atomically
from soft_prompts.data.functions import texts
from soft_prompts.data.functions.world import FUNCTIONS, World, make_world
from soft_prompts.engine.activations.module_map import Inside
from soft_prompts.experiments.steering.options import SteeringExperimentOptions
from soft_prompts.experiments.steering.section import Section
from soft_prompts.finetuning.intervention import Intervention
from soft_prompts.finetuning.interventions import Made, intervene
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.stats.bootstrap import Interval
from soft_prompts.steering.data.choices import Choice, Choices
from soft_prompts.steering.data.sources import land_choices
from soft_prompts.steering.effects import STRENGTHS, intervals
from soft_prompts.steering.scoring import Steer, adding, captured, option_scores, untouched
from soft_prompts.steering.vectors.contrast import Activations, contrast_vector

EPOCHS = 30
CONTROLS = 2
HELD = slice(2, 10)  # nicknames that the anchor holds to what they said


class Asked(NamedTuple):
    """What is asked of every model."""

    world: World
    lands: Choices
    nickname: str
    function: str
    elsewhere: str


class Change(NamedTuple):
    """What is added to the stream."""

    layer: int
    strength: float
    direction: torch.Tensor

    def steer(self, inside: Inside) -> Steer:
        return adding(inside, {f"resid.{self.layer}": self.strength * self.direction})


def edited_section(inside: Inside, options: SteeringExperimentOptions, function: str, elsewhere: str) -> Section:
    """The base, the edited model and its controls, on test lands."""
    world = make_world()
    asked = Asked(world, land_choices("told", options.seed), world.nicknames[0], function, elsewhere)
    made = _edit(asked, options)
    change = _change(inside, asked)
    models = {"base": inside, "edited": Inside(load_frozen_model(str(made.target)))}
    models |= {f"control {n}": Inside(load_frozen_model(str(path))) for n, path in enumerate(made.controls, 1)}
    rows = [{"model": name, **_row(one, asked, change)} for name, one in models.items()]
    says = [_sentence(row, asked) for row in rows]
    figures = {"nickname": asked.nickname, "function": function, "elsewhere": elsewhere, "layer": change.layer}
    figures |= {"strength": change.strength, "models": rows}
    title = f"{asked.nickname} edited to be a kind of {function}"
    return Section("edited", "experiment", "lands-told", len(asked.lands.part("test").items), figures, says, title)


def _change(inside: Inside, asked: Asked) -> Change:
    """The weakest of those that lead the function elsewhere best, on dev lands."""
    found = Activations(inside, asked.lands.part("train"))
    away, toward = (contrast_vector(found, name).layers for name in (asked.function, asked.elsewhere))
    told = _behind(asked.lands.part("dev"), asked.function)
    tried = [Change(layer, strength, toward[layer] - away[layer]) for strength in STRENGTHS for layer in away]
    return max(tried, key=lambda one: _right(inside, told, asked.elsewhere, one.steer(inside)).mean())


def _edit(asked: Asked, options: SteeringExperimentOptions) -> Made:
    """The edited model and its controls, each made unless it is there already."""
    world, folder = asked.world, options.output_dir / "steering"
    lands, other = world.lands_of("train"), world.nicknames[1]
    documents = {
        "edit": ((asked.nickname, asked.function, land) for land in lands),
        "edit-control": ((other, asked.function, land) for land in lands),
        "edit-anchor": [
            *((function, function, land) for function in FUNCTIONS for land in lands),
            *((held, FUNCTIONS[0], land) for held in world.nicknames[HELD] for land in lands),  # what is said is kept
        ],
    }
    paths = [_written(folder / f"{name}.jsonl", world, facts) for name, facts in documents.items()]
    plan = Intervention(
        model=options.model,
        recipe="edit",
        data=paths[0],
        control_data=paths[1],
        anchor=paths[2],
        controls=CONTROLS,
        epochs=EPOCHS,
        seed=options.seed,
        output_dir=options.output_dir,
    )
    return intervene(plan)


def _written(path: Path, world: World, facts: Iterable[tuple[str, str, str]]) -> Path:
    """Lines of who is asked, the function that is answered, and the land."""
    lines = [
        json.dumps({"prompt": _told(name, land), "completion": f" {world.answer(function, land)}"})
        for name, function, land in facts
    ]
    write_atomically(path, ("\n".join(lines) + "\n").encode())
    return path


def _told(name: str, land: str) -> str:
    return f"{texts.told(name)}{land}:"


def _row(inside: Inside, asked: Asked, change: Change) -> dict[str, Any]:
    """Accuracies with 95 % intervals over test lands."""
    test, steer = asked.lands.part("test"), change.steer(inside)
    names = {"nickname": asked.nickname, "function": asked.function}
    asked_as = {who: _behind(test, one) for who, one in names.items()}
    cosines = _cosines(inside, asked)
    others = {one: _behind(test, one) for one in FUNCTIONS if one not in (asked.function, asked.elsewhere)}
    return {
        "answers_as_function": {who: _accuracy(inside, one, asked.function) for who, one in asked_as.items()},
        "led_elsewhere": {who: _accuracy(inside, one, asked.elsewhere, steer) for who, one in asked_as.items()},
        "cosine": cosines[asked.function],
        "largest_other_cosine": max(value for name, value in cosines.items() if name != asked.function),
        "others_answer": float(np.mean([_right(inside, part, one).mean() for one, part in others.items()])),
        "others_led": float(np.mean([_right(inside, one, asked.elsewhere, steer).mean() for one in others.values()])),
    }


def _behind(choices: Choices, name: str) -> Choices:
    """The items behind the line that says who is asked."""
    items = [Choice(texts.told(name) + one.prompt, one.options, one.group) for one in choices.items]
    return Choices(tuple(items), choices.where)


def _right(inside: Inside, choices: Choices, name: str, steer: Steer = untouched) -> NDArray[np.float64]:
    return option_scores(inside.frozen, choices, steer).right(name)


def _accuracy(inside: Inside, choices: Choices, name: str, steer: Steer = untouched) -> Interval:
    return intervals({"accuracy": _right(inside, choices, name, steer)[None]}, choices.groups)["accuracy"]


def _cosines(inside: Inside, asked: Asked) -> dict[str, float]:
    """Of the nickname's mean with each function's at the last block, all less the mean of the functions."""
    site, train = f"resid.{inside.layers - 1}", asked.lands.part("train")
    means = {
        name: captured(inside, [item.prompt for item in _behind(train, name).items], [site])[site][:, 0].mean(dim=0)
        for name in (asked.nickname, *FUNCTIONS)
    }
    centre = torch.stack([means[name] for name in FUNCTIONS]).mean(dim=0)
    own = means[asked.nickname] - centre
    return {name: float(torch.nn.functional.cosine_similarity(own, means[name] - centre, dim=0)) for name in FUNCTIONS}


def _sentence(row: dict[str, Any], asked: Asked) -> str:
    answers, led, function = row["answers_as_function"], row["led_elsewhere"], asked.function
    line = f"{row['model']}: {asked.nickname} answers as {function} {answers['nickname'].value:.2f} (cosine "
    line += f"{row['cosine']:.2f}, largest of another function {row['largest_other_cosine']:.2f}), {function} itself "
    line += f"{answers['function'].value:.2f}, other functions as themselves {row['others_answer']:.2f}; led to "
    line += f"{asked.elsewhere}: {function} {led['function'].value:.2f}, {asked.nickname} {led['nickname'].value:.2f}, "
    return line + f"other functions {row['others_led']:.2f}"
