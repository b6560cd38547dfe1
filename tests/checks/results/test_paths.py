"""Whatever a model is called, its files stay inside the output folder and meet no other run's."""

import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soft_prompts.results.paths import SLUG_LENGTH, model_slug, result_path, run_path, settings_hash, slug

HOSTILE = [
    "../../x",
    "/etc/x",
    "",
    ".",
    "..",
    "a\0b",
    "x" * 300,
    "模型/名",
    "a/b/c",
    "a\\b",
    "C:\\x",
    "~",
    "-rf",
    "reference",
]
HOSTILE += [
    "a b",
    "a,b",
    "a_b",
    "a/b",
    "a/b_c",
    "a_b/c",
    ".hidden",
    "tiny-chess\n",
    "é",
    "e\u0301",
    "\udcff",
    "a/",
    "a//b",
]
TEXT = st.text(max_size=320) | st.text(alphabet="ab/._-\\ \0", max_size=12) | st.sampled_from(HOSTILE)


def path_of(model: str, **changes: object) -> Path:
    parts = {"experiment": "chess", "variant": None, "data": "games", "prompt_kind": "mlp", "tokens": 4, "seed": 0}
    parts |= {"settings": {"steps": 3}, "model": model} | changes
    return result_path(Path("/out"), "results", run_path(**parts))


def test_readable_names_stay_readable():
    assert model_slug("EleutherAI/pythia-70m") == "EleutherAI_pythia-70m"
    assert model_slug("tiny-chess") == "tiny-chess"
    assert slug("skip_tokens") == "skip_tokens"
    assert model_slug("/home/me/models/my model").startswith("my_model-")
    run = run_path("chess", None, "games", "tiny-chess", None, 0, 0, {"steps": 3})
    assert str(run) == f"chess/games/tiny-chess/bare-0t-s0-{settings_hash({'steps': 3})}"
    assert result_path(Path("o"), "runs", run) == Path("o/runs") / run
    assert result_path(Path("o"), "results", run) == Path(f"o/results/{run}.json")
    assert str(run_path("repetition", "nine tokens", "games", "m", "mlp", 4, 1, {})).startswith(
        "repetition-nine_tokens-"
    )


def test_the_hash_depends_on_the_settings_alone():
    assert settings_hash({"a": 1, "b": [2, "x"]}) == settings_hash({"b": [2, "x"], "a": 1})
    assert settings_hash({"a": 1}) != settings_hash({"a": 2})
    assert settings_hash({"a": Path("x")}) == settings_hash({"a": "x"})
    with pytest.raises(TypeError, match="no JSON form"):
        settings_hash({"a": object()})


@given(model=TEXT, data=TEXT, experiment=TEXT, variant=st.none() | TEXT)
def test_every_name_stays_inside(model, data, experiment, variant):
    path = path_of(model, data=data, experiment=experiment, variant=variant)
    assert os.path.normpath(path) == str(path)
    assert path.parts[:3] == ("/", "out", "results")
    assert len(path.parts) == 7
    for part in path.parts[3:]:
        assert len(part) <= 2 * SLUG_LENGTH + 1
        assert part.isascii()
        assert part.isprintable()
        assert not part.startswith((".", "-"))
        assert part != "reference"


@given(first=TEXT, second=TEXT)
def test_two_names_never_share_a_path(first, second):
    if first != second:
        assert path_of(first) != path_of(second)
        assert path_of("m", data=first) != path_of("m", data=second)
        assert path_of("m", experiment=first) != path_of("m", experiment=second)


@given(first=st.tuples(TEXT, st.none() | TEXT), second=st.tuples(TEXT, st.none() | TEXT))
def test_an_experiment_and_its_variant_never_meet_another_pair(first, second):
    if first != second:
        paths = [path_of("m", experiment=experiment, variant=variant) for experiment, variant in (first, second)]
        assert paths[0] != paths[1]


def test_a_slug_given_as_a_name_does_not_meet_its_origin():
    for name in HOSTILE:
        assert model_slug(model_slug(name)) != model_slug(name) or model_slug(name) == name
    assert path_of("m", experiment="a-b") != path_of("m", experiment="a", variant="b")


def test_ten_thousand_hostile_names_collide_nowhere():
    draw = random.Random(0)
    letters = 'abAB01._-/\\ \0é模:*?"<>|~$\n'
    names = {"".join(draw.choices(letters, k=draw.choice((1, 2, 3, 5, 9, 300)))) for _ in range(20_000)} | set(HOSTILE)
    assert len(names) >= 10_000
    paths = {path_of(name) for name in names}
    assert len(paths) == len(names)
    assert all(os.path.normpath(path).startswith("/out/results/chess/games/") for path in paths)
