"""Does tensorboard show the figure of a whole grid, the newest alone?"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from soft_prompts.config import RunConfig
from soft_prompts.experiments.curve_events import write_curves
from soft_prompts.experiments.sweep import run_all

Settings = Callable[..., RunConfig]


def pictures(folder: Path) -> dict[str, list[Any]]:
    events = EventAccumulator(str(folder), {"images": 0}).Reload()
    return {tag: events.Images(tag) for tag in events.Tags()["images"]}


def test_loss_against_tokens_is_an_image(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [settings(tmp_path, steps=1, tokens=tokens) for tokens in (0, 1)]
    assert run_all(runs) == []
    said = capsys.readouterr().err
    first, second = (line for line in said.splitlines() if line.startswith("run "))
    assert first.startswith("run 1 of 2: chess ")
    assert second.startswith("run 2 of 2, about ")
    for _ in range(2):  # a second time in the place of the first
        write_curves(runs)
        ((name, (shown,)),) = pictures(tmp_path / "runs" / "chess" / "loss-against-tokens").items()
        assert name == "loss_per_move"
        picture = Image.open(io.BytesIO(shown.encoded_image_string))
        picture.load()
        assert picture.format == "PNG"
        assert picture.size == (shown.width, shown.height)
        assert len(picture.convert("L").getcolors() or range(256)) > 10  # something is drawn


def test_without_a_value_there_is_no_image(settings: Settings, tmp_path: Path) -> None:
    write_curves([settings(tmp_path)])
    assert pictures(tmp_path / "runs" / "chess" / "loss-against-tokens") == {}
