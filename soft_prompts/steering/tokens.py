"""How many soft tokens is a vector worth? Soft prompts of 1 to 16 tokens and the vector, on the same items.

Prompts are trained by the engine of all runs, on the right options of the train split; of a few rates dev chooses for
each token count. S(P) is the mean over seeds on test, by accuracy and by log-probability, for two budgets. The vector's
k is where an isotonic fit of S over log2(P + 1) meets it. A number is said only where both measures and both budgets
agree within a factor of 1.5; below S(1) it is at most one token, beyond doubt, and the share of one is said instead.
Intervals are of 95 %: groups of items and seeds are drawn again, the vector and all prompts on the same.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from soft_prompts.common.errors import UsageError
from soft_prompts.config import RunConfig
from soft_prompts.engine.activations.module_map import Inside
from soft_prompts.models.tokenizer import encode
from soft_prompts.prompts.architectures import Prompt, PromptShape
from soft_prompts.prompts.build import build_prompt
from soft_prompts.stats.bootstrap import DRAWS, Interval, Scores, drawn_means, interval, over_seeds
from soft_prompts.steering.data.choices import Choices
from soft_prompts.steering.effects import MEASURES, interval_of
from soft_prompts.steering.scoring import Steer, option_scores, refuse_no_room, untouched
from soft_prompts.steering.vectors.fit import only
from soft_prompts.tasks.completion import CompletionTask
from soft_prompts.tasks.task import UNSCORED, Example
from soft_prompts.training.events import EventLog
from soft_prompts.training.loop import Fit, Hooks, train

TOKENS = (1, 2, 4, 8, 16)
READ = ("accuracy", "log_probability")
AGREE = 1.5  # between measures and budgets: a factor
UNSTABLE, AT_MOST_ONE, BEYOND = "no stable number", "at most 1 token", "more than the largest prompt"
NO_GAIN = "no gain: below nothing in front"  # beyond doubt


@dataclass(frozen=True)
class Budget:
    """How prompts are trained; UsageError without a count of 1."""

    tokens: tuple[int, ...] = TOKENS
    seeds: tuple[int, ...] = (0, 1, 2)
    steps: tuple[int, ...] = (60, 120)
    """Two budgets: what a prompt is worth depends on how long it is sought."""
    rates: tuple[float, ...] = (0.01, 0.03, 0.1)
    """Dev chooses one for each token count and budget, with the first seed."""
    batch_size: int = 16

    def __post_init__(self) -> None:
        if 1 not in self.tokens:
            raise UsageError(
                f"tokens is {', '.join(map(str, self.tokens))}; give 1 too: it is what a vector is held to"
            )


class Trained(NamedTuple):
    """One prompt on the test items."""

    tokens: int
    steps: int
    seed: int
    rate: float
    accuracy: float
    log_probability: float


class Reading(NamedTuple):
    """One measure at one budget."""

    measure: str
    steps: int
    k: float | None
    """None where the vector is outside of the prompts' range."""
    outside: str
    """"" or no gain, or at most 1 token, or more than the largest prompt."""
    share: float | None
    """Of the gain of one token that the vector has."""
    low: float | None = None
    """Of the share below one token, of k from there on; null: too few groups to say, or beyond the prompts."""
    high: float | None = None
    vector: Interval | None = None
    """Its score."""
    prompts: Mapping[int, Interval] | None = None
    """Token count -> score, mean over seeds; 0: nothing in front."""

    @property
    def worth(self) -> float:
        """Of one token's gain, or tokens; infinite beyond the largest prompt, nothing where one token gains nothing."""
        if self.outside == BEYOND:
            return math.inf
        found = self.k if self.k is not None else self.share
        return math.nan if found is None else found

    @property
    def text(self) -> str:
        """Share or tokens, and the interval."""
        high = math.inf if self.high is None and self.low is not None else self.high
        return Interval(self.worth, self.low, high).text.replace("inf", "beyond")


@dataclass(frozen=True)
class Worth:
    """A vector in tokens."""

    name: str
    vector: dict[str, float]
    bare: dict[str, float]
    runs: tuple[Trained, ...]
    readings: tuple[Reading, ...]
    verdict: str

    def figures(self) -> dict[str, Any]:
        return {
            "class": self.name,
            "verdict": self.verdict,
            "vector": self.vector,
            "bare": self.bare,
            "readings": [reading._asdict() for reading in self.readings],
        }

    def says(self) -> str:
        known = [one.text for one in self.readings if not math.isnan(one.worth)]
        among = f" (tokens, below 1 the share of one token's gain: {', '.join(known)})" if known else ""
        return f"{self.name}: {self.verdict}{among}"


def worth_in_tokens(inside: Inside, choices: Choices, name: str, steer: Steer, budget: Budget = Budget()) -> Worth:
    """What `steer`, the vector at work, is worth on the test items of a class; raises UsageError where the largest
    prompt and an item do not fit the model."""
    refuse_no_room(inside.frozen, choices.having(name), max(budget.tokens))
    train_part, dev, test = (choices.part(split).having(name) for split in ("train", "dev", "test"))
    vector, bare = (_items(inside, test, name, one, None) for one in (steer, untouched))
    runs, items = list[Trained](), list[Items]()
    for steps, tokens in itertools.product(budget.steps, budget.tokens):
        sought = partial(fitted_prompt, inside, only(train_part, name), only(dev, name), tokens=tokens, steps=steps)
        first = {rate: sought(seed=budget.seeds[0], rate=rate, batch_size=budget.batch_size) for rate in budget.rates}
        on_dev = {rate: _means(_items(inside, dev, name, untouched, one)) for rate, one in first.items()}
        rate = max(on_dev, key=lambda one: on_dev[one]["log_probability"])
        for seed in budget.seeds:
            again = seed != budget.seeds[0]
            prompt = sought(seed=seed, rate=rate, batch_size=budget.batch_size) if again else first[rate]
            items.append(_items(inside, test, name, untouched, prompt))
            accuracy, log_probability = (float(items[-1][measure].mean()) for measure in READ)
            runs.append(Trained(tokens, steps, seed, rate, accuracy, log_probability))
    readings = [
        read(measure, steps, Drawn.of(measure, steps, (vector, bare), list(zip(runs, items, strict=True)), test.groups))
        for measure in READ
        for steps in budget.steps
    ]
    return Worth(name, _means(vector), _means(bare), tuple(runs), tuple(readings), verdict_of(readings))


Items = dict[str, NDArray[np.float64]]  # measure -> [N]


def _items(inside: Inside, choices: Choices, name: str, steer: Steer, prompt: Prompt | None) -> Items:
    scores = option_scores(inside.frozen, choices, steer, prompt)
    return {measure: np.asarray(MEASURES[measure](scores, name), dtype=np.float64) for measure in READ}


def _means(items: Items) -> dict[str, float]:
    return {measure: float(values.mean()) for measure, values in items.items()}


class Drawn(NamedTuple):
    """Means of one measure at one budget; row 0 is the data itself, each further one a draw of groups and seeds."""

    vector: NDArray[np.float64]  # [R]
    bare: NDArray[np.float64]  # [R]
    curve: dict[int, NDArray[np.float64]]
    """Token count -> [R], over seeds."""
    groups: int

    @classmethod
    def of(
        cls, measure: str, steps: int, ends: tuple[Items, Items], runs: Sequence[tuple[Trained, Items]], groups: Any
    ) -> "Drawn":
        """`ends`: the vector's items and the bare model's."""
        _, cluster = np.unique(np.array(groups), return_inverse=True)
        ones = np.ones(len(cluster))

        def rows(*items: Items) -> NDArray[np.float64]:
            return over_seeds(drawn_means([Scores(one[measure], ones) for one in items], cluster, DRAWS))

        counts = sorted({run.tokens for run, _ in runs})
        seeds = {count: [one for run, one in runs if (run.tokens, run.steps) == (count, steps)] for count in counts}
        curve = {count: rows(*some) for count, some in seeds.items()}
        return cls(rows(ends[0]), rows(ends[1]), curve, len(np.unique(cluster)))


def read(measure: str, steps: int, drawn: Drawn) -> Reading:
    """The data's reading, with the interval that the draws' give."""
    every = [
        reading(
            measure, steps, float(vector), float(bare), {count: float(at[row]) for count, at in drawn.curve.items()}
        )
        for row, (vector, bare) in enumerate(zip(drawn.vector, drawn.bare, strict=True))
    ]
    found = interval(np.array([one.worth for one in every]), drawn.groups)
    low, high = (None if one is None or math.isinf(one) else one for one in (found.low, found.high))
    steered = interval_of(measure, drawn.vector, drawn.groups)
    prompts = {count: interval_of(measure, at, drawn.groups) for count, at in {0: drawn.bare, **drawn.curve}.items()}
    harm = interval(drawn.vector - drawn.bare, drawn.groups)  # whatever one token gains
    outside = NO_GAIN if harm.high is not None and harm.high < 0 else every[0].outside
    return every[0]._replace(outside=outside, low=low, high=high, vector=steered, prompts=prompts)


def reading(measure: str, steps: int, vector: float, bare: float, curve: Mapping[int, float]) -> Reading:
    """Where an isotonic fit of the prompts' scores, the bare model's included, meets the vector's."""
    tokens = np.array([0, *curve])
    fitted: NDArray[np.float64] = isotonic_regression(np.array([bare, *curve.values()])).x
    gain = float(fitted[1] - fitted[0])
    share = (vector - float(fitted[0])) / gain if gain > 0 else None
    if vector < fitted[1] or vector <= fitted[0]:
        return Reading(measure, steps, None, AT_MOST_ONE, share)
    if vector > fitted[-1]:
        return Reading(measure, steps, None, BEYOND, None)
    place = int(np.searchsorted(fitted, vector))  # the first that reaches it
    low, high = (math.log2(tokens[one] + 1) for one in (place - 1, place))
    part = (vector - fitted[place - 1]) / (fitted[place] - fitted[place - 1])
    return Reading(measure, steps, float(2 ** (low + part * (high - low)) - 1), "", None)


def verdict_of(readings: Sequence[Reading]) -> str:
    """A number only where all readings have one and agree."""
    outside = {one.outside for one in readings}
    if NO_GAIN in outside and not any(one.worth > 0 for one in readings):
        return NO_GAIN
    if outside == {""}:
        counts = [one.k for one in readings if one.k is not None]
        if max(counts) <= AGREE * min(counts):
            return f"{float(np.exp(np.mean(np.log(counts)))):.1f} tokens"
    doubted = any(one.low is not None and (one.high is None or one.high > 1) for one in readings)
    if outside == {BEYOND}:
        return BEYOND
    mild = all(one.outside in (AT_MOST_ONE, NO_GAIN) or (one.k is not None and one.k <= 1) for one in readings)
    return AT_MOST_ONE if mild and not doubted else UNSTABLE


def fitted_prompt(
    inside: Inside, choices: Choices, dev: Choices, *, tokens: int, steps: int, seed: int, rate: float, batch_size: int
) -> Prompt:
    """A direct prompt in front, fitted to the options of the choices by the loop that fits all prompts."""
    frozen = inside.frozen
    shape = PromptShape(tokens, frozen.hidden_size, 0)
    prompt = build_prompt("direct", shape, frozen.vocabulary, seed=seed).to(frozen.device)
    config = RunConfig(
        CompletionTask(),
        frozen.name,
        tokens,
        seed,
        prompt="direct",
        steps=steps,
        batch_size=batch_size,
        learning_rate=rate,
        validate_every=steps,
        checkpoint_every=steps,
    )
    examples, held = examples_of(inside, choices), examples_of(inside, dev)
    order = np.random.default_rng(seed)

    def stream(position: object) -> Any:
        return ((examples[place], {}) for _ in itertools.count() for place in order.permutation(len(examples)))

    fit = Fit(config, prompt, held, Hooks(lambda state: None, EventLog(None))).begin(stream)
    train(frozen, [fit], lambda: False, lambda fits: None)
    return prompt.requires_grad_(False)


def examples_of(inside: Inside, choices: Choices) -> list[Example]:
    """Prompt and option of each item, the option scored."""
    tokenizer, found = inside.frozen.tokenizer, []
    groups = {group: number for number, group in enumerate(dict.fromkeys(choices.groups))}
    for item in choices.items:
        prompt = encode(tokenizer, item.prompt)
        for text in item.options.values():
            ids = encode(tokenizer, text, special=False).ids
            labels = [UNSCORED] * len(prompt.ids) + ids
            found.append(Example([*prompt.ids, *ids], labels, (), prompt.start, 1, groups[item.group]))
    return found


@dataclass(frozen=True)
class Worths:
    """Several vectors."""

    found: tuple[Worth, ...] = field(default=())

    def figures(self) -> dict[str, Any]:
        """As finding.schema.json has them."""
        runs = [{"class": one.name, **run._asdict()} for one in self.found for run in one.runs]
        return {"verdicts": [one.figures() for one in self.found], "runs": runs}

    def says(self) -> list[str]:
        return [one.says() for one in self.found]
