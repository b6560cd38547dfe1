"""How does tensorboard show a whole grid? By the figure of its curves, in its IMAGES tab."""

from collections.abc import Sequence
from pathlib import Path

from soft_prompts.analysis.readings import read_all
from soft_prompts.common.errors import InputError
from soft_prompts.config import RunConfig
from soft_prompts.experiments.progress import experiment_folder
from soft_prompts.report.drawing.paint import png
from soft_prompts.report.figures.plots import curve_scene
from soft_prompts.training.apparatus import run_paths
from soft_prompts.training.events import EventLog

FOLDER = "loss-against-tokens"  # under runs/<experiment>
DRAWS = 200  # of the bootstrap: enough for a picture


def write_curves(configs: Sequence[RunConfig]) -> None:
    """A figure for each headline metric of each experiment, in the place of an earlier one; none where no run of it
    has a value."""
    groups: dict[tuple[Path, str], list[Path]] = {}
    for config in configs:
        folder = config.folder / "runs" / experiment_folder(config) / FOLDER
        groups.setdefault((folder, config.task.headline), []).append(run_paths(config).result)
    logs = {folder: EventLog(folder) for folder in dict.fromkeys(folder for folder, _ in groups)}
    for (folder, headline), results in groups.items():
        if (picture := _picture(results)) is not None:
            logs[folder].image(headline, picture)
    for log in logs.values():
        log.close()


def _picture(results: Sequence[Path]) -> bytes | None:
    try:
        return png(curve_scene(read_all(results, draws=DRAWS).readings))
    except InputError:  # nothing to draw
        return None
