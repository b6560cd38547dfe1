"""Does what a vector was made of stay out of what it is tested on, and is one prompt one observation?"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from soft_prompts.commands import main as cli
from soft_prompts.commands.steer.tokens import SteerTokensOptions
from soft_prompts.common.errors import UsageError
from soft_prompts.engine.activations.module_map import Inside
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.steering.causes.differences import max_t
from soft_prompts.steering.causes.pairs import read_pairs
from soft_prompts.steering.data.choices import Choices, group_of, read_choices
from soft_prompts.steering.data.importers import read_caa, read_machiavelli
from soft_prompts.steering.data.sources import EMBEDDED, land_choices
from soft_prompts.steering.evaluation import evaluate_vectors
from soft_prompts.steering.fitting import Wanted, fit_vectors
from soft_prompts.steering.vectors.files import read_vector, write_vector
from soft_prompts.steering.vectors.vector import SteeringVector, refuse_seen, refuse_twice

OPTIONS = {"king": " a", "river": " b"}


def written(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_lines_of_one_prompt_are_one_group_and_stand_in_one_split(tmp_path: Path) -> None:
    lines = [{"prompt": f"go {n}:", "options": OPTIONS} for n in range(12)]
    again = [{"prompt": f" go  {n}:", "options": OPTIONS} for n in range(12)]
    choices = read_choices(written(tmp_path / "c.jsonl", lines + again * 3))
    assert len(set(choices.groups)) == 12
    seen = [{item.prompt.split()[1] for item in choices.part(split).items} for split in ("train", "dev", "test")]
    assert [len(some) for some in seen] == [6, 3, 3]
    assert not seen[0] & seen[1] | seen[1] & seen[2] | seen[0] & seen[2]
    assert read_choices(written(tmp_path / "n.jsonl", [{**lines[0], "group": None}])).groups == (group_of("go 0:"),)


def test_importers_take_equal_questions_for_one(tmp_path: Path) -> None:
    yes, no = "answer_matching_behavior", "answer_not_matching_behavior"
    entries = [{"question": f"Q{n % 3}", yes: "(A)", no: "(B)"} for n in range(24)]
    (tmp_path / "caa.json").write_text(json.dumps(entries))
    assert len(set(read_caa(tmp_path / "caa.json").choices.groups)) == 3
    (tmp_path / "scenes.json").write_text(json.dumps({"1": "A door.", "2": "A road.", "3": "A door."}))
    ways = [{"text": "Lie", "next": 7}, {"text": "Tell", "next": 8}]
    (tmp_path / "tree.json").write_text(json.dumps({"1": ways, "2": ways, "3": ways}))
    (tmp_path / "annotations.json").write_text(json.dumps({"7": {"deception": 1}, "8": {"deception": 0}}))
    assert read_machiavelli(tmp_path, "deception").choices.groups == ("1", "2", "1")


def test_pairs_given_eight_times_have_no_p(tmp_path: Path) -> None:
    rows = [{"donor": f"k{n}", "receiver": f"s{n}", "answer": "a", "other": "b"} for n in range(3)]
    groups = [pair.group for pair in read_pairs(written(tmp_path / "p.jsonl", rows * 8))]
    assert len(set(groups)) == 3
    assert max_t([np.ones((24, 2), np.float32)], groups, 0) is None
    with pytest.raises(UsageError, match="line 2: the same donor and receiver stand in groups 'x' and 'y'"):
        read_pairs(written(tmp_path / "p.jsonl", [rows[0] | {"group": group} for group in "xy"]))


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([{"split": "train"}, {}], "'split' is in 1 of 2 lines; give it in all or none"),
        ([{"split": "train"}, {"split": "test"}], 'prompt "go:" stands in train and in test'),
        ([{"split": "dev", "group": "g"}, {"prompt": "on:", "split": "test", "group": "g"}], 'group "g" stands in dev'),
        ([{"group": "g"}, {"group": "h"}], 'prompt "go:" stands in groups "g" and "h"; give its lines one group'),
        ([{"class": ["king"]}], "line 1: 'class' is \\[\"king\"\\]; give one class's name"),
        ([{"group": ["g"]}], "line 1: 'group' is \\[\"g\"\\]; give a text or a number"),
    ],
)
def test_data_that_would_leak_are_refused(lines: list[dict[str, Any]], says: str, tmp_path: Path) -> None:
    whole = [{"prompt": "go:", "options": OPTIONS} | line for line in lines]
    with pytest.raises(UsageError, match=says):
        read_choices(written(tmp_path / "c.jsonl", whole))


def test_embedded_data_keep_their_groups_and_splits() -> None:
    for kind in EMBEDDED.values():
        choices = land_choices(kind)
        assert len(set(choices.groups)) == 48
        assert sum(len(choices.part(split).items) for split in ("train", "dev", "test")) == len(choices.items)


def test_a_vector_knows_what_it_was_made_of(inside: Inside, choices: Choices, tmp_path: Path) -> None:
    """Made of the first three quarters, as they were dealt; asked on data of which these are the test."""
    (fitted,) = fit_vectors(inside, choices, Wanted("mean", ("one",), layers=(1,), strengths=(1.0,)))
    write_vector(tmp_path / "one.safetensors", fitted.vector)
    vector = read_vector(tmp_path / "one.safetensors")
    assert vector == replace(fitted.vector, layers=vector.layers)
    assert len(vector.made_of) == 36
    turned = {"train": "test", "test": "train", "dev": "dev"}
    other = replace(choices, items=tuple(replace(item, split=turned[item.split or ""]) for item in choices.items))
    with pytest.raises(UsageError, match="'one' was made of, or chosen on, 24 of 24 test items of choices"):
        evaluate_vectors(inside, [vector], other)
    evaluate_vectors(inside, [replace(vector, made_of=())], other)  # of which it is not known
    refuse_seen(vector, [item.prompt for item in choices.part("test").items], "choices")


def test_a_vector_given_twice_is_no_second_seed(inside: Inside, choices: Choices) -> None:
    vector = SteeringVector({1: torch.ones(32)}, "one", "fit", layer=1, strength=1.0)
    with pytest.raises(UsageError, match="'one' is given twice"):
        evaluate_vectors(inside, [vector, replace(vector, layers={1: torch.ones(32)})], choices)
    refuse_twice([vector, replace(vector, seed=1)])
    refuse_twice([vector, replace(vector, layers={1: 2 * torch.ones(32)})])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"seeds": (0, 0, 0)}, "seeds is 0, 0, 0; give each once"),
        ({"steps": (60, 60)}, "steps is 60, 60; give each once"),
        ({"rates": (0.1, 0.1)}, "rates is 0.1, 0.1; give each once"),
        ({"seeds": (-1,)}, "seeds is -1; give numbers from 0 on"),
        ({"rates": (float("nan"),)}, "rates is nan; give numbers above 0"),
    ],
)
def test_one_seed_does_not_pass_for_three(given: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        SteerTokensOptions((Path("v"),), **given)


def test_tokens_refuse_what_the_vector_was_made_of_and_say_where_it_is_not_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    width = load_frozen_model("tiny-lands").hidden_size
    vector = SteeringVector({2: torch.ones(width)}, "king", "mean", "tiny-lands", layer=2, strength=1.0)
    asked = land_choices("functions").part("test").items[0].prompt
    write_vector(tmp_path / "seen.safetensors", replace(vector, made_of=(group_of(asked),)))
    write_vector(tmp_path / "old.safetensors", vector)
    said = {}
    for name in ("seen", "old"):
        with pytest.raises(SystemExit) as stop:
            cli.main(["steer", "tokens", str(tmp_path / f"{name}.safetensors"), "--tokens", "1", "1100"])
        assert stop.value.code == 2
        said[name] = capsys.readouterr().err
    assert "made of, or chosen on, 1 of 12 test items of lands-functions" in said["seen"]
    assert "note: " not in said["seen"]
    assert "old.safetensors does not say which prompts it was made of" in said["old"]
    assert "tokens 1100 + a text of 3 = 1103 positions; tiny-lands has 1024" in said["old"]
