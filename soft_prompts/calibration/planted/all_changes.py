"""How are all planted changes compared, and what fails beside them, on several cores?

What several of them need comes first: the samples of the controls, which the first comparison leaves behind, and the
probe's searches. The rest needs only what is kept by then, so it goes side by side to the figures of one after another.
"""

from collections.abc import Callable
from functools import partial

from soft_prompts.behaviour.comparison.finding import write_comparison
from soft_prompts.behaviour.probe.part import search_kept
from soft_prompts.calibration.planted.ablations import Ablation, ablations
from soft_prompts.calibration.planted.made import World
from soft_prompts.calibration.planted.options import PlantedOptions
from soft_prompts.calibration.planted.rows import ChangeRow, find_change, settings_of
from soft_prompts.engine.workers import side_by_side

Found = list[ChangeRow | Ablation]
Work = Callable[[], Found]


def find_changes(world: World, options: PlantedOptions) -> tuple[list[ChangeRow], list[Ablation]]:
    """A row a change, each comparison written to its own file, and the figures of what fails."""
    compared: list[Work] = [partial(_compare, world, options, name) for name in world.targets]
    pieces: list[Work] = [partial(_ablate, piece) for piece in ablations(world, options)]
    found = side_by_side([*compared[:1], *_searches(world, options)], options.jobs)
    found += side_by_side([*compared[1:], *pieces], options.jobs)
    every = [one for some in found for one in some]
    rows = [one for one in every if isinstance(one, ChangeRow)]
    return rows, [one for one in every if isinstance(one, Ablation)]


def _compare(world: World, options: PlantedOptions, name: str) -> Found:
    row, comparison = find_change(world, options, name)
    write_comparison(world.folder / f"{name}.json", comparison)
    return [row]


def _ablate(piece: Callable[[], list[Ablation]]) -> Found:
    return [*piece()]


def _searches(world: World, options: PlantedOptions) -> list[Work]:
    """The probe's, for the target and for every control in its place."""
    probed = [name for name in world.targets if name in options.probed]
    return [
        partial(_search, world, options, name, model)
        for name in probed
        for model in (world.targets[name], *world.family(name).spare)
    ]


def _search(world: World, options: PlantedOptions, name: str, model: str) -> Found:
    search_kept(world.asked(name, settings_of(options)), model)
    return []
