"""What distance do the runs of one known source read? From stored results and their per-item losses alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

from soft_prompts.config import RunConfig
from soft_prompts.results.files import read_items, read_result
from soft_prompts.results.roles import Exact, NoSkill, Placebo
from soft_prompts.stats.admissibility import Evidence
from soft_prompts.stats.bootstrap import Anchor, CurveLosses
from soft_prompts.stats.distance import Anchors, Distance, Reference, capability_distance
from soft_prompts.stats.items import Items
from soft_prompts.stats.shares import Floats
from soft_prompts.training.apparatus import run_paths

EXACT, NO_SKILL, PLACEBO = Exact.kind, NoSkill.kind, Placebo.kind
PLACEBO_DRAWS = 5
DRAWS = 200  # of the bootstrap
T = TypeVar("T")


@dataclass(frozen=True)
class Cell:
    """One model, one known source, and the prompts that are trained on it."""

    base: RunConfig
    tokens: tuple[int, ...]
    """Without 0, which is always there."""
    seeds: tuple[int, ...] = (0,)
    reference: Reference = "no_skill"
    searched_tokens: int | None = None
    """Token count of search starts; None: the largest."""

    @property
    def bare(self) -> RunConfig:
        return replace(self.base, tokens=0, seed=0)

    def configs(self) -> list[RunConfig]:
        """The bare model's run first."""
        return [self.bare, *(self.config(tokens, seed) for tokens in self.tokens for seed in self.seeds)]

    def config(self, tokens: int, seed: int) -> RunConfig:
        return replace(self.base, tokens=tokens, seed=seed)

    def searched(self) -> list[RunConfig]:
        """Runs that start from a search."""
        tokens = self.searched_tokens or max(self.tokens)
        return [replace(self.config(tokens, seed), init="search") for seed in self.seeds]

    def anchors(self) -> list[RunConfig]:
        """Exact and no-skill losses, and single random tokens."""
        runs = [replace(self.bare, role=role) for role in (Exact(), NoSkill())]
        placebo = Placebo()
        return runs + [replace(self.bare, tokens=1, seed=draw, role=placebo) for draw in range(PLACEBO_DRAWS)]


class Loaded(NamedTuple):
    """What a cell's results hold."""

    items: dict[int, dict[int, Items]]
    """Prompt tokens -> seed -> losses; a run that began with a search has the seed -1 - seed."""
    validation: dict[int, dict[int, float]]
    anchors: Anchors

    def of(self, seeds: Sequence[int]) -> CurveLosses:
        """Losses of some seeds, and of their search starts."""
        kept = {*seeds, *(_by_search(seed) for seed in seeds)}
        items = {tokens: _only(by_seed, kept if tokens else set(by_seed)) for tokens, by_seed in self.items.items()}
        return CurveLosses.from_items(
            items, {tokens: _only(by_seed, kept) for tokens, by_seed in self.validation.items()}
        )

    def was_searched(self, seed: int) -> bool:
        """A search was tried at the most tokens."""
        return _by_search(seed) in self.items[max(self.items)]


def load_cell(cell: Cell) -> Loaded:
    """From stored results and the losses beside them; search starts where there are any."""
    items: dict[int, dict[int, Items]] = {}
    validation: dict[int, dict[int, float]] = {}
    runs = [(config, config.seed) for config in cell.configs()]
    runs += [(one, _by_search(one.seed)) for one in cell.searched() if run_paths(one).result.is_file()]
    for config, seed in runs:
        path = run_paths(config).result
        items.setdefault(config.tokens, {})[seed] = read_items(path)
        loss = read_result(path).metrics["validation_loss"].value
        if loss is not None:
            validation.setdefault(config.tokens, {})[seed] = loss
    return Loaded(items, validation, _anchors(cell))


def read_cell(
    cell: Cell, loaded: Loaded, seeds: Sequence[int] | None = None, reference: Reference | None = None
) -> Distance:
    """The distance with exact and untrained anchors, from all of the cell's seeds or some.

    What a search start finds counts as a run at the most tokens, so that a mark which stays censored is one that the
    search failed at too.
    """
    seeds = cell.seeds if seeds is None else seeds
    evidence = Evidence(search_failed=all(map(loaded.was_searched, seeds)))
    return capability_distance(loaded.of(seeds), loaded.anchors, reference or cell.reference, evidence, DRAWS)


def _only(by_seed: Mapping[int, T], seeds: set[int]) -> dict[int, T]:
    return {seed: one for seed, one in by_seed.items() if seed in seeds}


def _by_search(seed: int) -> int:
    return -1 - seed


def _anchors(cell: Cell) -> Anchors:
    losses: dict[str, list[Floats]] = {}
    for config in cell.anchors():
        losses.setdefault(config.role.name, []).append(read_items(run_paths(config).result).loss_nats)
    exact, no_skill, placebo = (Anchor(name.split(":")[1], tuple(losses[name])) for name in (EXACT, NO_SKILL, PLACEBO))
    return Anchors(no_skill, exact, (placebo,))
