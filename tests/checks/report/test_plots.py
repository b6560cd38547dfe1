"""The figure shows what the comparison holds: every curve, every token count, both units, and each model's own gain."""

import dataclasses
import math

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from soft_prompts.analysis.comparison import Comparison, compare
from soft_prompts.common.errors import InputError
from soft_prompts.report.figures.plots import curve_figure, write_figure
from soft_prompts.report.terminal.command import CompareOptions, compare_command

LOSSES = {"tiny-chess": {0: 4.1, 1: 4.097, 4: 4.093, 16: 4.088}, "tiny-text": {0: 14.0, 1: 11.0, 4: 9.5, 16: 9.0}}


@pytest.fixture
def comparison(tmp_path, make_items, save_run) -> Comparison:
    noise = np.random.default_rng(0).standard_normal(50)
    noise -= noise.mean()
    for model, curve in LOSSES.items():
        for tokens, loss in curve.items():
            save_run(make_items(list(20 * loss + noise), [20] * 50), model=model, tokens=tokens)
    return compare([tmp_path / "results"])


def panels(figure: Figure) -> list[Axes]:
    return [axes for part in figure.subfigs for axes in part.axes]


def lines(axes: Axes) -> list[list[float]]:
    return [[float(y) for y in container[0].get_ydata()] for container in axes.containers]


def test_every_curve_with_its_own_panel(comparison):
    main, *small = panels(curve_figure(comparison))
    assert np.allclose(lines(main), [list(curve.values()) for curve in LOSSES.values()])
    assert [axes.get_title(loc="left") for axes in small] == list(LOSSES)
    for axes, curve in zip(small, LOSSES.values(), strict=True):
        assert np.allclose(lines(axes), [[loss - curve[0] for loss in curve.values()]])
    # The small axis fits the small gain: what is flat on the shared axis fills its own.
    low, high = small[0].get_ylim()
    assert high - low < 0.03


def test_token_counts_stand_at_their_doublings_and_zero_is_there(comparison):
    main = panels(curve_figure(comparison))[0]
    assert [label.get_text() for label in main.get_xticklabels()] == ["0", "1", "4", "16"]
    assert main.get_xticks() == pytest.approx([0, 1, math.log2(5), math.log2(17)])


def test_labels_say_the_question_and_the_units(comparison):
    figure = curve_figure(comparison)
    main = panels(figure)[0]
    assert figure.subfigs[0].get_suptitle() == "How many soft-prompt tokens does chess take?"
    assert "one seed" in figure.subfigs[0].get_supxlabel()
    assert main.get_xlabel() == "prompt tokens"
    assert main.get_ylabel() == "nats per move"
    (bits,) = main.child_axes
    assert bits.get_ylabel() == "bits per move"
    assert {text.get_text() for text in main.texts} == set(LOSSES)


def test_error_bars_are_95_percent_intervals(comparison):
    main = panels(curve_figure(comparison))[0]
    (segments,) = (bar.get_segments() for bar in main.containers[0][2])
    assert np.ptp(segments[0][:, 1]) == pytest.approx(2 * 1.96 * 0.01)


def test_names_of_neighbours_do_not_touch(comparison):
    first, second = comparison.curves
    near = dataclasses.replace(second, curve=first.curve)
    main = panels(curve_figure(dataclasses.replace(comparison, curves=(first, near))))[0]
    low, high = main.get_ylim()
    heights = [text.xy[1] for text in main.texts]
    assert abs(heights[0] - heights[1]) >= 0.05 * (high - low)


def test_crowded_ticks_lose_their_names_not_their_marks(comparison):
    curve = comparison.curves[0]
    counts = (0, 1, 4, 16, 64, 256, 512, 1024)
    points = tuple(dataclasses.replace(curve.curve[0], tokens=tokens) for tokens in counts)
    main = panels(curve_figure(Comparison((dataclasses.replace(curve, curve=points),))))[0]
    assert [label.get_text() for label in main.get_xticklabels()] == ["0", "1", "4", "16", "64", "256", "", "1,024"]


def test_several_prompt_kinds_share_a_colour_and_differ_in_line(comparison):
    curve = comparison.curves[0]
    none = dataclasses.replace(curve, prompt="direct", condition_mode="none")
    other = dataclasses.replace(curve, model="tiny-text")
    main = panels(curve_figure(Comparison((none, curve, other))))[0]
    first, second, third = (container[0] for container in main.containers)
    assert first.get_color() == second.get_color() != third.get_color()
    assert first.get_linestyle() != second.get_linestyle() == "-"
    legend = main.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["mlp, true conditions", "direct, no conditions"]


def test_prompt_kinds_of_one_model_have_a_colour_each(comparison):
    curve = comparison.curves[0]
    none = dataclasses.replace(curve, prompt="direct", condition_mode="none")
    main = panels(curve_figure(Comparison((none, curve))))[0]
    first, second = (container[0] for container in main.containers)
    assert first.get_color() != second.get_color()
    assert first.get_linestyle() == second.get_linestyle() == "-"
    assert {"mlp, true conditions", "direct, no conditions"} <= {text.get_text() for text in main.texts}


@pytest.mark.parametrize("models", [1, 8])
def test_any_number_of_models_and_experiments(models, comparison, tmp_path):
    curve = comparison.curves[0]
    many = tuple(
        dataclasses.replace(curve, experiment=experiment, model=f"owner/model-{index}-{'x' * 40}")
        for experiment in ("chess", "skip_tokens")
        for index in range(models)
    )
    figure = curve_figure(Comparison(many))
    assert len(figure.subfigs) == 2
    write_figure(figure, tmp_path / "many.png")


def test_a_metric_that_is_no_loss_has_neither_bits_nor_differences(comparison):
    curve = dataclasses.replace(comparison.curves[0], unit="share", metric="legality", paired=())
    (main,) = panels(curve_figure(Comparison((curve,))))
    assert main.child_axes == []
    assert main.get_title(loc="left") == "Legality of tiny-chess"


def test_points_without_a_value_or_an_error_are_borne(comparison):
    curve = comparison.curves[0]
    points = (dataclasses.replace(curve.curve[0], value=None), dataclasses.replace(curve.curve[1], stderr=None))
    (main,) = panels(curve_figure(Comparison((dataclasses.replace(curve, curve=points, paired=()),))))
    assert lines(main) == [[pytest.approx(4.097)]]
    with pytest.raises(InputError, match="no result has a value"):
        curve_figure(Comparison((dataclasses.replace(curve, curve=points[:1]),)))


@pytest.mark.parametrize(
    ("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("PNG", b"\x89PNG")]
)
def test_the_file_is_of_the_kind_that_its_name_says(suffix, start, comparison, tmp_path):
    del comparison
    path = tmp_path / "new folder" / f"curve.{suffix}"
    before = dict(matplotlib.rcParams)
    assert compare_command(CompareOptions((tmp_path / "results",), plot=path)) == 0
    assert path.read_bytes().startswith(start)
    assert dict(matplotlib.rcParams) == before
