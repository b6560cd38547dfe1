"""What had been published for the same model, task and data? The curves of arXiv 2505.14943, to lay beside our own.

Their numbers are losses per scored token. A curve of ours is laid beside theirs only by its `test_loss`, which is per
token too, and only where experiment, variant, model and data are the same.
"""

import functools
import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import NamedTuple

from soft_prompts.analysis.losses.curves import Curve

# Data by what its name here holds, and the name that the paper gave it.
DATA = {
    "the_pile": "Pile",
    "redpajama-data-v2": "RedPajamaV2",
    "lichess_db_standard_rated_2023-11": "lichess 2023-11 Rated Blitz",
    "mazes": "procedural",
}
BOARD = "8x8 hits are extra"  # its pathfinding, as the paper preset names it here


class Published(NamedTuple):
    experiment: str
    variant: str | None
    """skip-N of skip_tokens; the string of repetition."""
    data: str
    model: str
    prompt: str
    points: tuple[tuple[int, float, float], ...]
    """Prompt tokens, nats per token and its standard error."""


class Paper(NamedTuple):
    source: str
    caveats: Mapping[str, str]
    """By experiment; "" for all."""
    curves: tuple[Published, ...]

    def caveats_of(self, experiment: str) -> list[str]:
        return [text for name, text in self.caveats.items() if name in ("", experiment)]


@functools.cache
def paper() -> Paper:
    values = json.loads(resources.files("soft_prompts.report.page").joinpath("paper_curves.json").read_text("utf-8"))
    curves = tuple(
        Published(*curve["of"], points=tuple((tokens, loss, stderr) for tokens, loss, stderr in curve["points"]))
        for curve in values["curves"]
    )
    return Paper(values["source"], values["caveats"], curves)


def published(curve: Curve) -> Published | None:
    """The paper's curve of the same experiment, variant, model and data, if it has one."""
    name = re.sub(r"\s", "", curve.data.lower())
    data = next((theirs for part, theirs in DATA.items() if part in name), None)
    variant = None if (curve.experiment, curve.variant) == ("pathfinding", BOARD) else curve.variant
    matches = (
        theirs
        for theirs in paper().curves
        if (theirs.experiment, theirs.data, theirs.model) == (curve.experiment, data, curve.model)
        and theirs.variant == variant
    )
    return next(matches, None)
