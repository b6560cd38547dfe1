"""How is each kind of result made, where it is not a plain run? What changes before the held-out items are read, and
how they are measured. A kind without an entry (`battery:rates`) is a run with other settings."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from soft_prompts.experiments.evidence import anchors, controls
from soft_prompts.experiments.evidence import rounding as coding
from soft_prompts.experiments.evidence import trained_weights as upper_anchors
from soft_prompts.tasks.task import Example
from soft_prompts.training.apparatus import Apparatus
from soft_prompts.training.measures import Measured, measure_losses

Measure = Callable[[Apparatus, Sequence[Example], Sequence[Example], int], Measured]


def unchanged(at: Apparatus) -> Apparatus:
    """What the settings say."""
    return at


class Kind(NamedTuple):
    """How a result of a role is made."""

    prepare: Callable[[Apparatus], Apparatus] = unchanged
    """Takes what the settings say; gives the model, the data and the prompt that are used."""
    measure: Measure | None = None
    """Of validation and test items, at most so many samples at once; None: everything that a run measures."""


RUN_KIND = Kind()
KINDS: Mapping[str, Kind] = {
    "anchor:no_skill": Kind(measure=anchors.measure_frequencies),
    "anchor:exact": Kind(measure=anchors.measure_source),
    "anchor:placebo": Kind(anchors.random_tokens, measure_losses),
    "anchor:placebo_bos": Kind(anchors.only_bos, measure_losses),
    "anchor:hard_prompt": Kind(anchors.hard_prompt),
    "anchor:few_shot": Kind(anchors.examples_in_front),
    "anchor:lora": Kind(upper_anchors.with_adapters),
    "anchor:full": Kind(upper_anchors.with_all_weights),
    "control:permuted_targets": Kind(controls.permuted_targets, measure_losses),
    "control:random_strings": Kind(controls.random_strings, measure_losses),
    "control:random_weights": Kind(controls.random_weights, measure_losses),
    **{f"code:{bits}": Kind(coding.rounded, coding.measure_coded) for bits in coding.BITS},
}
