"""What is not exported, and is it said in one line that leaves nothing behind?"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from soft_prompts.commands.export import ExportOptions
from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.exchange import agreement
from soft_prompts.exchange.export import Wanted, export_loaded, export_prompt
from soft_prompts.exchange.imports import import_prompt
from soft_prompts.exchange.places import find_snapshot
from soft_prompts.exchange.recipes import FORMS
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.snapshot import load_snapshot
from tests.checks.conftest import save_tiny_model
from tests.checks.exchange.conftest import ELOS, TEXTS, Save


@pytest.mark.parametrize("form", FORMS)
def test_what_says_something_else_is_not_kept(
    one_frozen: FrozenModel, save: Save, tmp_path: Path, form: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A form that puts the prompt elsewhere is found out, and its files go."""
    folder, ours = save(one_frozen), agreement.ours
    monkeypatch.setattr(agreement, "ours", lambda frozen, rows, ids: ours(frozen, rows, ids).roll(1, 0))
    with pytest.raises(InputError, match="from ours, so it says something else; nothing is kept of it"):
        export_prompt(folder, form, tmp_path / "out", texts=TEXTS[:1])
    assert not list((tmp_path / "out").iterdir())


def test_a_text_without_a_token_is_said(one_frozen: FrozenModel, save: Save, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--text is '', which has no token; give a text"):
        export_prompt(save(one_frozen), "embeds", tmp_path / "out", texts=("",))
    with pytest.raises(UsageError, match="--text is empty; give a text"):
        ExportOptions(snapshot=tmp_path, folder=tmp_path / "out", to="embeds", text=("a", ""))


def test_a_prompt_is_found_by_its_result_and_its_events(one_frozen: FrozenModel, save: Save, tmp_path: Path) -> None:
    folder = save(one_frozen)
    events = tmp_path / "runs" / folder.name
    events.mkdir(parents=True)
    assert find_snapshot(events) == find_snapshot(folder) == find_snapshot(folder / "prompt.json") == folder
    save(one_frozen, tokens=2)
    with pytest.raises(InputError, match=r"holds 2 trained prompts; give one of them: .*direct-2, .*direct-4$"):
        find_snapshot(tmp_path / "snapshots")
    with pytest.raises(InputError, match="does not exist; give the folder of a trained prompt"):
        find_snapshot(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no trained prompt"):
        find_snapshot(tmp_path / "empty")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, r"condition white_elo, black_elo is missing; give --condition white_elo=NUMBER black_elo=NUMBER "),
        (
            {"white_elo": 1},
            r"condition black_elo is missing; .* \(white_elo mostly 1000 to 3000, black_elo mostly 1000",
        ),
        (ELOS | {"elo": 3}, r"condition elo is unknown; give --condition white_elo=NUMBER black_elo=NUMBER \("),
        (ELOS | {"white_elo": "high"}, r"a condition is no number: .*; give --condition NAME=NUMBER"),
    ],
)
def test_wrong_conditions_are_named_with_all_that_are_taken(
    one_frozen: FrozenModel, save: Save, tmp_path: Path, given: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        export_prompt(save(one_frozen, "mlp"), "peft", tmp_path / "out", conditions=given)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_exported_is_said_in_one_line(one_frozen: FrozenModel, save: Save, tmp_path: Path) -> None:
    folder = save(one_frozen)
    with pytest.raises(UsageError, match=r"to is 'peff'; \(did you mean 'peft'\?\) give one of peft, vllm, embeds"):
        export_prompt(folder, "peff", tmp_path / "out")
    with pytest.raises(UsageError, match="condition elo is unknown; this prompt takes none"):
        export_prompt(folder, "peft", tmp_path / "out", conditions={"elo": 3})
    with pytest.raises(InputError, match="a prompt of 0 tokens; there is nothing to export"):
        export_prompt(save(one_frozen, tokens=0), "peft", tmp_path / "out")
    with pytest.raises(InputError, match=r"the prompt was trained on .* --allow-mismatch uses it all the same"):
        export_prompt(save(one_frozen, tokens=2, fingerprint="v2:0"), "peft", tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="full is not empty; give a new folder"):
        export_prompt(folder, "peft", tmp_path / "full")
    assert [file.name for file in (tmp_path / "full").iterdir()] == ["mine.txt"]
    assert not (tmp_path / "out").exists()


def test_models_that_a_form_cannot_hold_are_refused(one_frozen: FrozenModel, save: Save, tmp_path: Path) -> None:
    folder = save(one_frozen)
    trained, wanted = load_snapshot(folder), Wanted("vllm", tmp_path / "out", {}, ())
    with pytest.raises(InputError, match="makes more of a token than its embedding"):
        export_loaded(folder, trained, replace(one_frozen, hooked=True), wanted)
    misnamed = load_frozen_model(one_frozen.name)
    misnamed.model.config.vocab_size += 1
    with pytest.raises(InputError, match=r"PEFT does not find the embeddings of .*; give --to embeds"):
        export_loaded(folder, trained, misnamed, wanted._replace(form="peft"))
    assert not list((tmp_path / "out").iterdir())
    scaled = load_frozen_model(one_frozen.name)
    scaled.embedding.register_forward_hook(lambda layer, inputs, output: 2 * output)
    with pytest.raises(InputError, match="multiplies its embeddings, and vLLM does so by itself"):
        export_loaded(folder, trained, scaled, wanted)


def test_another_width_is_refused_by_both_ways(tmp_path: Path, one_frozen: FrozenModel, save: Save) -> None:
    export_prompt(save(one_frozen), "peft", tmp_path / "out")
    wide = str(save_tiny_model(tmp_path / "wide", "gpt2", hidden=64))
    with pytest.raises(InputError, match=rf"out is 32 wide, {wide} is 64; give --model with the model"):
        import_prompt(tmp_path / "out", tmp_path / "back", wide)
    other = str(save_tiny_model(tmp_path / "other", "gpt_neox", seed=1))
    said = import_prompt(tmp_path / "out", tmp_path / "back", other)
    assert said.snapshot.model == other
    assert said.remarks == [f"the adapter names {one_frozen.source} as its base; it is imported for {other}, as asked"]
    with pytest.raises(InputError, match="back holds another prompt; give another folder with --into"):
        import_prompt(tmp_path / "out", tmp_path / "back")
    import_prompt(tmp_path / "out", tmp_path / "back", other)


def test_an_adapter_that_was_changed_since_is_not_taken_for_ours(
    one_frozen: FrozenModel, save: Save, tmp_path: Path
) -> None:
    export_prompt(save(one_frozen), "peft", tmp_path / "out")
    weights = tmp_path / "out" / "adapter_model.safetensors"
    save_file({"prompt_embeddings": load_file(weights)["prompt_embeddings"] + 1}, weights)
    with pytest.raises(InputError, match=r"speaks of other rows than the adapter's: .* remove origin.json to"):
        import_prompt(tmp_path / "out", tmp_path / "back")
    (tmp_path / "out" / "origin.json").unlink()
    import_prompt(tmp_path / "out", tmp_path / "back")
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["num_virtual_tokens"] == 4
