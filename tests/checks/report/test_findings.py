"""Is what was found in activations on the page, short first?"""

from dataclasses import replace
from pathlib import Path

import pytest

from soft_prompts.analysis.readings import Readings
from soft_prompts.report.drawing.scene import Area, Label, Mark
from soft_prompts.report.figures.findings import scenes_of
from soft_prompts.report.page.document import document, rendered
from soft_prompts.results.findings import Finding, find_findings
from tests.checks.made.readings import made_readings


def test_two_sentences_stand_open_and_the_rest_behind_a_fold(tmp_path: Path) -> None:
    says = ("the first", "the second", "the third", "the <fourth>")
    found = Finding("items", "tiny-lands", "lands", 48, 0, {}, says=says, path=tmp_path / "words.steering.json")
    page = rendered(document(Readings((), (), ()), tmp_path, findings=[found]))
    part = page[page.index('<section id="findings"') : page.index('<section id="rest"')]
    opened, fold = part.split("<details><summary>2 more</summary>")
    assert "words: tiny-lands, lands, 48 items, seed 0" in opened
    assert [one in opened for one in ("the first", "the second", "the third")] == [True, True, False]
    assert "the third" in fold
    assert "the &lt;fourth&gt;" in fold
    assert '<details class="finding" open>' in opened  # alone on the page; beside results one line
    beside = rendered(document(made_readings(), tmp_path, findings=[found]))
    assert beside.count('<details class="finding"><summary>') == 1


REFERENCE = Path(__file__).parents[3] / "results" / "reference"


def test_stored_findings_fit_their_schemas_and_what_does_not_is_refused() -> None:
    """Each kind that is stored, with a needed figure taken away and with one of another type."""
    found = find_findings([REFERENCE / "steering", REFERENCE / "real" / "steering"])
    assert {one.kind for one in found} >= {"eval", "activations", "tokens", "concepts", "experiment"}
    for one in found:
        one.to_json()
        for name in needed(one):
            with pytest.raises(ValueError, match="figures"):
                replace(one, figures={**one.figures, name: {"x": []}}).to_json()
            with pytest.raises(ValueError, match="figures"):
                replace(one, figures={key: value for key, value in one.figures.items() if key != name}).to_json()


def needed(found: Finding) -> list[str]:
    lists = {"tokens": ["verdicts", "runs"], "concepts": ["layers", "moved"], "eval": ["classes"], "fit": ["vectors"]}
    named = {"layers", "models", "cosines", "dealt"} & set(found.figures)
    return sorted(named) if found.kind == "experiment" else lists.get(found.kind, ["components"])


def test_maps_and_sweeps_are_drawn_once_for_page_and_file(tmp_path: Path) -> None:
    """A cell a patched component, as dark as its share, named by its token; a line an arm and layer."""
    others = dict.fromkeys(("gradient", "root_mean_square", "p"), 0.1)
    shares = (0.5, -0.25, None)
    rows = [{"component": f"attn.{n}", "position": -n, "share": share, **others} for n, share in enumerate(shares)]
    causes = Finding("activations", "m", "d", 1, 0, {"components": rows, "positions": ["a", "b", "c<"]})
    (scene,) = scenes_of(causes)
    dark = [shape.opacity for shape in scene.shapes if isinstance(shape, Area) and shape.role != "rule"]
    assert dark == [0.5, 0.25]
    assert {shape.role for shape in scene.shapes if isinstance(shape, Area)} == {"rule", "series-1", "series-2"}
    assert [label.text for label in scene.shapes if isinstance(label, Label)][1:3] == ["b", "c<"]
    swept = [(arm, layer, s, s / 4, 0.0) for arm in ("vector", "random") for layer in (0, 1) for s in (1.0, 2.0, 4.0)]
    classes = [{"class": "a", "layer": 1, "strength": 1.0, "arms": {}, "lead": 0.0, "tried": [], "swept": swept}]
    tests = Finding("eval", "m", "d", 1, 0, {"classes": classes, "together": {}})
    (lines,) = scenes_of(tests)
    assert sum(isinstance(shape, Mark) for shape in lines.shapes) == 2 + 2 * 2 * 3
    assert scenes_of(replace(tests, figures={"classes": [{**classes[0], "swept": []}], "together": {}})) == ()
    page = rendered(document(Readings((), (), ()), tmp_path, findings=[causes]))
    assert scene.inline() in page
    assert "c&lt;" in page
