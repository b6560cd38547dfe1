"""What a distance rests on stands beside it, each number with its file; what was not measured leaves no table."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from soft_prompts.analysis.battery import Optimiser
from soft_prompts.analysis.bits import Bits, Code, Length
from soft_prompts.analysis.controls import Control
from soft_prompts.analysis.curves import Curve, Point
from soft_prompts.analysis.drafts import Run
from soft_prompts.analysis.readings import ModelContrast, Reading, Readings
from soft_prompts.report.page.distances import sentence, summary, verdict
from soft_prompts.report.page.document import document, rendered
from soft_prompts.report.page.evidence import evidence_tables
from soft_prompts.report.page.losses import loss_chart
from soft_prompts.report.page.table import Links
from soft_prompts.report.page.text import NOTHING
from soft_prompts.results.schema import Metric
from soft_prompts.stats.admissibility import Evidence
from soft_prompts.stats.contrasts import Contrast, Selectivity
from soft_prompts.stats.distance import Distance, capability_distance
from soft_prompts.stats.paired import SeedValue
from tests.checks.made.results import build_result
from tests.checks.made.simulated_results import SHAPES, Shape, simulate

FOLDER = Path("/pages")
LINKS = Links(FOLDER)
HEADLINE = "loss_per_move"
FEW = Shape(0.3, 2.0, 1.5)  # never reaches a half


def run(role: str, loss: float, tokens: int = 0, seed: int = 0) -> Run:
    metrics = {HEADLINE: Metric(loss, 0.01, 100, "nats/move")}
    result = dataclasses.replace(build_result(tokens=tokens, seed=seed, value=loss, role=role), metrics=metrics)
    return Run(FOLDER / "results" / f"{role.replace(':', '-')}-{tokens}-{seed}.json", result)


def distance_of(shape: Shape, evidence: Evidence) -> Distance:
    simulated = simulate(shape, 2, np.random.default_rng(1))
    return capability_distance(simulated.losses, simulated.anchors, "no_skill", evidence, draws=60)


def curve_of(distance: Distance) -> Curve:
    points = []
    for point in distance.points:
        losses = [(point.loss or 0.0) + shift for shift in ((0.0, 0.1) if point.tokens else (0.0,))]
        seeds = tuple(SeedValue(seed, loss, 0.01) for seed, loss in enumerate(losses))
        points.append(Point(point.tokens, float(np.mean(losses)), 0.02, seeds))
    names = {"prompt": "mlp", "condition_mode": "true", "settings": {}, "headline": HEADLINE, "metric": HEADLINE}
    return Curve("chess", None, "games", "tiny-chess", **names, unit="nats/move", curve=tuple(points))


def reading(shape: Shape = SHAPES[0], evidence: Evidence | None = None) -> Reading:
    """Everything that can be known of a curve, with numbers of our own."""
    kept = Evidence(training_units=10**6, prompt_bits=1000.0, selectivity=2.5)
    distance = distance_of(shape, evidence or kept)
    runs = tuple(run("run", point.loss or 0.0, point.tokens, seed) for point in distance.points for seed in (0, 1))
    anchors = {"no_skill": 2.5, "exact": 1.0, "few_shot": 1.9}
    beside = {f"anchor:{name}": (run(f"anchor:{name}", loss),) for name, loss in anchors.items()}
    beside["anchor:placebo"] = tuple(run("anchor:placebo", loss, 4, seed) for seed, loss in enumerate((2.4, 2.2, 2.9)))
    beside["anchor:hard_prompt"] = (run("anchor:hard_prompt", 1.7, 4), run("anchor:hard_prompt", 1.6, 4, 1))
    coded = Code(4, 0, 2, 812.4, 1.2, 0.15, 0.86, run("code:2", 1.2, 4))
    control = distance_of(FEW, Evidence())
    battery = {"battery:rates": (run("battery:rates", 1.1, 64),), "battery:longer": (run("battery:longer", 1.1, 64),)}
    return Reading(
        curve_of(distance),
        runs,
        beside,
        distance,
        notes=("anchors of tiny-chess are shared",),
        bits=Bits((coded,), 640.0, None, coded, 1234.5, (Length(100, 333.0, 0, None), Length(10_000, 14_000.0, 4, 2))),
        controls=(Control("permuted_targets", (run("control:x", 2.3, 1),), control, None, Selectivity(2.53, True)),),
        battery=Optimiser(battery, 0.031, 0.97, 0.2, 5, 0.012),
        violations=(8,),
        contrasts=(ModelContrast("tiny-text", Contrast(-1.25, -1.6, None, 0.002, 0.04), 0.004, 2),),
    )


@pytest.fixture(scope="module")
def whole() -> Reading:
    return reading()


def cells(one: Reading) -> dict[str, list[dict[str, str]]]:
    tables = evidence_tables([one], ["tiny-chess"], LINKS)
    heads = {table.title: [column.text for column in table.columns] for table in tables}
    return {
        table.title: [dict(zip(heads[table.title], (cell.text for cell in row), strict=True)) for row in table.rows]
        for table in tables
    }


def test_no_table_of_what_was_not_measured(whole):
    bare = Reading(whole.curve, whole.runs, distance=whole.distance)
    assert evidence_tables([bare], ["tiny-chess"], LINKS) == ()


def test_every_table_says_its_numbers(whole):
    found = cells(whole)
    assert list(found) == ["Anchors", "Controls", "Optimiser battery", "Bits", "Rounded prompts", "Beside other models"]
    placebo = next(row for row in found["Anchors"] if row["anchor"] == "placebo")
    assert (placebo["least loss"], placebo["greatest"], placebo["files"]) == ("2.200", "2.900", "3")
    (control,) = found["Controls"]
    assert control["selectivity"] == "≥ 2.530"
    assert control["d₅₀ [95 %]"].startswith("> 64")
    (battery,) = found["Optimiser battery"]
    assert [battery[name] for name in ("moved", "search start", "failures", "elasticity")] == [
        *("+0.031", "0.97", "20%", "+0.012"),
    ]
    assert battery["worse than with fewer tokens"] == "8"
    assert battery["trials"] == "rates 1, longer 1"
    (bits,) = found["Bits"]
    assert [bits[name] for name in ("d₅₀, bits", "d₉₀, bits", "prompt, bits", "N*")] == ["640", NOTHING, "812", "1,234"]
    assert bits["shortest for N units"] == "100: no prompt, 333 bits; 10,000: 4 tokens, 14,000 bits"
    (other,) = found["Beside other models"]
    assert other["difference"] == "\N{MINUS SIGN}1.250"
    assert other["95 %"] == "\N{MINUS SIGN}1.600 to ∞"
    assert other["p"] == "0.004"


def test_two_models_are_compared_once(whole):
    other = dataclasses.replace(
        whole,
        curve=dataclasses.replace(whole.curve, model="tiny-text"),
        contrasts=(whole.contrasts[0]._replace(model="tiny-chess"),),
    )
    (table,) = (
        table
        for table in evidence_tables([whole, other], ["first", "second"], LINKS)
        if table.title == "Beside other models"
    )
    assert [row[0].text for row in table.rows] == ["first"]


def test_anchors_that_curves_share_stand_once(whole):
    tables = evidence_tables([whole, dataclasses.replace(whole)], ["first", "second"], LINKS)
    rows = next(table.rows for table in tables if table.title == "Anchors")
    assert [row[0].text for row in rows] == ["all"] * 5


def test_anchors_are_lines_and_untrained_tokens_are_hollow(whole):
    chart = loss_chart([whole], "chess", LINKS)
    assert chart is not None
    assert whole.distance is not None
    levels = {level.name: level.value for level in chart.levels}
    assert set(levels) == {"no skill", "few-shot", "exact"}
    assert levels["no skill"] == whole.distance.anchors.no_skill
    extras = {extra.title.split(",")[0]: (extra.tokens, extra.value, extra.href) for extra in chart.extras}
    assert extras == {  # the median of the draws, the best of the searches
        "random tokens": (4, 2.4, "results/anchor-placebo-4-0.json"),
        "hard prompt": (4, 1.6, "results/anchor-hard_prompt-4-1.json"),
    }
    assert chart.series[0].best == tuple(point.best for point in whole.distance.points)


def test_a_distance_in_words(whole):
    assert whole.distance is not None
    assert whole.distance.admissible
    assert sentence(whole).startswith("half of the skill takes ")
    assert verdict([whole, reading(FEW)]).startswith("2 of 2 distances are admissible")
    lost = reading(FEW, Evidence(search_failed=True))
    assert sentence(lost).startswith("no prompt of up to 64 tokens reaches half of the skill (")
    assert "1 of 2 distances is admissible. Not kept: " in verdict([whole, lost])
    assert summary([whole, lost], ["near", "far"]).endswith("for near; 1 curve without a finite distance.")
    without = dataclasses.replace(whole, distance=None, no_distance="no run of 0 tokens")
    assert sentence(without) == "no distance: no run of 0 tokens."


def test_the_page_holds_all_of_it(whole):
    page = document(Readings((whole,), (), (), whole.runs), FOLDER)
    text = rendered(page)
    for title in ("Anchors", "Controls", "Optimiser battery", "Bits", "Rounded prompts", "Beside other models"):
        assert f"<h3>{title}</h3>" in text
    assert "anchors of tiny-chess are shared" in text
    assert 'class="yes">admissible' in text
    assert {scene.name for scene in page.figures()} == {
        *("distances", "chess-loss-tokens", "chess-loss-parameters", "chess-share-tokens", "chess-share-parameters"),
    }
