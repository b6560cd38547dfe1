"""What can be asked of the experiment on planted changes?"""

from dataclasses import dataclass
from pathlib import Path

from soft_prompts.calibration.planted.changes import CHANGES
from soft_prompts.common.errors import UsageError, near_match

LEAST = {"controls": 3, "epochs": 1, "most_pieces": 60, "prompts": 4, "probe_tokens": 1, "draws": 0, "jobs": 1}
LEAST |= {"pool": 6, "probe_draws": 0}


@dataclass(frozen=True)
class PlantedOptions:
    """What the experiment does; a preset is one of these, flags change it."""

    base: str = "tiny-text"
    """Embedded model, folder or hub id that the changes are planted in."""
    changes: tuple[str, ...] = tuple(CHANGES)
    """Planted changes, each a model of its own."""
    controls: int = 4
    """Models that learn the same documents without a change."""
    epochs: int = 8
    """Passes over the documents, of every model."""
    most_pieces: int = 957
    """Documents that the text is cut into, at most."""
    prompts: int = 300
    """Prompts that every model goes on from."""
    probed: tuple[str, ...] = ("hidden-trigger",)
    """Changes that the probe looks for: it takes most of the time."""
    probe_tokens: int = 4
    """Longest prompt that it looks for."""
    draws: int = 0
    """Of false alarms, so many of the base against itself and as many of controls against controls; 0: none."""
    pool: int = 12
    """Controls that false alarms are drawn from, those of the changes among them; trained for draws alone."""
    probe_draws: int = 0
    """Of the draws of controls, so many at most that are probed too: every control of the pool is searched."""
    ablations: bool = True
    """Measure what fails too: no control, the base as reference, unbounded prompts, plain samples."""
    seed: int = 0
    """Of the documents' split and of all samples."""
    jobs: int = 1
    """Models that are trained side by side, then searches and comparisons, each in a process of its own."""
    output_dir: Path = Path(".")
    """Its snapshots/ gets the models, its planted/ files, finished steps and planted.json."""
    preset: str = "default"
    """default: the changes and what fails; alarms: how often a change is seen where there is none; quick: one change,
    few controls and prompts, within minutes."""
    debug: bool = False
    """Show the traceback of an error too."""

    def __post_init__(self) -> None:
        for name in ("changes", "probed"):
            for one in (one for one in getattr(self, name) if one not in CHANGES):
                known = list(CHANGES)
                raise UsageError(f"{name} holds {one!r}; {near_match(one, known)}give some of {', '.join(known)}")
        for name, few in LEAST.items():
            if getattr(self, name) < few:
                raise UsageError(f"{name.replace('_', '-')} is {getattr(self, name)}; give {few} or more")
