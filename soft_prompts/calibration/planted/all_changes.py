"""How are all planted changes compared, and what fails beside them, on several cores?

In stages, for what is kept of one is read in the next: the probe's searches beside the comparison of a change that is
not probed, which leaves the controls' samples behind; the other comparisons; what fails without a part of them. In a
stage nothing makes what another makes too.
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
    names = sorted(world.targets, key=lambda name: name in options.probed)
    compared: list[Work] = [partial(_compare, world, options, name) for name in names]
    pieces: list[Work] = [partial(_ablate, piece) for piece in ablations(world, options)]
    searches, beside = _searches(world, options), sum(name not in options.probed for name in names[:1])
    stages = [[*compared[:beside], *searches], compared[beside:1], compared[1:], pieces]
    every = [one for stage in stages for some in side_by_side(stage, options.jobs) for one in some]
    rows = {one.change: one for one in every if isinstance(one, ChangeRow)}
    return [rows[name] for name in world.targets], [one for one in every if isinstance(one, Ablation)]


def _compare(world: World, options: PlantedOptions, name: str) -> Found:
    row, comparison = find_change(world, options, name)
    write_comparison(world.folder / f"{name}.json", comparison)
    return [row]


def _ablate(piece: Callable[[], list[Ablation]]) -> Found:
    return [*piece()]


def _searches(world: World, options: PlantedOptions) -> list[Work]:
    """The probe's, for every target that is probed and once for every control in its place."""
    probed = {model: name for name, model in world.targets.items() if name in options.probed}
    if not probed:
        return []
    spare = world.family(name := next(iter(probed.values()))).spare
    return [partial(_search, world, options, model, of) for model, of in (probed | dict.fromkeys(spare, name)).items()]


def _search(world: World, options: PlantedOptions, model: str, of: str) -> Found:
    search_kept(world.asked(of, settings_of(options)), model)
    return []
