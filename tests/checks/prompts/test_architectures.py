"""Is a prompt architecture one class and one line, and do the built-in ones begin as they always have?"""

import inspect
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn

from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.config import RunConfig
from soft_prompts.engine.generation import generate
from soft_prompts.experiments.evidence.battery import starts_of
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid
from soft_prompts.experiments.run import run
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.prompts.architectures import DirectPrompt, Prompt, PromptShape
from soft_prompts.prompts.build import build_prompt, grow
from soft_prompts.prompts.kinds import PROMPTS
from soft_prompts.prompts.snapshot import load_snapshot
from soft_prompts.results.files import read_result
from soft_prompts.results.roles import Rounded
from soft_prompts.tasks.chess import ChessTask
from soft_prompts.tasks.task import Query
from soft_prompts.tasks.texts.autoregressive import AutoregressiveTask
from soft_prompts.training.apparatus import run_paths, snapshot_name


class LowRankPrompt(Prompt):
    """A [P, r] B [r, H]: tokens in a plane of r dimensions, the same for every sample."""

    rank = 2

    def __init__(self, shape: PromptShape) -> None:
        super().__init__(shape)
        self.left = nn.Parameter(torch.randn(shape.tokens, self.rank))
        self.right = nn.Parameter(torch.randn(self.rank, shape.hidden_size))

    def forward(self, conditions: Float[Tensor, "B C"]) -> Float[Tensor, "B P H"]:
        return (self.left @ self.right).expand(len(conditions), -1, -1)

    def begin(self, rows: Float[Tensor, "P H"], length: float) -> None:
        self.right.copy_(torch.linalg.pinv(self.left) @ rows)  # the nearest that this `left` allows


@pytest.fixture
def registered() -> Iterator[None]:
    PROMPTS["low_rank"] = LowRankPrompt
    yield
    del PROMPTS["low_rank"]


# Sums of the parameters, each times the cosine of its number, as the first version of the package began under seed 0.
STARTS = {
    ("direct", 5, "vocabulary"): -0.1107049,
    ("direct", 5, "zeros"): 0.0000000,
    ("direct", 5, "normal"): 0.3560381,
    ("direct", 5, "paper"): 0.3806098,
    ("direct", 5, "mean_noise"): 1.8418893,
    ("direct", 5, "search"): -0.1107049,
    ("direct", 5, "grow"): -3.9531184,
    ("direct", 1, "vocabulary"): -2.5625243,
    ("direct", 1, "mean_noise"): -0.3867881,
    ("linear", 5, "vocabulary"): 8.1851940,
    ("linear", 5, "zeros"): 0.0000000,
    ("linear", 5, "normal"): 0.0729824,
    ("linear", 5, "paper"): 3.6982710,
    ("linear", 5, "mean_noise"): 1.4133836,
    ("linear", 5, "search"): 8.1851940,
    ("linear", 5, "grow"): 5.0105095,
    ("linear", 1, "vocabulary"): 0.8708084,
    ("linear", 1, "mean_noise"): 0.7935984,
    ("mlp", 5, "vocabulary"): 2.4824306,
    ("mlp", 5, "zeros"): 5.8818276,
    ("mlp", 5, "normal"): 6.6492655,
    ("mlp", 5, "paper"): 5.6748449,
    ("mlp", 5, "mean_noise"): 10.4118598,
    ("mlp", 5, "search"): 2.4824306,
    ("mlp", 5, "grow"): 9.4395367,
    ("mlp", 1, "vocabulary"): 6.8832092,
    ("mlp", 1, "mean_noise"): 4.7571379,
    ("resnet", 5, "vocabulary"): 6.0480269,
    ("resnet", 5, "zeros"): 6.9778803,
    ("resnet", 5, "normal"): 6.7468128,
    ("resnet", 5, "paper"): 4.2607522,
    ("resnet", 5, "mean_noise"): 5.6502453,
    ("resnet", 5, "search"): 6.0480269,
    ("resnet", 5, "grow"): 8.4846883,
    ("resnet", 1, "vocabulary"): 2.5275091,
    ("resnet", 1, "mean_noise"): -0.0913686,
    ("shared_resnet", 5, "vocabulary"): 1.7324694,
    ("shared_resnet", 5, "zeros"): 1.6870917,
    ("shared_resnet", 5, "normal"): 1.6591517,
    ("shared_resnet", 5, "paper"): 1.7356842,
    ("shared_resnet", 5, "mean_noise"): 1.7324368,
    ("shared_resnet", 5, "search"): 1.7324694,
    ("shared_resnet", 5, "grow"): 2.6938227,
    ("shared_resnet", 1, "vocabulary"): 2.5048551,
    ("shared_resnet", 1, "mean_noise"): -0.1116267,
}


def weighed(prompt: nn.Module) -> float:
    values = torch.cat([tensor.flatten().double() for tensor in prompt.state_dict().values()])
    return float((values * torch.arange(len(values), dtype=torch.float64).cos()).sum())


def begun(kind: str, tokens: int, init: str) -> Prompt:
    vocabulary = torch.arange(400).reshape(50, 8).float().sin() * 0.7
    conditions = 0 if kind == "direct" else 2
    return build_prompt(kind, PromptShape(tokens, 8, conditions, 1, 16, 6), vocabulary, init, 0)  # pyright: ignore


@pytest.mark.parametrize(("kind", "tokens", "init"), STARTS)
def test_the_built_in_ones_begin_as_they_always_have(kind: str, tokens: int, init: str) -> None:
    prompt = begun(kind, tokens, "vocabulary" if init == "grow" else init)
    if init == "grow":
        grow(prompt, begun(kind, 2, "vocabulary"))
    assert weighed(prompt) == pytest.approx(STARTS[kind, tokens, init], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    ("prompt", "tokens", "condition", "name"),
    [
        ("mlp", 4, "true", "mlp-4t-s0-62b525e6"),
        ("shared_resnet", 4, "none", "direct-4t-s0-5c59b426"),
        ("direct", 1, "shuffled", "direct-1t-s0-c682052e"),
        ("mlp", 0, "true", "bare-0t-s0-5c02853a"),
    ],
)
def test_a_run_lies_where_it_always_has(prompt: str, tokens: int, condition: str, name: str) -> None:
    config = RunConfig(ChessTask(), "tiny-chess", tokens, prompt=prompt, condition=condition)  # pyright: ignore
    assert run_paths(config).events.name == name


def test_settings_are_read_before_anything_slow_is_loaded() -> None:
    code = "import sys, soft_prompts.config, soft_prompts.prompts.kinds; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "soft_prompts.config" in loaded
    assert not {"torch", "transformers", "accelerate", "peft", "datasets"} & set(loaded)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    draw, path = random.Random(0), tmp_path / "texts.jsonl"
    words = ["the", "of", "and", "e2e4", "e7e5"]
    lines = [json.dumps({"text": " ".join(draw.choices(words, k=40))}) for _ in range(120)]
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def config(texts: Path, tmp_path: Path, tiny_folders: dict[str, Path], registered: None) -> RunConfig:
    """Three steps of a low-rank prompt on a task without conditions."""
    small = {"batch_size": 4, "sample_tokens": 24, "validation_samples": 4, "test_samples": 4, "data_workers": 0}
    return RunConfig(
        *(AutoregressiveTask(), str(tiny_folders["gpt_neox"]), 3),
        **{"prompt": "low_rank", "steps": 3, "data": str(texts), "output_dir": tmp_path} | small,
    )


def test_an_architecture_of_ones_own_is_short_and_runs_from_python(config: RunConfig) -> None:
    assert len(inspect.getsource(LowRankPrompt).splitlines()) < 30
    frozen = load_frozen_model(config.model)
    result = run(config, frozen)
    assert (result.prompt.kind, result.prompt.parameters) == ("low_rank", 2 * (3 + frozen.hidden_size))
    snapshot = load_snapshot(run_paths(config).snapshot)
    assert isinstance(snapshot.prompt, LowRankPrompt)
    begun = build_prompt("low_rank", PromptShape(3, frozen.hidden_size, 0), frozen.vocabulary)
    assert not torch.equal(snapshot.prompt.right, begun.right)  # it was trained
    direct = DirectPrompt(PromptShape(3, frozen.hidden_size, 0))
    direct.matrix.data = snapshot.prompt.left @ snapshot.prompt.right
    queries = [Query("e2e4 e7e5", ()), Query("the of", ())]
    assert generate(frozen, snapshot.prompt, queries, 8) == generate(frozen, direct, queries, 8)


def test_and_from_the_command_line(config: RunConfig, capsys: pytest.CaptureFixture[str]) -> None:
    preset = Grid((config.model,), (0, 3), (config.data,), replace(config, prompt="direct"), config.task)
    experiment = Experiment("own", "Does it work?", {"default": preset})
    assert experiment.main(["--prompt", "low_rank"]) == 0
    kinds = [read_result(path).prompt.kind for path in (config.output_dir / "results").rglob("*.json")]
    assert sorted(map(str, kinds)) == ["None", "low_rank"]
    assert experiment.main(["--prompt", "lowrank"]) == 2
    names = "direct, linear, mlp, resnet, shared_resnet, residual, low_rank"
    assert f"--prompt is lowrank (did you mean low_rank?); give one of {names}; see" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        experiment.main(["--help"])
    assert "low_rank" in capsys.readouterr().out


@pytest.mark.slow
def test_with_evidence_too(config: RunConfig) -> None:
    preset = Grid((config.model,), (0, 3), (config.data,), config, config.task)
    assert Experiment("own", "Does it work?", {"default": preset}).main(["--evidence", "standard"]) == 0
    results = [read_result(path) for path in (config.output_dir / "results").rglob("*.json")]
    tokens = {result.prompt.kind for result in results if result.role in ("anchor:placebo", "anchor:hard_prompt")}
    assert tokens == {"direct"}  # random tokens, and those nearest to a prompt, are tokens as they are
    assert {result.prompt.kind for result in results if result.role == "run"} == {None, "low_rank"}
    rounded = replace(config, role=Rounded(2, snapshot_name(config)))
    assert run(rounded, load_frozen_model(config.model)).prompt.kind == "low_rank"


def test_it_works_beside_conditions_and_grows_from_fewer_tokens(config: RunConfig) -> None:
    chess = replace(config, task=ChessTask(), condition="true")
    assert chess.prompt_kind == replace(chess, condition="none").prompt_kind == "low_rank"
    assert starts_of(config) == ["vocabulary", "mean_noise"]
    with pytest.raises(UsageError, match="init is search; a low_rank has no row for each token"):
        replace(config, init="search")
    for init in ("vocabulary", "mean_noise", "zeros", "normal", "paper"):
        prompt = build_prompt("low_rank", PromptShape(4, 12, 0), torch.randn(9, 12), init)
        assert prompt(torch.zeros(2, 0)).shape == (2, 4, 12)
        assert bool(prompt(torch.zeros(1, 0)).any()) == (init != "zeros")


def test_a_name_that_nobody_registered_is_said_in_one_line(config: RunConfig) -> None:
    run(config)
    folder = run_paths(config).snapshot
    kept = PROMPTS.pop("low_rank")
    try:
        with pytest.raises(InputError, match="kind is 'low_rank', wanted a name in PROMPTS; register your own first"):
            load_snapshot(folder)
        with pytest.raises(UsageError, match="prompt is 'low_rank'; give one of direct, linear, mlp, resnet"):
            replace(config, seed=1)
    finally:
        PROMPTS["low_rank"] = kept


def test_an_architecture_that_does_not_say_how_it_begins_can_begin_as_constructed() -> None:
    class Silent(DirectPrompt):
        begin = Prompt.begin

    with pytest.raises(NotImplementedError, match=r"Silent does not say how it begins; .* or init paper"):
        Silent(PromptShape(1, 2, 0)).begin_random(0.0)
