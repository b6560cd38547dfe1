"""What is asked in each part of the steering experiment? A part returns findings without their header."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from soft_prompts.data.functions.world import FAMILIES, FUNCTIONS
from soft_prompts.engine.activations.module_map import Inside
from soft_prompts.experiments.steering.edited import edited_section
from soft_prompts.experiments.steering.options import SteeringExperimentOptions
from soft_prompts.experiments.steering.section import Section
from soft_prompts.experiments.steering.taught import taught_section
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.stats.bootstrap import Floats, Interval
from soft_prompts.steering.causes.comparison import Looked, compare_prompts
from soft_prompts.steering.causes.pairs import aligned, pairs_of_choices
from soft_prompts.steering.concepts import Concepts, beside, concept_network, mapped, moved
from soft_prompts.steering.data.choices import Choices, with_cues
from soft_prompts.steering.data.sources import land_choices, neutral_texts
from soft_prompts.steering.effects import intervals
from soft_prompts.steering.evaluation import evaluate_vectors
from soft_prompts.steering.fitting import Wanted, fit_vectors
from soft_prompts.steering.likeness import likeness
from soft_prompts.steering.scoring import option_scores
from soft_prompts.steering.tokens import Budget, Worths, worth_in_tokens
from soft_prompts.steering.vectors.contrast import Activations, contrast_vector
from soft_prompts.steering.vectors.vector import SteeringVector

DONOR, RECEIVER = "king", "song"  # of comparisons: two functions of other families
SOURCES = ("functions", "told", "scenes")
MIDDLE = 2  # layer of four at which vectors of other sources are compared


class _Vectors(NamedTuple):
    of: dict[str, SteeringVector]
    accuracy: Interval


def functions(inside: Inside, options: SteeringExperimentOptions) -> list[Section]:
    """Vectors of every method beside all controls, on lands that none of them was made of."""
    choices, found = land_choices("functions", options.seed), []
    for method in options.methods:
        seeds = options.seeds if method == "fit" else (options.seed,)  # the other methods draw nothing
        wanted = [Wanted(method, options.functions, seed=seed) for seed in seeds]  # pyright: ignore
        vectors = [one.vector for some in wanted for one in fit_vectors(inside, choices, some)]
        judged = evaluate_vectors(inside, vectors, choices, neutral_texts(None, "lands-functions"), options.seed)
        n = sum(one.n for one in judged.effects)
        title = f"vectors of functions by {method}, on test lands"
        found.append(Section(f"eval-{method}", "eval", "lands-functions", n, judged.figures(), judged.says(), title))
    return found


def sources(inside: Inside, options: SteeringExperimentOptions) -> list[Section]:
    """The same functions from demonstrations, from their names and from scenes: how alike, and does each steer?"""
    kinds = {kind: land_choices(kind, options.seed) for kind in SOURCES}
    names = options.functions or FUNCTIONS
    vectors = {kind: _means(inside, choices, names) for kind, choices in kinds.items()}
    prompts = {kind: _cued_accuracy(inside, choices, names) for kind, choices in kinds.items()}
    pairs = [("functions", "told"), ("functions", "scenes"), ("told", "scenes")]
    between = {f"{a} and {b}": _cosines(vectors[a].of, vectors[b].of) for a, b in pairs}
    cosines = {pair: tuple(float(part.mean()) for part in found) for pair, found in between.items()}
    shares = {"prompt_accuracy": prompts, "vector_accuracy": {kind: one.accuracy for kind, one in vectors.items()}}
    says = [
        f"from {kind}: the prompt {prompts[kind].value:.2f}, its vector {vectors[kind].accuracy.value:.2f} on bare "
        "prompts"
        for kind in SOURCES
    ]
    says += [
        f"{pair}: mean cosine {value:.2f} of the same function, {other:.2f} of others"
        for pair, (value, other) in cosines.items()
    ]
    figures: dict[str, Any] = {
        name: {kind: share.value for kind, share in found.items()} for name, found in shares.items()
    }
    figures |= {"cosines": cosines, "layer": MIDDLE, "intervals": shares}
    figures["ranges"] = {pair: [(part.min(), part.max()) for part in found] for pair, found in between.items()}
    title = "function vectors from demonstrations, names and scenes"
    return [
        Section(
            "sources", "experiment", "lands", len(kinds["told"].part("test").items) * len(names), figures, says, title
        )
    ]


def _means(inside: Inside, choices: Choices, names: tuple[str, ...]) -> _Vectors:
    found = Activations(inside, choices.part("train"), [MIDDLE])
    vectors = {name: contrast_vector(found, name) for name in names}
    test = choices.part("test")
    right = [
        option_scores(inside.frozen, test, vector.steer(inside, MIDDLE, 1.0)).right(name)
        for name, vector in vectors.items()
    ]
    return _Vectors(vectors, _accuracy(right, test))


def _cued_accuracy(inside: Inside, choices: Choices, names: tuple[str, ...]) -> Interval:
    parts = [(name, with_cues(choices.part("test"), name)) for name in names]
    right = [option_scores(inside.frozen, part).right(name) for name, part in parts if part]
    return _accuracy(right, choices.part("test"))


def _accuracy(right: list[Floats], asked: Choices) -> Interval:
    """Of all functions, [N] each on the same lands, which are drawn again."""
    return intervals({"accuracy": np.concatenate(right)[None]}, asked.groups * len(right))["accuracy"]


def _cosines(one: dict[str, SteeringVector], other: dict[str, SteeringVector]) -> tuple[Floats, Floats]:
    """Of equal functions, and of unequal ones."""

    def stacked(vectors: dict[str, SteeringVector]) -> Tensor:
        return torch.nn.functional.normalize(torch.stack([v.layers[MIDDLE] for v in vectors.values()]), dim=1)

    cosines = (stacked(one) @ stacked(other).T).numpy()
    same = np.eye(len(cosines), dtype=bool)
    return cosines[same], cosines[~same]


def dealt(inside: Inside, options: SteeringExperimentOptions) -> list[Section]:
    """A behaviour that depends on the item: can the mean difference do what each item's own activation does?"""
    found, says = dict[str, Any](), list[str]()
    for kind, name in (("dealt", "own"), ("told", DONOR)):
        choices = land_choices(kind, options.seed)
        one = likeness(inside, name, choices.part("train"), choices.part("test"))
        assert one is not None
        found[kind] = one.figures()
        says.append(f"{kind}: {one.shares}")
    n = len(land_choices("dealt").part("test").items)
    return [
        Section(
            "likeness", "experiment", "lands-dealt", n, found, says, "an item-dependent behaviour beside a function"
        )
    ]


def causes(inside: Inside, options: SteeringExperimentOptions) -> list[Section]:
    """Which components make the answer, where the function is named, and where it is found from demonstrations."""
    found = []
    for kind in ("told", "functions"):
        choices = land_choices(kind, options.seed).part("test")
        pairs = aligned(inside.frozen, pairs_of_choices(choices, DONOR, RECEIVER)[: options.pairs], f"lands-{kind}")
        compared = compare_prompts(inside, pairs, Looked(patches=options.patches or None, seed=options.seed))
        title = f"components that make {DONOR} of {RECEIVER}, lands-{kind}"
        figures, says = compared.figures(), compared.says()
        found.append(Section(f"activations-{kind}", "activations", f"lands-{kind}", compared.n, figures, says, title))
    return found


def concepts(inside: Inside, options: SteeringExperimentOptions) -> list[Section]:
    """The network of the eight functions, and what moves what."""
    choices, families = land_choices("told", options.seed), dict[str, str](zip(FUNCTIONS, FAMILIES, strict=True))
    layer = inside.layers // 2
    one = concept_network(inside, choices.part("train"))
    change = moved(inside, choices.part("test"), one, layer, 1.0)
    found = Concepts(one, families, change, layer, 1.0)
    if options.other_model is not None:
        other = Inside(load_frozen_model(options.other_model))
        pairs, between = beside(one, concept_network(other, choices.part("train")), options.seed)
        maps = tuple(mapped(inside, other, choices, (layer, min(layer, other.layers - 1))))
        found = Concepts(one, families, change, layer, 1.0, options.other_model, between, pairs, maps)
    return [
        Section("concepts", "concepts", "lands-told", len(choices.items), found.figures(), found.says(), "concepts")
    ]


def tokens(inside: Inside, options: SteeringExperimentOptions) -> list[Section]:
    """Soft prompts beside the mean vectors."""
    choices = land_choices("functions", options.seed)
    fitted = fit_vectors(inside, choices, Wanted("mean", options.worth, seed=options.seed))
    budget = Budget(options.tokens, options.seeds, options.steps)
    worths = Worths(
        tuple(worth_in_tokens(inside, choices, one.vector.name, one.vector.steer(inside), budget) for one in fitted)
    )
    n = len(choices.part("test").items)
    return [
        Section("tokens", "tokens", "lands-functions", n, worths.figures(), worths.says(), "vectors in soft tokens")
    ]


def models(inside: Inside, options: SteeringExperimentOptions) -> list[Section]:
    """A model that was taught a function beside the base that is told it."""
    return [taught_section(inside, options, DONOR)]


def edited(inside: Inside, options: SteeringExperimentOptions) -> list[Section]:
    """Does changing one concept move another, once the two are associated?"""
    return [edited_section(inside, options, DONOR, RECEIVER)]


PARTS: dict[str, Callable[[Inside, SteeringExperimentOptions], list[Section]]] = {
    "functions": functions,
    "sources": sources,
    "dealt": dealt,
    "causes": causes,
    "models": models,
    "edited": edited,
    "concepts": concepts,
    "tokens": tokens,
}
