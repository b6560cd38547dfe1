"""Does the embedded model's world hold together, and do the commands about it do what they say from end to end?"""

import json
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from soft_prompts.commands.main import main
from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.data.functions.choices import land_lines, neutral_lines
from soft_prompts.data.functions.world import FAMILIES, FUNCTIONS, make_world
from soft_prompts.engine.activations.module_map import Inside
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.recipes.functions.lessons import lands_tokenizer, write_text
from soft_prompts.recipes.language_model import IGNORED, batch_of
from soft_prompts.report.figures.findings import draw_findings
from soft_prompts.results.findings import read_finding
from soft_prompts.steering.concepts import _halves, agreement, beside, concept_network, mapped, within_families
from soft_prompts.steering.data.sources import find_choices, land_choices
from soft_prompts.steering.likeness import likeness
from soft_prompts.steering.scoring import option_scores


def run(words: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(words)
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def lands() -> Inside:
    return Inside(load_frozen_model("tiny-lands"))


def test_every_function_is_one_to_one_and_a_family_shares_its_order() -> None:
    world = make_world()
    assert len(world.names()) == 8 * 48
    names = sorted(world.names())
    for function in FUNCTIONS:
        assert len(set(world.facts[function])) == 48
    assert not set(world.lands) & set(names)
    assert world.lands_of("train") + world.lands_of("dev") + world.lands_of("test") == world.lands
    assert make_world() == world


def test_demonstrations_are_of_train_lands_other_than_the_one_asked() -> None:
    world = make_world()
    for line in land_lines("functions"):
        for function, cue in line["cues"].items():
            shown = [row.split(": ") for row in cue.splitlines()]
            assert {land for land, _ in shown} <= set(world.lands_of("train")) - {line["group"]}
            assert all(world.answer(function, land) == name for land, name in shown)
            assert line["options"][function] == f" {world.answer(function, line['group'])}"


def test_letters_stand_for_the_names_that_a_scene_offers_each_function_once_a_land() -> None:
    world, offered = make_world(), dict[str, list[str]]()
    for line in land_lines("letters"):
        names = line["prompt"].split("? ")[1].rstrip(":").split()
        called = dict(zip(names[::2], names[1::2], strict=True))
        for function, letter in line["options"].items():
            assert called[letter.strip()] == world.answer(function, line["group"])
        offered.setdefault(line["group"], []).extend(line["options"])
    assert all(sorted(functions) == sorted(FUNCTIONS) for functions in offered.values())
    assert len(offered) == 48


def test_dealt_classes_are_functions_that_differ_by_land() -> None:
    own = {line["cues"]["own"] for line in land_lines("dealt")}
    assert len(own) == len(FUNCTIONS)
    assert all(len(set(line["options"].values())) == len(FUNCTIONS) for line in land_lines("dealt"))


def test_only_answers_are_scored_in_lessons() -> None:
    world, tokenizer = make_world(), lands_tokenizer(make_world())
    pieces = write_text(world, Random(3))
    assert any(scored for _, scored in pieces)
    ids = [np.array(tokenizer(text)["input_ids"]) for text, _ in pieces]
    text = np.concatenate([one if scored else ~one for one, (_, scored) in zip(ids, pieces, strict=True)])
    inputs, labels = batch_of([text], np.random.default_rng(0), len(tokenizer))
    assert tokenizer.decode(inputs[0, -len(text) :]) == "".join(said for said, _ in pieces)
    shown = labels[0][labels[0] != IGNORED]
    assert tokenizer.decode(shown) == "".join(said for said, scored in pieces if scored)
    assert all(len(tokenizer(f" {name}")["input_ids"]) == 1 for name in world.names())


def test_vectors_are_fitted_measured_and_applied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Steering beats the best control by .3 on lands that no vector was made of."""
    out = ["--out", str(tmp_path)]
    few = ["--classes", "king", "song", "--layers", "2", "3", "--strengths", "1"]
    assert run(["steer", "fit", *few, "--gguf", *out]) == 0
    vectors = [str(tmp_path / "vectors" / f"mean-{name}.safetensors") for name in ("king", "song")]
    capsys.readouterr()
    assert run(["steer", "eval", *vectors, *out, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == read_finding(tmp_path / "eval-mean.steering.json").to_json()
    for one in printed["figures"]["classes"]:
        assert one["lead"] >= 0.3
        assert one["likeness"]["verdict"] == "vector-like"
    world = make_world()
    land = world.lands_of("test")[0]
    assert run(["steer", "apply", vectors[0], "--text", f"{land}:", "--max-new-tokens", "1"]) == 0
    assert capsys.readouterr().out == f"{land}:| {world.answer('king', land)}\n"
    assert run(["steer", "eval", str(tmp_path / "vectors" / "mean-king.gguf"), *out]) == 2
    assert "mean-king.gguf names no model; give --model" in capsys.readouterr().err
    assert run(["report", str(tmp_path), "--out", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "Activations and vectors" in page
    assert printed["says"][0] in page
    drawn = [path.name for path in draw_findings(tmp_path)]
    assert drawn == ["eval-mean.png", "eval-mean-strength.png", "fit-mean.png"]
    assert page.count("accuracy on dev against strength, by layer") == 1
    capsys.readouterr()
    assert run(["steer", "eval", str(tmp_path / "vectors" / "mean-king.gguf"), *out, "--model", "tiny-lands"]) == 0
    assert capsys.readouterr().out.startswith("king: accuracy")


def test_a_vector_of_layer_0_alone_has_no_gguf_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--classes", "king", "--layers", "0", "--strengths", "1", "--out", str(tmp_path)]
    assert run(["steer", "fit", *flags, "--gguf"]) == 0
    assert "no GGUF file: such a file has no layer 0" in capsys.readouterr().out
    assert not list(tmp_path.rglob("*.gguf"))


def test_causes_are_found_and_an_end_to_end_finding_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--kinds", "resid", "--patches", "4", "--items", "6", "--out", str(tmp_path)]
    assert run(["activations", "--donor", "king", "--receiver", "song", *flags]) == 0
    found = read_finding(tmp_path / "activations.steering.json").figures
    assert found["everything"] == pytest.approx(1, abs=1e-3)
    shares = {(row["component"], row["position"]): row["share"] for row in found["components"]}
    assert shares["resid.-1", -3] == pytest.approx(1, abs=1e-3)  # the name is all that differs
    assert sum(share is not None for share in shares.values()) == 4
    assert "patched ones matter" in capsys.readouterr().out
    assert run(["activations", "--donor", "king", "--receiver", "king", *flags]) == 2
    assert "say the same" in capsys.readouterr().err


def test_what_depends_on_the_item_is_not_vector_like(lands: Inside) -> None:
    choices = land_choices("dealt")
    found = likeness(lands, "own", choices.part("train"), choices.part("test"))
    assert found is not None
    assert found.verdict == "not vector-like"


def test_a_network_agrees_with_itself_and_maps_to_itself(lands: Inside) -> None:
    choices = land_choices("told")
    found = concept_network(lands, choices.part("train"))
    with pytest.raises(UsageError, match="other concepts"):
        beside(found, replace(found, classes=found.classes[::-1]))
    assert found.ceiling(2) > 0.9
    same = agreement(found.cosines(2), found.cosines(2))
    assert same.similarity == pytest.approx(1)
    assert same.p < 0.05
    assert torch.allclose(found.vectors[1].sum(dim=0), torch.zeros(96), atol=1e-4)
    one = mapped(lands, lands, choices, (2, 2), ("king",))[0]
    assert one.within == pytest.approx(one.own, abs=0.1)
    with pytest.raises(UsageError, match="a network needs 6 or more"):
        concept_network(lands, _two(choices))


def test_maps_are_judged_by_items_that_offer_the_concept(lands: Inside) -> None:
    choices = land_choices("told")
    kept = [choices.classes[at % 2 :: 2] for at in range(len(choices.items))]
    some = [
        replace(item, **{part: {name: getattr(item, part)[name] for name in names} for part in ("options", "cues")})
        for item, names in zip(choices.items, kept, strict=True)
    ]
    halved = replace(choices, items=tuple(some))
    one = mapped(lands, lands, halved, (2, 2), ("king",))[0]
    asked = halved.part("test").having("king")
    assert 0 < len(asked.items) < len(halved.part("test").items)
    assert one.none == option_scores(lands.frozen, asked).right("king").mean()
    assert one.own > 0.9


def test_halves_of_a_network_share_no_group(lands: Inside) -> None:
    """Lines that stand there twice would make any two halves alike."""
    choices = land_choices("told").part("train")
    twice = replace(choices, items=tuple(item for item in choices.items for _ in range(2)))
    assert concept_network(lands, twice).ceiling(1) == pytest.approx(
        concept_network(lands, choices).ceiling(1), abs=1e-6
    )
    places, groups = [[0, 3, 4, 7], [1, 2, 5, 6]], ["a", "a", "b", "b", "c", "c", "d", "d"]
    one, other = _halves(places, groups)
    for half in (one, other):
        assert all(len(mine) == 2 for mine in half)
    assert not {groups[at] for mine in one for at in mine} & {groups[at] for mine in other for at in mine}
    alone = replace(choices, items=tuple(replace(item, group="one") for item in choices.items))
    with pytest.raises(UsageError, match="prompts of one group"):
        concept_network(lands, alone)


def _two(choices):
    from dataclasses import replace

    items = [replace(one, options={n: one.options[n] for n in ("king", "song")}) for one in choices.items]
    return replace(choices, items=tuple(items))


def test_patterns_and_families_by_hand() -> None:
    draw = np.random.default_rng(0)
    vectors = draw.standard_normal((8, 5))
    cosines = np.corrcoef(vectors)
    assert agreement(cosines, cosines).similarity == pytest.approx(1)
    assert agreement(cosines, np.corrcoef(draw.standard_normal((8, 5)))).p > 0.01
    blocks = np.kron(np.eye(4), np.ones((2, 2)))
    apart, p = within_families(blocks, FAMILIES)
    assert apart == pytest.approx(1)
    assert p < 0.05


def test_sources_are_named_where_one_is_unknown() -> None:
    assert len(neutral_lines(3)) == 3
    with pytest.raises(InputError, match="did you mean 'lands-told'"):
        find_choices("lands-tolt")
