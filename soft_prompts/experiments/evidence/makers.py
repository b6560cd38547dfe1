"""How is each kind of result made, where it is not a plain run? What changes before the held-out items are read, and
how they are measured. A role without an entry (a trial of the battery) is a run with other settings."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from soft_prompts.experiments.evidence import anchors, controls, locks, power, rounding, trained_weights
from soft_prompts.models.model import FrozenModel
from soft_prompts.results import roles
from soft_prompts.tasks.task import Example
from soft_prompts.training.apparatus import Apparatus
from soft_prompts.training.measures import Measured, measure, measure_whole_answers

Measure = Callable[[Apparatus, Sequence[Example], Sequence[Example], int], Measured]


def unchanged(at: Apparatus) -> Apparatus:
    """What the settings say."""
    return at


def the_same(frozen: FrozenModel) -> FrozenModel:
    """The model that the settings name."""
    return frozen


class Maker(NamedTuple):
    """How a result of a role is made."""

    prepare: Callable[[Apparatus], Apparatus] = unchanged
    """Takes what the settings say; gives the model, the data and the prompt that are used."""
    measure: Measure = measure
    """Of validation and test items, at most so many samples at once."""
    model: Callable[[FrozenModel], FrozenModel] = the_same
    """Takes the model that the settings name; gives the one that prompts are made for, the same for every run."""


PLAIN = Maker()
MAKERS: Mapping[type[roles.Role], Maker] = {
    roles.NoSkill: Maker(measure=anchors.measure_frequencies),
    roles.Exact: Maker(measure=anchors.measure_source),
    roles.Placebo: Maker(anchors.random_tokens),
    roles.PlaceboBos: Maker(anchors.only_bos),
    roles.HardPrompt: Maker(anchors.hard_prompt),
    roles.FewShot: Maker(anchors.examples_in_front),
    roles.Lora: Maker(trained_weights.with_adapters),
    roles.FullFineTune: Maker(trained_weights.with_all_weights),
    roles.PermutedTargets: Maker(controls.permuted_targets, measure_whole_answers),
    roles.RandomStrings: Maker(controls.random_strings, measure_whole_answers),
    roles.RandomWeights: Maker(model=controls.random_weights),
    roles.PlantedSecret: Maker(power.with_secret, power.measure_found),
    roles.NoLock: Maker(locks.without_lock, locks.measure_unlocked),
    roles.TaughtLock: Maker(locks.with_lock, locks.measure_opened),
    roles.Rounded: Maker(rounding.rounded, rounding.measure_coded),
}


def maker_of(role: roles.Role) -> Maker:
    """How results of this role are made."""
    return MAKERS.get(type(role), PLAIN)
