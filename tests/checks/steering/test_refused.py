"""What is asked in vain of the commands about vectors: one line, the right exit code, and nothing outside of --out."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from soft_prompts.commands import main as cli
from soft_prompts.commands.steer.apply import SteerApplyOptions
from soft_prompts.commands.steer.options import OfVectors, SteeringOptions
from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.engine.activations.module_map import Inside
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.architectures import PromptShape
from soft_prompts.prompts.build import build_prompt
from soft_prompts.results.findings import Finding
from soft_prompts.steering.causes.effects import activity
from soft_prompts.steering.causes.pairs import Pair, aligned
from soft_prompts.steering.data.choices import Choices
from soft_prompts.steering.data.sources import find_choices, neutral_texts
from soft_prompts.steering.evaluation import evaluate_vectors
from soft_prompts.steering.scoring import option_scores, text_nats, untouched
from soft_prompts.steering.tokens import Budget, worth_in_tokens
from soft_prompts.steering.vectors.files import write_vector
from soft_prompts.steering.vectors.vector import SteeringVector

ROOM = 20


@pytest.fixture
def short(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> Inside:
    """The model with little room."""
    monkeypatch.setattr(inside.frozen.model.config, "max_position_embeddings", ROOM)
    return inside


def test_prompts_beyond_the_context_are_refused_before_any_is_fitted(
    short: Inside, choices: Choices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soft_prompts.steering.tokens.fitted_prompt", lambda *_, **__: pytest.fail("it was fitted"))
    with pytest.raises(UsageError, match=r"tokens 18 \+ a text of \d+ = \d+ positions; .* has 20; give fewer tokens"):
        worth_in_tokens(short, choices, "one", untouched, Budget(tokens=(1, 18)))
    prompt = build_prompt("direct", PromptShape(18, 32, 0), short.frozen.vocabulary)
    with pytest.raises(UsageError, match=r"tokens 18 \+ a text of"):
        option_scores(short.frozen, choices, prompt=prompt)


def test_neutral_text_beyond_the_context_is_refused_before_any_measure(
    short: Inside, choices: Choices, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert text_nats(short.frozen, ["the of and"]) > 0
    monkeypatch.setattr("soft_prompts.steering.evaluation.Activations", lambda *_: pytest.fail("it was measured"))
    vector = SteeringVector({1: torch.ones(32)}, "one", "mean", layer=1, strength=1.0)
    with pytest.raises(UsageError, match=r"a line of neutral text has .* positions; .* has 20; give shorter texts"):
        evaluate_vectors(short, [vector], choices, ["the of and", "the of and " * 9])


def test_compared_prompts_beyond_the_context_are_refused(short: Inside) -> None:
    pairs = aligned(short.frozen, [Pair("k " * 30, "x " * 30, "q", "t", "1")], "pairs")
    with pytest.raises(UsageError, match=r"a prompt has .* positions; .* has 20; give shorter texts"):
        activity(short, pairs.donors, pairs, ["resid.0"])


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"good\n\xe9 no\n", r"is no UTF-8 \(byte 6\); save the text as UTF-8"), (b"\n \n", "holds no line of text")],
)
def test_neutral_files_that_are_no_text_are_said(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "n.txt").write_bytes(content)
    with pytest.raises(InputError, match=says):
        neutral_texts(tmp_path / "n.txt", "data.jsonl")


def test_a_file_where_a_folder_is_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text("[]")
    for layout in ("functions", "machiavelli"):
        with pytest.raises(InputError, match=f"f.json is a file; --layout {layout} reads a folder with "):
            find_choices(str(tmp_path / "f.json"), layout, "deception")


@pytest.mark.parametrize(
    ("choices", "value", "says"),
    [
        ([{"text": "go"}], 1, "tree.json, scene 1: give a list of choices, each with 'text' and 'next'"),
        ({"text": "go", "next": "2"}, 1, "tree.json, scene 1: give a list"),
        ([{"text": "go", "next": "2"}], "yes", "annotations.json, scene 2: deception is 'yes'; give a number"),
        ([{"text": "go", "next": "2"}], float("nan"), "scene 2: deception is nan"),
    ],
)
def test_scenes_that_are_not_in_the_layout_are_said(choices: Any, value: Any, says: str, tmp_path: Path) -> None:
    files = {"scenes": {"1": "a", "2": "b"}, "tree": {"1": choices}, "annotations": {"2": {"deception": value}}}
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=says):
        find_choices(str(tmp_path), "machiavelli", "deception")


def test_a_class_called_like_a_path_stays_in_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("a/../../esc", "b")
    cues = dict(zip(names, ("As king\n", "As river\n"), strict=True))
    options = dict(zip(names, (" mireno", " tasuli"), strict=True))
    lines = [json.dumps({"prompt": f"w{n}:", "options": options, "cues": cues}) + "\n" for n in range(20)]
    (tmp_path / "data.jsonl").write_text("".join(lines))
    out = tmp_path / "s7" / "deep"
    words = ["--data", str(tmp_path / "data.jsonl"), "--layers", "2", "--strengths", "1", "--out", str(out)]
    with pytest.raises(SystemExit) as stop:
        cli.main(["steer", "fit", *words])
    assert stop.value.code == 0, capsys.readouterr()
    made = {path.relative_to(tmp_path) for path in tmp_path.rglob("*.safetensors")}
    assert {path.parent for path in made} == {Path("s7/deep/vectors")}
    assert len(made) == 2
    assert all(path.name.startswith("mean-") for path in made)
    show = SteeringOptions(out=out).show
    figures: dict[str, Any] = {"method": "mean", "vectors": []}
    show(Finding("fit", "m", "d", 1, 0, figures, says=("a line",)), "eval-../../up")
    assert not (tmp_path / "s7" / "up.steering.json").exists()
    assert len(list(out.glob("*.steering.json"))) == 2


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"temperature": -1.0}, "--temperature is -1.0; give 0 or more"),
        ({"temperature": float("nan")}, "--temperature is nan"),
        ({"strength": float("inf")}, "--strength is inf; give a number"),
    ],
)
def test_apply_refuses_what_generate_does(given: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        SteerApplyOptions(vector=Path("v"), text=("a",), **given)


def test_vectors_are_measured_on_the_model_that_they_were_made_on(
    one_frozen: FrozenModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As they are applied: without --model by the vector's own, and what is said of another one names that flag."""
    own = SteeringVector({1: torch.ones(32)}, "king", "mean", one_frozen.name, one_frozen.fingerprint, made_of=("a",))
    models = {"own": one_frozen.name, "other": "tiny-lands", "none": ""}
    paths = {name: tmp_path / f"{name}.safetensors" for name in models}
    for name, model in models.items():
        write_vector(paths[name], replace(own, model=model))
    inside, vectors = OfVectors(device="cpu").read([paths["own"], paths["none"]])
    assert (inside.frozen.name, len(vectors)) == (one_frozen.name, 2)
    with pytest.raises(UsageError, match=r"none.safetensors names no model; give --model"):
        OfVectors().read([paths["none"]])
    with pytest.raises(UsageError, match=f"made on {one_frozen.name} and on tiny-lands; give those of one model"):
        OfVectors().read([paths["own"], paths["other"]])
    for words, is_named in ((["eval"], False), (["tokens"], False), (["apply", "--text", "a"], True)):
        with pytest.raises(SystemExit) as stop:
            cli.main(["steer", words[0], str(paths["own"]), *words[1:], "--model", "tiny-lands", "--device", "cpu"])
        assert stop.value.code == 2
        said = capsys.readouterr().err
        assert f"; give --model {one_frozen.name}" in said
        assert ("--allow-mismatch" in said) == is_named, said


@pytest.mark.parametrize("words", ["steer fit", "steer eval", "steer tokens", "steer items", "steer apply", "concepts"])
def test_the_help_says_which_model_is_used(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main([*words.split(), "--help"])
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    model = "tiny-lands" if words in ("steer fit", "concepts") else "the one that the vector was made on"
    assert f"Model to use; default: {model}" in said
    assert "that the prompt was trained on" not in said
