"""Vectors beside their controls, on the test split: `soft-prompts steer eval`."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from soft_prompts.common.errors import UsageError
from soft_prompts.engine.activations.module_map import Inside
from soft_prompts.stats.bootstrap import Interval
from soft_prompts.steering.data.choices import Choices
from soft_prompts.steering.effects import Arm, Controls, Effect, effect, pooled
from soft_prompts.steering.fitting import chosen
from soft_prompts.steering.likeness import likeness
from soft_prompts.steering.scoring import neutral_rows
from soft_prompts.steering.sweep import Swept, sweep
from soft_prompts.steering.vectors.contrast import Activations, contrast_vector
from soft_prompts.steering.vectors.vector import SteeringVector, refuse_other, refuse_seen, refuse_twice


@dataclass(frozen=True)
class Evaluation:
    """All vectors, and their items together."""

    effects: tuple[Effect, ...]
    together: dict[str, dict[str, Interval]]
    """Arm -> measure -> mean over the items of all classes."""
    swept: dict[str, list[Swept]] = field(default_factory=dict)
    """Class -> every arm at every layer and strength, on dev."""

    def figures(self) -> dict[str, Any]:
        """As finding.schema.json has them."""
        return {
            "classes": [{**effect_json(one), "swept": self.swept.get(one.name, [])} for one in self.effects],
            "together": self.together,
        }

    def says(self) -> list[str]:
        """A line a class, and one for all."""
        lines = [_sentence(one) for one in self.effects]
        if len(self.effects) > 1:
            arms = {name: measures["accuracy"] for name, measures in self.together.items()}
            lines.append("all classes: " + ", ".join(f"{name} {value.text}" for name, value in arms.items()))
        return [*lines, self._covered()]

    def _covered(self) -> str:
        """What the intervals are over."""
        seeds = {arm.name: arm.seeds for one in self.effects for arm in one.arms if arm.seeds > 1}
        drawn = "".join(f", and of {name} its {count} vectors" for name, count in seeds.items())
        one = "" if "vector" in seeds else "; one vector a class was made: nothing is said of another seed's"
        return f"95 % intervals: groups of test items drawn again{drawn}{one}"


def evaluate_vectors(
    inside: Inside, vectors: Sequence[SteeringVector], choices: Choices, neutral: Sequence[str] = (), seed: int = 0
) -> Evaluation:
    """Each vector at the layer and strength chosen on dev, and its controls, on test; vectors of one class are taken
    for seeds of one.

    Raises UsageError for vectors of another model, one given twice or made of test items, and where the data have no
    test items of a class.
    """
    for vector in vectors:
        refuse_other(vector, inside.frozen)
    if missing := [vector.name for vector in vectors if vector.name not in choices.classes]:
        raise UsageError(f"{choices.where}: class {missing[0]!r} is missing; it has {', '.join(choices.classes)}")
    train, test = choices.part("train"), choices.part("test")
    refuse_twice(vectors)
    for vector in vectors:
        refuse_seen(vector, [item.prompt for item in test.items], choices.where)
    if neutral:
        neutral_rows(inside.frozen, neutral)  # what cannot be read is said before anything is measured
    layers = sorted({layer for vector in vectors for layer in vector.layers})
    found = Activations(inside, train, layers)
    effects, swept, of_class = [], dict[str, list[Swept]](), dict[str, list[SteeringVector]]()
    for vector in vectors:
        of_class.setdefault(vector.name, []).append(vector)
    for given in of_class.values():
        fitted = [chosen(inside, one, choices) for one in given]
        vector, *seeds = (one.vector for one in fitted)
        vector = replace(vector, seed=seed)
        controls = Controls(_shuffled(found, vector, seed), _others(found, vector))
        one = effect(inside, [vector, *seeds], test, controls, neutral)
        beside = {"shuffled labels": controls.shuffled, "wrong class": next(iter(controls.wrong), None)}
        swept[vector.name] = sweep(inside, vector, choices.part("dev"), beside)
        like = likeness(inside, vector.name, train, test, layers)
        effects.append(replace(one, tried=fitted[0].tried, likeness=like))
    return Evaluation(tuple(effects), pooled(effects), swept)


def _shuffled(found: Activations, vector: SteeringVector, seed: int) -> SteeringVector:
    """Made as the vector, or by means where its method needs more than labels."""
    method = "pca" if vector.method == "pca" else "mean"
    return contrast_vector(found, vector.name, method, found.shuffled(seed), vector.positions)


def _others(found: Activations, vector: SteeringVector) -> tuple[SteeringVector, ...]:
    """Mean vectors of the other classes, as they are."""
    names = [name for name in found.classes if name != vector.name]
    return tuple(contrast_vector(found, name, positions=vector.positions) for name in names)


def effect_json(found: Effect) -> dict[str, Any]:
    """Without the items."""
    return {
        "class": found.name,
        "layer": found.layer,
        "strength": found.strength,
        "n": found.n,
        "arms": {arm.name: _arm_json(arm) for arm in found.arms},
        "best_control": found.best_control.name,
        "lead": found.arm("vector").measures["accuracy"].value - found.best_control.measures["accuracy"].value,
        "likeness": None if found.likeness is None else found.likeness.figures(),
        "tried": list(found.tried),
    }


def _arm_json(arm: Arm) -> dict[str, Any]:
    return {**arm.measures, "neutral_nats": arm.neutral_nats, "seeds": arm.seeds}


def _sentence(found: Effect) -> str:
    own, best = found.arm("vector").measures["accuracy"], found.best_control
    line = f"{found.name}: accuracy {own.text} at layer {found.layer}, strength {found.strength:g}; best control "
    line += f"({best.name}) {best.measures['accuracy'].text}"
    if any(arm.name == "prompt" for arm in found.arms):
        line += f"; the prompt {found.arm('prompt').measures['accuracy'].text}"
    cost = found.arm("vector").neutral_nats
    line += f"; {cost:+.2f} nats a token on neutral text" if cost is not None else ""
    return line + (f"; {found.likeness.verdict}" if found.likeness else "")
