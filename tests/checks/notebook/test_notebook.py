"""Is `import soft_prompts as sp` enough for a notebook: quick, complete, with results that show themselves?"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure

import soft_prompts as sp
from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.experiments.catalogue.autoregressive import EXPERIMENT
from soft_prompts.results.schema import Metric, Result
from soft_prompts.stats.items import Items
from soft_prompts.tasks.guidance.task import GuidanceTask
from soft_prompts.tasks.texts.autoregressive import AutoregressiveTask
from soft_prompts.training.apparatus import run_paths

NAMES = {
    *("load_frozen_model", "build_prompt", "insert_prompt", "batch_loss", "train", "evaluate", "generate"),
    *("load_snapshot", "read_results", "read_result", "to_frame", "compare", "plot", "verdicts", "TASKS"),
    *("PROMPTS", "Experiment", "Grid", "Example", "ListedData", "Query", "Task", "TaskData", "RunConfig", "run"),
    *("export_prompt", "import_prompt", "sweep", "__version__"),
    *("Inside", "Wanted", "find_choices", "fit_vectors", "evaluate_vectors", "read_vector", "write_vector"),
    *("pairs_of_choices", "aligned", "compare_prompts", "compare_models", "concept_network", "worth_in_tokens"),
    *("vector_on_items", "write_steered"),
}
Save = Callable[..., Path]
LOSSES = ((0, [4.0, 5.0, 6.0, 4.5]), (4, [3.0, 4.2, 5.0, 4.0]))


@pytest.fixture
def folder(save_run: Save, make_items: Callable[..., Items], tmp_path: Path) -> Path:
    for tokens, losses in LOSSES:
        save_run(make_items(losses), tokens=tokens)
    return tmp_path / "results"


def test_every_name_is_there_and_importing_loads_nothing_slow() -> None:
    assert set(dir(sp)) == NAMES
    assert all(getattr(sp, name) is not None for name in NAMES)
    code = "import sys, soft_prompts as sp; dir(sp), sp.PROMPTS, sp.RunConfig, sp.read_results; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "soft_prompts.config" in loaded
    assert not {"torch", "transformers", "accelerate", "matplotlib", "pandas"} & set(loaded)
    with pytest.raises(AttributeError, match="soft_prompts has no 'nope'; it has PROMPTS, TASKS"):
        _ = sp.nope


def test_results_are_read_and_broken_files_are_warned_about(folder: Path) -> None:
    (folder / "broken.json").write_text("{")
    with pytest.warns(UserWarning, match=r"skipped: .*broken\.json: broken or truncated JSON"):
        results = sp.read_results(str(folder))
    assert {result.prompt.tokens for result in results} == {0, 4}
    for result in results:
        assert result.path is not None
        assert sp.read_result(str(result.path)) == sp.read_result(result) == result
        assert "path" not in result.to_json()
    with pytest.warns(UserWarning, match="no such file or folder"):
        assert sp.read_results(folder / "nope") == []


def test_a_result_shows_itself_in_a_line_and_in_a_table(folder: Path, make_result: Callable[..., Result]) -> None:
    bare, prompted = sorted(sp.read_results(folder), key=lambda result: result.prompt.tokens)
    assert repr(prompted).startswith(
        "<Result chess tiny-chess mlp 4 tokens seed 0: loss_per_move 2.025 ± 0.01 nats/move"
    )
    assert repr(prompted).endswith(f", file {prompted.path}>")
    assert repr(bare).startswith("<Result chess tiny-chess bare: loss_per_move")
    failed = make_result(status="failed", metrics={}, model="<b>&", role="anchor:lora")
    assert repr(failed) == (
        "<Result chess <b>& mlp 4 tokens seed 0: role anchor:lora, loss_per_move failed: stopped by a check>"
    )
    assert "<tr><th>model</th><td>&lt;b&gt;&amp;</td></tr>" in failed._repr_html_()
    assert "<b>" not in failed._repr_html_()
    with pytest.raises(ValueError, match="was not read from a file"):
        sp.read_result(failed)


def test_a_frame_has_a_row_for_each_metric(make_result: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = {"loss_per_move": Metric(3.5, 0.25, 40, "nats/move"), "move_legality": Metric(None, reason="no moves")}
    frame = sp.to_frame([make_result(metrics=metrics), make_result(tokens=0, seed=0, model="tiny-text")])
    assert list(frame.columns) == (
        [
            "experiment",
            "variant",
            "data",
            "model",
            "prompt",
            "tokens",
            "seed",
            "role",
            "metric",
            "value",
            "stderr",
            "n",
            "unit",
        ]
    )
    assert frame.iloc[0].tolist() == (
        ["chess", None, "games", "tiny-chess", "mlp", 4, 0, "run", "loss_per_move", 3.5, 0.25, 40, "nats/move"]
    )
    assert frame.value.isna().tolist()[:2] == [False, True]
    assert frame.metric.tolist() == ["loss_per_move", "move_legality", "loss_per_move"]
    assert len(sp.to_frame([])) == 0
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="to_frame needs pandas, which is not installed; pip install pandas"):
        sp.to_frame([])


def test_compare_gives_what_the_command_prints(folder: Path) -> None:
    command = [sys.executable, "-m", "soft_prompts", "compare", str(folder), "--json"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    results = sp.read_results(folder)
    for given in (folder, str(folder), [str(folder)], results):
        assert sp.compare(given) == json.loads(printed)["curves"]
    (bare,) = [result for result in results if result.prompt.tokens == 0]
    assert [point["tokens"] for point in sp.compare(bare)[0]["points"]] == [0]
    with pytest.raises(InputError, match="there are no results"):
        sp.compare([])
    with pytest.raises(UsageError, match="nope"):
        sp.compare(folder, metric="nope")


def test_verdicts_are_a_model_a_task_and_a_word(folder: Path) -> None:
    (found,) = sp.verdicts(folder)
    assert found == ("tiny-chess", "chess on games", "NO SCALE")
    assert found.verdict == sp.compare(folder)[0]["verdict"]
    (folder / "broken.json").write_text("{")
    with pytest.warns(UserWarning, match=r"skipped: .*broken\.json"):
        assert sp.verdicts(folder) == [found]


def test_plot_gives_a_figure_without_pyplot(folder: Path, tmp_path: Path) -> None:
    figure = sp.plot(sp.read_results(folder), metric="loss_per_move")
    assert isinstance(figure, Figure)
    assert figure._repr_png_().startswith(b"\x89PNG")  # pyright: ignore
    said = [text.get_text() for text in figure.axes[0].texts]
    assert {"nats per move", "prompt tokens", *(str(tokens) for tokens, _ in LOSSES)} <= set(said)
    code = f"import sys, soft_prompts as sp; sp.plot({str(folder)!r}); print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_run_takes_a_name_a_task_or_a_config(tiny_folders: dict[str, Path], tmp_path: Path) -> None:
    texts = tmp_path / "texts.jsonl"
    texts.write_text("\n".join(json.dumps({"text": f"the of and {number} " * 8}) for number in range(80)))
    small = {"steps": 1, "batch_size": 2, "sample_tokens": 24, "validation_samples": 4, "test_samples": 4}
    small |= {"model": str(tiny_folders["gpt_neox"]), "tokens": 1, "data": str(texts), "data_workers": 0}
    named = sp.run("autoregressive", output_dir=tmp_path, **small)
    command = EXPERIMENT.presets["default"].settings  # a name stands for what its command runs
    assert named.path == run_paths(replace(command, output_dir=tmp_path, **small)).result  # pyright: ignore
    assert named.prompt.kind == "direct"  # the task has no conditions
    config = sp.RunConfig(AutoregressiveTask(), prompt="direct", output_dir=tmp_path, **small)  # pyright: ignore
    named = sp.run(config)
    assert sp.run(AutoregressiveTask(), output_dir=tmp_path, **small) == named  # read, not run again
    assert sp.load_snapshot(str(run_paths(config).snapshot)).kind == "direct"
    for wrong, said in {
        "task is 'ches'; (did you mean 'chess'?) give one of": lambda: sp.run("ches", **small),
        "step is no setting; (did you mean 'steps'?) give one of": lambda: sp.run("chess", **small, step=3),
        "tokens is missing; give model and tokens": lambda: sp.run("chess", model="tiny-chess"),
        "seed is given beside a RunConfig; change it there": lambda: sp.run(replace(config), seed=3),
    }.items():
        with pytest.raises(UsageError) as caught:
            said()
        assert str(caught.value).startswith(wrong)


SCRIPT = """
from dataclasses import dataclass, replace
import soft_prompts as sp
from soft_prompts.experiments.sweep import run_all
from soft_prompts.tasks.guidance.task import GuidanceTask
from soft_prompts.tasks.texts.autoregressive import AutoregressiveTask

class OwnTask(AutoregressiveTask):
    pass

small = dict(steps=1, batch_size=2, sample_tokens=24, validation_samples=4, test_samples=4, data_workers=0)
base = sp.RunConfig(OwnTask(), {model!r}, 0, prompt="direct", data={data!r}, output_dir={output!r}, **small)
print(run_all([base, replace(base, tokens=1)], jobs=2))
"""


@pytest.mark.parametrize("as_notebook", [True, False])
def test_a_task_of_a_notebook_or_script_runs_in_its_own_process(
    as_notebook: bool, tiny_folders: dict[str, Path], tmp_path: Path
) -> None:
    texts = tmp_path / "texts.jsonl"
    texts.write_text("\n".join(json.dumps({"text": f"the of and {number} " * 8}) for number in range(80)))
    code = SCRIPT.format(model=str(tiny_folders["gpt_neox"]), data=str(texts), output=str(tmp_path))
    (tmp_path / "own.py").write_text(code)
    command = [sys.executable, *(["-c", code] if as_notebook else [str(tmp_path / "own.py")])]
    root = str(Path(sp.__file__).parents[1])
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": root})
    assert done.stdout.strip() == "[]", done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "OwnTask" in line]
    assert line == "OwnTask: no other process can import what is defined in a notebook or script; one job does all"
    assert len(sp.read_results(tmp_path / "results")) == 2


def test_a_task_of_two_stages_is_asked_of_the_model_that_had_its_lessons(
    tiny_folders: dict[str, Path], tmp_path: Path
) -> None:
    task = GuidanceTask(experiment=("G2",), realized=6, unrealized=4, epochs=1)
    arm = next(one for one in task.each() if one.variant == "G-reversed")
    small = {"steps": 1, "batch_size": 2, "sample_tokens": 160, "validation_samples": 4, "test_samples": 4}
    small |= {"model": str(tiny_folders["gpt_neox"]), "tokens": 1, "data": "questions", "data_workers": 0}
    result = sp.run(arm, output_dir=tmp_path, **small)
    assert (result.status, result.variant) == ("success", "G-reversed")
    assert Path(result.model.name).is_relative_to(tmp_path / "snapshots")  # not the model that was never taught
