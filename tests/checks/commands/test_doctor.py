"""Does the doctor find what is wrong, say what to do in a line each, and tell what a command would cost?"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packaging.requirements import Requirement
from safetensors.numpy import load_file, save_file
from transformers import LlamaConfig

from soft_prompts.commands.doctor.command import divided
from soft_prompts.commands.doctor.files import look_at_files
from soft_prompts.commands.doctor.machine import unmet
from soft_prompts.commands.doctor.names import look_at_names
from soft_prompts.commands.main import main
from soft_prompts.common.files import hash_header
from soft_prompts.data.conditions import NO_CONDITIONS
from soft_prompts.experiments.catalogue import completion
from soft_prompts.experiments.estimate.runs import Estimate
from soft_prompts.prompts.architectures import PromptShape
from soft_prompts.prompts.kinds import PROMPTS
from soft_prompts.prompts.snapshot import Snapshot, save_snapshot
from soft_prompts.results.files import find_results, items_path, read_items, read_result, write_result
from tests.checks.faults.test_snapshots import bits_of, flipped

REFERENCE = Path(__file__).parents[3] / "results" / "reference" / "completion" / "sums" / "tiny-text"


def doctor(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str], str]:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", *words])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out.splitlines(), said.err


def a_snapshot(folder: Path) -> None:
    shape = PromptShape(2, 8, 0)
    save_snapshot(folder, Snapshot(PROMPTS["direct"](shape), "direct", shape, NO_CONDITIONS, "m", None, "f", 3))


@pytest.mark.parametrize("name", ["sandbagging_game", "calibration"])
def test_what_is_no_grid_has_no_cost(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, error = doctor(capsys, "--offline", "run", name)
    assert code == 2
    assert error.startswith(f"error: {name} is no grid of runs, so its cost is not known before; give ")


def test_all_is_well_in_an_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, lines, _ = doctor(capsys, "--offline")
    assert (code, lines[-1]) == (0, "all well")
    for what in ("names", "versions: python 3.", "cpu: ", "gpu: ", "memory: ", "disk: ", "hub: not asked", "files: no"):
        assert any(line.startswith(what) for line in lines), what
    assert not list(tmp_path.iterdir())  # it looks, and makes nothing


def test_a_file_that_hides_torch_is_found_before_torch_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise RuntimeError('not this one')")
    code = "import sys; sys.argv = ['x', 'doctor', '--offline']; from soft_prompts.commands.main import main; main()"
    ended = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stdout.splitlines() == [
        "wrong: torch.py hides the module torch from `python -m` and from a FILE.py beside it; rename it",
        "1 found",
    ]


def test_names(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "mine.py").touch()
    assert look_at_names(tmp_path).findings == []  # a folder that is no package gives way to one that is
    (tmp_path / "datasets" / "__init__.py").touch()
    (tmp_path / "random.py").touch()
    (tmp_path / "soft_prompts").mkdir()
    (tmp_path / "soft_prompts" / "__init__.py").touch()
    found = look_at_names(tmp_path).findings
    assert [line.split(" hides")[0].rsplit("/")[-1] for line in found] == ["datasets", "random.py", "soft_prompts"]
    (tmp_path / "tests").mkdir()
    assert "soft-prompts run chess" in look_at_names(tmp_path).facts[-1]
    clone = Path(__file__).parents[3]
    assert look_at_names(clone).findings == []
    assert len(look_at_names(clone).facts) == 1


def test_damaged_results_and_snapshots_are_named(tmp_path: Path) -> None:
    results, snapshot = tmp_path / "results", tmp_path / "snapshots" / "one"
    shutil.copytree(REFERENCE, results)
    a_snapshot(snapshot)
    assert look_at_files(tmp_path).findings == []
    whole = sorted(results.glob("*[0-9a-f].json"))
    items = whole[0].with_name(whole[0].name.replace(".json", ".items.safetensors"))
    tensors = load_file(items)
    tensors["loss_nats"][0] += 1.0
    save_file(tensors, items)
    whole[1].write_text(whole[1].read_text()[:-20])
    whole[2].with_name(whole[2].name.replace(".json", ".items.safetensors")).unlink()
    facts = json.loads((snapshot / "prompt.json").read_text())
    (snapshot / "prompt.json").write_text(json.dumps(facts | {"kind": "other"}))
    found = look_at_files(tmp_path).findings
    assert len(found) == 4
    for line, what in zip(found, (items.name, whole[1].name, whole[2].stem, "kind is 'other'"), strict=True):
        assert what in line
        assert "; " in line
        assert "\n" not in line
    (snapshot / "prompt.safetensors").unlink()
    assert "prompt.safetensors is missing" in look_at_files(tmp_path).findings[-1]


CHANGES = ("loss_nats", "scored_tokens", "scored_units", "cluster", "outcome")


@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize("name", CHANGES)
def test_an_item_that_has_changed_is_found(name: str, hashed: bool, tmp_path: Path) -> None:
    """In files of earlier versions, that have no hash, by all that the result says of its items."""
    stored = next(path for path in sorted(REFERENCE.glob("direct-*.json")) if read_items(path).outcome is not None)
    result, items = read_result(stored), read_items(stored)
    path = tmp_path / stored.name
    write_result(path, result, items)
    assert look_at_files(tmp_path).findings == []
    file = items_path(path)
    arrays = load_file(file)
    if name == "outcome":
        arrays[name][~np.isnan(arrays[name])] = 1 - arrays[name][~np.isnan(arrays[name])]
    else:
        arrays[name][0] += 1
    save_file(arrays, file, hash_header(items.arrays()) if hashed else None)
    found = look_at_files(tmp_path)
    [line] = found.findings
    assert ("damaged: some of its bits have changed" in line) == hashed
    assert line.startswith(str(file))
    assert line.endswith("and the same command makes it again")
    assert any("1 file of tensors has no hash" in fact for fact in found.facts) != hashed


def test_one_bit_of_what_was_stored_is_found_wherever_it_is(tmp_path: Path) -> None:
    stored = next(path for path in sorted(REFERENCE.glob("direct-*.json")) if read_items(path).outcome is not None)
    path = tmp_path / "results" / stored.name
    write_result(path, read_result(stored), read_items(stored))
    a_snapshot(tmp_path / "snapshot")
    for file in (items_path(path), tmp_path / "snapshot" / "prompt.safetensors"):
        content = file.read_bytes()
        for bit in bits_of(content):
            file.write_bytes(flipped(content, bit))
            assert len(look_at_files(tmp_path).findings) == 1, (file.name, bit)
        file.write_bytes(content)
    assert look_at_files(tmp_path).findings == []


def test_what_has_no_hash_is_counted_and_not_wrong(tmp_path: Path) -> None:
    shutil.copytree(REFERENCE, tmp_path / "results")
    a_snapshot(tmp_path / "snapshot")
    count = len(list(REFERENCE.glob("*.items.safetensors")))
    found = look_at_files(tmp_path)
    assert found.findings == []
    assert f"files: {count} files of tensors have no hash" in found.facts[-1]


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is root reads everything: the system is asked in his place."""
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def closed(path: Any) -> Any:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    says = f"{tmp_path / 'closed'}: cannot be read: Permission denied; check it and its permissions"
    assert look_at_files(tmp_path).findings == [says]


def test_what_compare_would_skip_is_named_and_json_of_others_is_not_wrong(tmp_path: Path) -> None:
    """Whatever the files are called, and in a folder that holds no result besides."""
    (tmp_path / "cut.json").write_text('{"schema_version": 1, "dat')
    (tmp_path / "later.json").write_text('{"schema_version": 99}')
    for name in ("a", "b", "package", "tsconfig"):
        (tmp_path / f"{name}.json").write_text("{}")
    for name in (".hidden.json", "notes.txt", "eval.steering.json"):
        (tmp_path / name).write_text("no result")
    found = look_at_files(tmp_path)
    assert found.facts == [
        f"files: no results and no snapshots in {tmp_path}, 2 damaged",
        "files: no results of this package: a.json, b.json, package.json and 1 more",
    ]
    assert [line.split(": ")[0] for line in found.findings] == [
        str(tmp_path / "cut.json"),
        str(tmp_path / "later.json"),
    ]
    assert all(line.endswith("; if it is no result, move it elsewhere") for line in found.findings)
    skipped = " ".join(find_results([tmp_path]).problems)
    assert all(line.split(";")[0] in skipped for line in found.findings)
    whole = sorted(REFERENCE.glob("*[0-9a-f].json"))[0]
    shutil.copy(whole, tmp_path / "mine.json")  # a copy by another name, without its items
    assert look_at_files(tmp_path).facts[0] == f"files: 1 results and 0 snapshots in {tmp_path}, 2 damaged"


def test_the_doctors_exit_code_says_that_something_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(REFERENCE, tmp_path / "mine")
    broken = sorted((tmp_path / "mine").glob("*[0-9a-f].json"))[0]
    broken.write_text("")
    code, lines, _ = doctor(capsys, "--offline", "--folder", "mine")
    assert (code, lines[-1]) == (1, "1 found")
    assert lines[-2].startswith(f"wrong: mine/{broken.name}: empty; ")
    code, _, said = doctor(capsys, "--offline", "--folder", "nowhere")
    assert (code, said) == (
        2,
        "error: --folder is nowhere, which is no folder; give one that holds results or snapshots\n",
    )


def test_what_a_command_would_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["completion", "--preset", "quick", "--models", "tiny-text", "--tokens", "0", "1", "--offline"]
    code, lines, _ = doctor(capsys, "--offline", "run", *words)
    costs = [line for line in lines if line.startswith("cost: ")]
    assert (code, costs[0]) == (0, "cost: 2 runs")
    assert costs[1].startswith("cost: completion tiny-text 0 tokens seed 0: 0.")
    assert "a step" in costs[2]
    assert costs[3].startswith("cost: about ")
    assert not (tmp_path / "results").exists()


def test_processes_share_the_cores_and_no_group_is_divided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four groups of 60 s on two cores: two minutes from two processes on, and one group's time however many."""
    monkeypatch.chdir(tmp_path)
    config = completion.EXPERIMENT.runs(completion.QUICK)[0]
    asked, seconds = list[int](), [60.0, 60.0, 60.0, 60.0]

    def sketched(configs: Any, together: Any, jobs: int) -> list[Estimate]:
        asked.append(jobs)
        return [Estimate((config,), 1.0, 1.0, one, 1.0, 1, None) for one in seconds]

    monkeypatch.setattr("soft_prompts.commands.doctor.cost.estimates", sketched)
    monkeypatch.setattr("soft_prompts.commands.doctor.cost.cores", lambda: 2)
    for jobs, seconds[-1], expected in ((1, 60.0, 4), (2, 60.0, 2), (8, 60.0, 2), (8, 600.0, 10)):
        _, lines, _ = doctor(capsys, "--offline", "run", "completion", "--preset", "quick", "--jobs", str(jobs))
        assert f"cost: about {expected} minutes" in "\n".join(lines), lines
    assert asked == [1, 2, 8, 8]


def test_a_model_that_does_not_fit_is_wrong_and_only_its_configuration_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shape: dict[str, Any] = {"hidden_size": 16384, "intermediate_size": 53248, "num_hidden_layers": 126}
    LlamaConfig(**shape, num_attention_heads=128, num_key_value_heads=8, vocab_size=128256).save_pretrained("huge")
    words = ["completion", "--models", "./huge", "--tokens", "1", "--steps", "2", "--offline"]
    code, lines, _ = doctor(capsys, "--offline", "run", *words)
    assert code == 1
    assert "405.9 B weights" in next(line for line in lines if "huge" in line)
    assert any("every sample is taken as long as it may be, for tokenizer of" in line for line in lines)
    assert lines[-2].startswith("wrong: the command needs about ")
    assert "are free; give a smaller --micro-batch-size" in lines[-2]
    code, lines, _ = doctor(capsys, "--offline", "run", *words, "--device-map", "auto")
    assert code == 0
    assert any("the model is spread over several devices or processes" in line for line in lines)


@pytest.mark.parametrize(
    ("words", "exit_code", "says"),
    [
        (["run", "ches"], 2, "ches is no experiment"),
        (["run", "chess", "--tokns", "1"], 2, "--tokns is no flag"),
        (["run", "chess", "--models", "tiny-ches", "--offline"], 3, "did you mean 'tiny-chess'"),
        (["run", "completion", "--data", "nope", "--offline"], 3, "nope is no file"),
        (["run", "repetition", "--data", "nope", "--offline"], 3, "nope is no file or folder"),
        (["compare"], 2, "compare is no command that has a cost"),
        (["run"], 2, "run has no experiment behind it"),
    ],
)
def test_a_command_that_is_none_is_said(
    words: list[str],
    exit_code: int,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, said = doctor(capsys, "--offline", *words)
    assert code == exit_code
    assert says in said
    assert said.count("\n") == 1


def test_its_own_arguments_and_the_commands() -> None:
    own, command = divided(["doctor", "--offline", "run", "chess", "--offline"])
    assert (own, command) == (["doctor", "--offline"], ["chess", "--offline"])
    assert divided(["doctor"]) == (["doctor"], None)


def test_versions_that_do_not_fit_are_named() -> None:
    assert unmet(Requirement("numpy>=999")) is not None
    assert unmet(Requirement("no-such-thing-anywhere>=1")) == "no-such-thing-anywhere is missing, wanted >=1"
    assert unmet(Requirement("numpy>=1")) is None
    assert unmet(Requirement("no-such-thing-anywhere; extra == 'test'")) is None
