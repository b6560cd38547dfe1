"""How does tensorboard show a whole grid? By the figure of loss against tokens, in its IMAGES tab."""

import io
from collections.abc import Sequence
from pathlib import Path

from soft_prompts.analysis.comparison import Comparison, compare
from soft_prompts.common.errors import InputError
from soft_prompts.config import RunConfig
from soft_prompts.experiments.progress import experiment_folder
from soft_prompts.report.figures.plots import curve_figure
from soft_prompts.training.apparatus import run_paths
from soft_prompts.training.events import EventLog

FOLDER = "loss-against-tokens"  # under runs/<experiment>
DPI = 100


def write_curves(configs: Sequence[RunConfig]) -> None:
    """A figure for each headline metric of each experiment, in the place of an earlier one; none where no run of it
    has a value."""
    groups: dict[tuple[Path, str], list[Path]] = {}
    for config in configs:
        folder = config.output_dir / "runs" / experiment_folder(config) / FOLDER
        groups.setdefault((folder, config.task.headline), []).append(run_paths(config).result)
    logs = {folder: EventLog(folder) for folder in dict.fromkeys(folder for folder, _ in groups)}
    for (folder, headline), results in groups.items():
        if (png := _picture(compare(results))) is not None:
            logs[folder].image(headline, png)
    for log in logs.values():
        log.close()


def _picture(comparison: Comparison) -> bytes | None:
    try:
        figure = curve_figure(comparison)
    except InputError:  # nothing to draw
        return None
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()
