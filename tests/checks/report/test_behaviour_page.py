"""Does the page show what a comparison found, and nothing that a text of it smuggles in?"""

from pathlib import Path

import pytest

from soft_prompts.behaviour.comparison.finding import Comparison, Finding, read_comparison, write_comparison
from soft_prompts.common.errors import InputError
from soft_prompts.report.behaviour.figures import clusters_scene, heat_scene, probe_scene
from soft_prompts.report.behaviour.page import write_page
from soft_prompts.report.behaviour.section import behaviour_section
from soft_prompts.report.drawing.paint import write_scene
from soft_prompts.report.drawing.scene import Area

EVIL = "<script>alert(1)</script>"
HEAT = [{"tokens": ["def", " ma", "x(r):\n    ", "re", EVIL], "excess": [0.0, 0.2, -0.1, 0.4, 0.1]}]


def length(tokens: int, excess: float, refined: bool = False) -> dict:
    return {
        "tokens": tokens,
        "text": f" t{tokens}",
        "refined": refined,
        "excess": excess,
        "stderr": 0.01,
        "target": excess,
        "controls": 0.0,
        "placebos": [0.001, 0.002],
        "p": 0.01,
        "reveals": excess > 0.1,
        "says": [f"the moon {EVIL}"],
        "control_says": ["nothing"],
    }


def comparison() -> Comparison:
    label = {
        "text": "moon",
        "rate": 0.2,
        "control_rate": 0.0,
        "area": 0.6,
        "p": 1e-5,
        "adjusted_p": 1e-4,
        "examples": [],
    }
    token = {"token": 3, "documents": 12, "occurrences": 30, "excess": 0.1, "t": 5.0, "marked": True, "text": " class"}
    kind = {"number": 0, "words": ["moon"], "counts": {"t": 5, "c": 1}, "p": 0.1, "adjusted_p": 0.2, "examples": []}
    findings = (
        Finding(
            part="divergence",
            verdict="not shown",
            sentence="s",
            details={"heat": HEAT, "screen": {"tokens": [token], "placebo": 3.2}},
        ),
        Finding(
            part="sample",
            verdict="described",
            sentence="s",
            examples=[{"prompt": EVIL, "plain": {"base": "a", "t": "b"}, "contrastive": {"t": "c"}}],
        ),
        Finding(
            part="clusters",
            verdict="described",
            sentence="s",
            details={"clusters": [kind], "points": {"at": [[0, 1], [1, 0]], "model": ["t", "c"], "cluster": [0, 0]}},
        ),
        Finding(
            part="labels",
            verdict="changed",
            sentence="s",
            adjusted_p=1e-4,
            details={"labels": [label]},
            warnings=("few",),
        ),
        Finding(
            part="probe",
            verdict="changed",
            sentence="s",
            details={"lengths": [length(1, 0.05), length(2, 0.6), length(1, 0.2, True)]},
        ),
    )
    card = {"name": "x/t", "fingerprint": "f"}
    return Comparison(
        base=card,
        target=card,
        controls=(card,),
        settings={},
        seed=0,
        versions={},
        findings=findings,
        sentence="CHANGED",
    )


def test_everything_found_stands_on_the_page_and_is_text(tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", "What changed?", "CHANGED", comparison())
    page = (tmp_path / "page.html").read_text()
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 3
    for text in (
        "CHANGED",
        "moon",
        "few",
        "labels: changed",
        "0.0001",
        " t2",
        "The largest t of a placebo is 3.2",
        "base, plain",
    ):
        assert text in page, text
    assert "src=" not in page
    assert 'href="http' not in page
    assert page.count("<svg") == 3


def test_the_darkest_token_is_the_one_that_differs_most() -> None:
    areas = [shape for shape in heat_scene("h", HEAT).shapes if isinstance(shape, Area)]
    assert len(areas) == 3  # of five tokens two are not above the controls
    assert max(area.opacity for area in areas) == 0.75
    assert [round(area.opacity / 0.75, 2) for area in areas] == [0.5, 1.0, 0.25]


def test_figures_are_written_for_every_shape_of_finding(tmp_path: Path) -> None:
    scenes = [*behaviour_section(comparison()).scenes(), heat_scene("none", [])]
    scenes.append(clusters_scene("one", {"at": [[0.0, 0.0]], "model": ["t"]}, "t"))
    scenes.append(probe_scene("single", [length(1, 0.0)]))
    for scene in scenes:
        write_scene(scene, tmp_path / f"{scene.name}.svg")
        assert (tmp_path / f"{scene.name}.svg").read_text().startswith("<?xml")


def test_a_comparison_without_parts_is_a_page_too() -> None:
    empty = Comparison(
        base={"name": "b", "fingerprint": "f"},
        target={"name": "t", "fingerprint": "g"},
        controls=(),
        settings={},
        seed=0,
        versions={},
        findings=(),
        sentence="",
    )
    assert behaviour_section(empty).scenes() == []


def test_a_comparison_is_read_from_the_folder_that_behaviour_wrote(tmp_path: Path) -> None:
    write_comparison(tmp_path / "comparison.json", comparison())
    assert read_comparison(tmp_path) == read_comparison(tmp_path / "comparison.json")
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match=r"none/comparison.json cannot be read: .*No such file"):
        read_comparison(tmp_path / "none")
