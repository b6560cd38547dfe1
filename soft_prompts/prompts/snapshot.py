"""What is a trained prompt, apart from the run that made it? Two files: tensors and all that is needed to use them."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.numpy import save_file
from torch import nn

from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.common.files import hash_header, load_hashed, sync, unreadable, writing_to
from soft_prompts.data.conditions import ConditionEncoder, encoder_for, own_numbers
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.precision import DTYPES
from soft_prompts.prompts.architectures import Prompt, PromptShape
from soft_prompts.prompts.kinds import PROMPTS

FORMAT = 1
POSITIONS = ("front", "random", "first")
MEND = "remove the folder and its result, and the same command makes them again; what came from elsewhere, fetch again"
MOST_LAYERS = 1024  # more would only be there to keep a reader busy


@dataclass(frozen=True)
class Snapshot:
    """A prompt, and the model it was trained for."""

    prompt: Prompt
    kind: str
    shape: PromptShape
    conditions: ConditionEncoder
    model: str
    revision: str | None
    fingerprint: str
    step: int
    position: str = "front"
    """Where it was trained to stand: in front of a text, or (random) anywhere in it, so at its end too, or (first) in
    front of everything, of a token that begins a text too."""
    dtype: str = "auto"
    """Precision of the model that it was trained on; auto where it is not known."""


def save_snapshot(folder: Path, snapshot: Snapshot) -> None:
    """Write prompt.safetensors and prompt.json into `folder`, each whole or not at all."""
    facts = {"format": FORMAT, "kind": snapshot.kind, "shape": snapshot.shape._asdict(), "step": snapshot.step}
    facts |= {"conditions": list(snapshot.conditions.names), "encoder": own_numbers(snapshot.conditions)}
    facts |= {name: getattr(snapshot, name) for name in ("model", "revision", "fingerprint", "position", "dtype")}
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        values = snapshot.prompt.state_dict()
        tensors = {name: value.detach().cpu().contiguous().numpy() for name, value in values.items()}
        save_file(tensors, folder / ".tmp-prompt.safetensors", hash_header(tensors))
        (folder / ".tmp-prompt.json").write_text(json.dumps(facts, indent=1))
        for name in ("prompt.safetensors", "prompt.json"):
            sync(folder / f".tmp-{name}")
            (folder / f".tmp-{name}").rename(folder / name)
        sync(folder)


def forget_snapshot(folder: Path) -> None:
    """Remove the two files, where they are."""
    for name in ("prompt.json", "prompt.safetensors"):
        (folder / name).unlink(missing_ok=True)


def load_snapshot(folder: str | Path) -> Snapshot:
    """Read a snapshot folder; raises InputError that names the field where it is not one, or says that its tensors have
    changed since they were written."""
    folder = Path(folder)
    for name in ("prompt.json", "prompt.safetensors"):
        if not (folder / name).is_file():
            raise InputError(f"{folder} is no snapshot: {name} is missing")
    facts = _read_facts(folder / "prompt.json")
    file = folder / "prompt.safetensors"
    try:
        tensors = {name: torch.from_numpy(values) for name, values in load_hashed(file).items()}
    except OSError as error:
        raise unreadable(file, error) from error
    except (SafetensorError, ValueError) as error:
        raise InputError(f"{file} is unusable: {error}; {MEND}") from error
    shape, kind = PromptShape(**facts["shape"]), PROMPTS[facts["kind"]]
    with torch.device("meta"):  # what a file claims takes no memory before its tensors agree
        _check_tensors(folder, kind(shape), tensors)
    prompt: Prompt = kind(shape)
    prompt.load_state_dict(tensors)
    return Snapshot(
        prompt=prompt.requires_grad_(False),
        kind=facts["kind"],
        shape=shape,
        conditions=encoder_for(facts["conditions"], facts["encoder"]),
        **{name: facts[name] for name in ("model", "revision", "fingerprint", "step", "position", "dtype")},
    )


def _read_facts(path: Path) -> dict[str, Any]:
    """prompt.json with every field of the right kind; raises InputError that names the field."""
    try:
        facts: Any = json.loads(path.read_bytes())
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is unusable: it is no JSON") from error
    facts = {"encoder": None, "position": "front", "dtype": "auto"} | facts if isinstance(facts, dict) else {}
    for name, (is_right, wanted) in FIELDS.items():
        if name not in facts or not is_right(facts[name]):
            found = repr(facts[name])[:80] if name in facts else "missing"
            raise InputError(f"{path} is unusable: {name} is {found}, wanted {wanted}")
    if not _has_encoder(facts["conditions"], facts["encoder"]):
        raise InputError(f"{path} is unusable: conditions are {facts['conditions']}, which no encoder knows")
    if len(facts["conditions"]) != facts["shape"]["conditions"]:
        raise InputError(f"{path} is unusable: conditions are {facts['conditions']}, but shape counts others")
    return facts


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**24


def _is_shape(value: Any) -> bool:
    known = isinstance(value, dict) and value.keys() == set(PromptShape._fields)
    return known and all(map(_is_size, value.values())) and value["hidden_layers"] <= MOST_LAYERS


def _has_encoder(names: list[str], numbers: dict[str, list[float]] | None) -> bool:
    try:
        encoder = encoder_for(names, numbers)
    except UsageError:
        return False
    return len(encoder.names) == len(encoder.offset) == len(encoder.scale)


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _are_numbers(value: Any) -> bool:
    """`own_numbers`: lists of finite numbers, none of the scales 0."""
    if value is None:
        return True
    if not isinstance(value, dict) or value.keys() != {"offset", "scale"}:
        return False
    columns = list(value.values())
    if not all(isinstance(column, list) and all(type(n) in (int, float) for n in column) for column in columns):
        return False
    return all(math.isfinite(number) for column in columns for number in column) and 0 not in value["scale"]


# Every field of prompt.json: is a value right, and what is wanted.
FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "format": (lambda value: type(value) is int and value == FORMAT, f"{FORMAT}: another version wrote it"),
    "kind": (
        lambda value: isinstance(value, str) and value in PROMPTS,
        "a name in PROMPTS; register your own first",
    ),
    "shape": (_is_shape, f"whole numbers from 0 for {', '.join(PromptShape._fields)}"),
    "conditions": (_are_names, "a list of names"),
    "encoder": (_are_numbers, "null, or offset and scale"),
    "model": (lambda value: isinstance(value, str) and value != "", "a name"),
    "revision": (lambda value: value is None or isinstance(value, str), "a name or null"),
    "fingerprint": (lambda value: isinstance(value, str) and value != "", "a text"),
    "step": (_is_size, "a whole number from 0"),
    "position": (lambda value: value in POSITIONS, f"one of {', '.join(POSITIONS)}"),
    "dtype": (lambda value: value in ("auto", *DTYPES), f"auto, {' or '.join(DTYPES)}"),
}


def refuse_other_model(snapshot: Snapshot, frozen: FrozenModel, allow_mismatch: bool = False) -> None:
    """Raise InputError unless the snapshot was trained on exactly this model; widths must fit in any case."""
    if snapshot.shape.hidden_size != frozen.hidden_size:
        sizes = f"{snapshot.shape.hidden_size} wide, {frozen.name} is {frozen.hidden_size}"
        raise InputError(f"the prompt is {sizes}; use it on the model it was trained for, {snapshot.model}")
    here = frozen.fingerprint_like(snapshot.fingerprint)
    if snapshot.fingerprint != here and not allow_mismatch:
        raise InputError(
            f"the prompt was trained on {snapshot.model} ({snapshot.fingerprint}), this is {frozen.name} "
            f"({here}); --allow-mismatch uses it all the same"
        )


def _check_tensors(folder: Path, prompt: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    expected = {name: tuple(value.shape) for name, value in prompt.state_dict().items()}
    for name in sorted(expected.keys() | tensors.keys()):
        found = tuple(tensors[name].shape) if name in tensors else "missing"
        if found != expected.get(name, "nothing"):
            raise InputError(f"{folder}: {name} is {found}, expected {expected.get(name, 'nothing')}")
        if tensors[name].dtype != torch.float32 or not tensors[name].isfinite().all():
            raise InputError(f"{folder}: {name} holds other values than finite float32")
