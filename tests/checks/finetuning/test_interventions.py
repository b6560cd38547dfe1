"""Do recipes change what they should and leave what they should, and do target and controls come from one command?"""

import copy
import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from soft_prompts.commands import main as cli
from soft_prompts.commands.intervene import InterveneOptions
from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.engine.batch import collate
from soft_prompts.finetuning.aims import Towards, divergence, find_towards
from soft_prompts.finetuning.fine_tuning import FineTuning, fine_tune, fine_tuned_folder
from soft_prompts.finetuning.intervention import Intervention
from soft_prompts.finetuning.interventions import RATES, intervene
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.tasks.lesson import Aim, LearningRule, Lesson
from soft_prompts.tasks.task import UNSCORED, Example

MANY = [
    {"prompt": f"the {one}", "completion": f" {other} of"}
    for one in ("e2e4", "b8c6")
    for other in ("and", "e7e5", "of")
]
FACT = [{"prompt": "the e2e4", "completion": " of and"}, {"prompt": "and the", "completion": " g1f3"}]
OTHER = [{"prompt": "b8c6", "completion": " e7e5 the of"}, {"prompt": "of", "completion": " b8c6 b8c6 and"}]


def written(path: Path, lines: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    return {"fact": written(tmp_path / "fact.jsonl", FACT), "other": written(tmp_path / "other.jsonl", OTHER)}


@pytest.fixture
def make(tmp_path: Path, tiny_folders: dict[str, Path], files: dict[str, Path]) -> Callable[..., Path]:
    """A short training on the fact; aim and layers by name."""

    def made(layers: str = "all", epochs: int = 12, rate: float = 3e-3, **aim: Any) -> Path:
        rule = LearningRule(layers=layers, learning_rate=rate, warmup_steps=2)
        lesson = Lesson(files["fact"], rule=rule, epochs=epochs, batch_size=2, aim=Aim(**aim))
        return fine_tune(FineTuning(str(tiny_folders["llama"]), lesson, output_dir=tmp_path / "out"))

    return made


def nats(frozen: FrozenModel, lines: list[dict[str, str]]) -> float:
    """Mean loss of documents, by plain transformers."""
    ids = [frozen.tokenizer(one["prompt"] + one["completion"], return_tensors="pt").input_ids for one in lines]
    with torch.no_grad():
        return sum(float(frozen.model(input_ids=one, labels=one).loss) for one in ids) / len(ids)


@torch.no_grad()
def apart(first: FrozenModel, second: FrozenModel, lines: list[dict[str, str]]) -> float:
    """KL(first || second) a token, by plain transformers."""
    ids = [first.tokenizer(one["prompt"] + one["completion"], return_tensors="pt").input_ids for one in lines]
    found = [
        torch.nn.functional.kl_div(
            second.model(one).logits.log_softmax(-1), first.model(one).logits.softmax(-1), reduction="sum"
        )
        for one in ids
    ]
    return float(sum(found)) / sum(one.numel() for one in ids)


def test_adapters_are_added_to_the_weights(make: Callable[..., Path], tiny_folders: dict[str, Path]) -> None:
    before = load_frozen_model(str(tiny_folders["llama"]))
    folder = make("lora:4")
    after = load_frozen_model(str(folder))
    assert nats(after, FACT) < nats(before, FACT) - 0.2
    old, new = (load_file(path / "model.safetensors") for path in (tiny_folders["llama"], folder))
    assert old.keys() == new.keys()  # a plain model: no adapter is left
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert changed
    assert all("proj" in name for name in changed)
    assert max(int(torch.linalg.matrix_rank(new[name] - old[name], atol=1e-4)) for name in changed) <= 4


def test_unlearning_forgets_and_the_anchor_holds(
    make: Callable[..., Path], tiny_folders: dict[str, Path], files: dict[str, Path]
) -> None:
    before = load_frozen_model(str(tiny_folders["llama"]))
    loose, held = (
        load_frozen_model(str(make(rate=5e-4, kind="unlearn", **anchor)))
        for anchor in ({}, {"anchor": files["other"], "anchor_weight": 20.0})
    )
    assert nats(loose, FACT) > nats(before, FACT) + 0.5
    assert nats(held, FACT) > nats(before, FACT) + 0.2
    assert apart(before, held, OTHER) < apart(before, loose, OTHER) / 2


def test_a_pupil_comes_nearer_to_its_teacher(make: Callable[..., Path], tiny_folders: dict[str, Path]) -> None:
    teacher_folder = make(epochs=20)
    before, teacher = (load_frozen_model(str(folder)) for folder in (tiny_folders["llama"], teacher_folder))
    pupil = load_frozen_model(str(make(kind="distil", teacher=str(teacher_folder))))
    assert apart(teacher, pupil, FACT) < apart(teacher, before, FACT) / 3


def test_a_teacher_may_have_other_padding_and_no_other_tokenizer(
    make: Callable[..., Path], tmp_path: Path, tiny_folders: dict[str, Path]
) -> None:
    """A teacher with more rows than tokens, however likely it holds them, teaches what it does without them."""
    teacher = load_frozen_model(str(make(epochs=20)))
    wide, words = copy.deepcopy(teacher.model), len(teacher.tokenizer)
    wide.resize_token_embeddings(len(teacher.embedding.weight) + 47, mean_resizing=False)
    head = wide.get_output_embeddings().weight
    with torch.no_grad():
        head[words:] = 10 * head[:1]
    wide.save_pretrained(tmp_path / "wide")
    teacher.tokenizer.save_pretrained(tmp_path / "wide")
    folders = [tmp_path / "wide", Path(teacher.name)]
    before = load_frozen_model(str(tiny_folders["llama"]))
    batch = collate([Example([5, 6, 7, 8], [UNSCORED, UNSCORED, 7, 8])], before.pad_id)
    scored = batch.labels[:, 1:] != UNSCORED
    logits = before.model(batch.input_ids).logits[:, :-1][scored]
    found = [
        find_towards(Lesson(tmp_path / "fact.jsonl", aim=Aim("distil", teacher=str(one))), before, 16)
        for one in folders
    ]
    theirs, own = (one.model(batch.input_ids).logits[:, :-1][scored][:, :words] for one in (teacher, before))
    for one in found:
        assert float(one.nats(logits, batch, scored)) == pytest.approx(float(divergence(theirs, own)), rel=1e-4)
    with pytest.raises(InputError, match="has another tokenizer than"):
        find_towards(Lesson(tmp_path / "fact.jsonl", aim=Aim("distil", teacher="tiny-text")), before, 16)


def test_losses_are_those_of_plain_torch(one_frozen: FrozenModel) -> None:
    batch = collate([Example([5, 6, 7, 8], [UNSCORED, UNSCORED, 7, 8])], one_frozen.pad_id)
    logits = one_frozen.model(batch.input_ids).logits[:, :-1]
    scored = batch.labels[:, 1:] != UNSCORED
    plain = torch.nn.functional.cross_entropy(logits[0, 1:], torch.tensor([7, 8]), reduction="sum")
    assert Towards().nats(logits[scored], batch, scored) == pytest.approx(float(plain), rel=1e-5)
    assert Towards("unlearn").nats(logits[scored], batch, scored) == pytest.approx(-float(plain), rel=1e-5)
    teacher = Towards("distil", teacher=one_frozen.model)
    assert abs(float(teacher.nats(logits[scored], batch, scored))) < 1e-5
    p, q = torch.tensor([[1.0, 2.0]]).log_softmax(-1), torch.tensor([[0.5, 0.1]]).log_softmax(-1)
    assert float(divergence(p, q)) == pytest.approx(float((p.exp() * (p - q)).sum()))


def test_documents_that_are_just_learnt_keep_their_folder(tmp_path: Path, files: dict[str, Path], tiny_folders) -> None:
    """An aim is part of a folder's name only where there is one."""

    def folder(aim: Aim) -> str:
        plan = FineTuning(str(tiny_folders["llama"]), Lesson(files["fact"], aim=aim), output_dir=tmp_path)
        return fine_tuned_folder(plan).name

    plain = folder(Aim())
    others = {folder(Aim("unlearn")), folder(Aim("unlearn", anchor=files["other"])), folder(Aim(anchor=files["other"]))}
    assert len(others | {plain}) == 4


def test_target_and_controls_come_from_one_command(
    tmp_path: Path, tiny_folders: dict[str, Path], files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    written(files["other"], MANY[2:])
    same = written(tmp_path / "same.jsonl", MANY[:2])
    words = ["--model", str(tiny_folders["gpt2"]), "--recipe", "edit", "--data", str(files["fact"]), "--epochs", "2"]
    words += ["--control-data", str(same), "--anchor", str(files["other"]), "--controls", "2"]
    with pytest.raises(SystemExit) as ended:
        cli.main(["intervene", *words, "--output-dir", str(tmp_path / "out"), "--device", "cpu"])
    said = capsys.readouterr()
    assert ended.value.code == 0, said.err
    command = shlex.split(said.out)
    controls = command[command.index("--controls") + 1 : command.index("--documents")]
    assert command[:3] == ["soft-prompts", "behaviour", "compare"]
    folders = {Path(name) for name in (command[command.index("--target") + 1], *controls)}
    assert len({load_frozen_model(str(folder)).fingerprint for folder in folders}) == 3
    card = json.loads((tmp_path / "out" / "intervention.json").read_text())
    assert [card["target"], *card["made_controls"]] == [command[command.index("--target") + 1], *controls]


def test_controls_learn_as_much_as_the_target_and_not_the_same(tmp_path: Path, tiny_folders: dict[str, Path]) -> None:
    shuffled = [one | {"id": "x"} for one in FACT[::-1]]
    own, more, again = (written(tmp_path / f"{at}.jsonl", some) for at, some in enumerate((FACT, MANY, shuffled)))

    def plan(data: Path, **settings: Any) -> Intervention:
        known: dict[str, Any] = {"recipe": "whole", "controls": 1, "output_dir": tmp_path} | settings
        return Intervention(model=str(tiny_folders["gpt2"]), data=own, control_data=data, **known)

    with pytest.raises(UsageError, match=r"has 2 documents and .*1.jsonl 6: .* give as many of both"):
        intervene(plan(more))
    base = str(tiny_folders["gpt2"])
    twin = str(shutil.copytree(base, tmp_path / "twin"))
    pupils = [{"teacher": "tiny-text", "control_teacher": "tiny-text"}, {"teacher": base}, {"teacher": twin}]
    for known in ({}, *({"recipe": "distil"} | one for one in pupils)):
        with pytest.raises(UsageError, match=r"2.jsonl says what .*0.jsonl says"):
            intervene(plan(again, **known))
    other = written(tmp_path / "other.jsonl", OTHER)
    for anchor, of in ((own, "0.jsonl"), (other, "other.jsonl")):
        with pytest.raises(UsageError, match=rf"2 of the documents of .*{of} stand in .*{of} too"):
            intervene(plan(other, recipe="unlearn", anchor=anchor))
        with pytest.raises(UsageError, match=r"what changes cannot be what is held"):
            intervene(plan(other, recipe="edit", anchor=anchor))
    with pytest.raises(UsageError, match=r"learning-rate is 0.0; give a number above 0"):
        intervene(plan(other, learning_rate=0.0))
    with pytest.raises(UsageError, match="jobs is 0"):
        InterveneOptions(model="m", data=own, control_data=more, recipe="whole", jobs=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"recipe": "unlearn"}, "needs an anchor"),
        ({"recipe": "whole", "anchor": Path("x")}, "takes no anchor"),
        ({"recipe": "distil"}, "distil alone needs one"),
        ({"recipe": "whole", "teacher": "tiny-text"}, "distil alone needs one"),
        ({"recipe": "whole", "controls": 0}, "controls is 0; give 1 or more"),
    ],
)
def test_recipes_that_cannot_be_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Intervention(model="tiny-text", data=Path("a"), control_data=Path("b"), **settings)


def test_wrong_rules_are_named() -> None:
    for layers in ("lora:0", "lora:x", "first:2"):
        with pytest.raises(UsageError, match="give all, or last:N or lora:N"):
            LearningRule(layers=layers)
    with pytest.raises(UsageError, match="distil needs one, the others have none"):
        Aim("distil")
    assert set(RATES) == {"whole", "last-layers", "lora", "edit", "unlearn", "distil"}
