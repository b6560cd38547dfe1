"""How is a vector kept, and exchanged with llama.cpp and repeng? safetensors, and GGUF control vectors."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.common.files import write_atomically
from soft_prompts.steering.vectors.vector import SteeringVector

TENSOR = "layer."
CONTROL = "controlvector"  # general.architecture of the GGUF file
DIRECTION = "direction."
CLASS = f"{CONTROL}.class"  # what readers of that form do not know they pass over
FACTS = [one.name for one in fields(SteeringVector) if one.name != "layers"]


def write_vector(path: Path, vector: SteeringVector) -> None:
    """safetensors: `layer.L` float32, as long as it is, and all that is known of it as JSON in the header."""
    tensors = {f"{TENSOR}{layer}": value.float().contiguous() for layer, value in vector.layers.items()}
    facts = {name: getattr(vector, name) for name in FACTS}
    write_atomically(path, save(tensors, {"steering_vector": json.dumps(facts)}))


def read_vector(path: Path) -> SteeringVector:
    """Of a safetensors or a GGUF file; raises InputError in one line for what is no vector."""
    if not path.is_file():
        raise InputError(f"{path} does not exist; give a vector of `soft-prompts steer fit`, or a GGUF control vector")
    return read_gguf(path) if path.suffix == ".gguf" else _read_safetensors(path)


def _read_safetensors(path: Path) -> SteeringVector:
    try:
        with safe_open(path, "pt") as file:
            facts: dict[str, Any] = json.loads((file.metadata() or {}).get("steering_vector", "{}"))
            keys = [key for key in file.keys() if key.startswith(TENSOR)]  # noqa: SIM118 (it is no dict)
            layers = {int(key.removeprefix(TENSOR)): file.get_tensor(key) for key in keys}
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path} is no vector: {error}; give a file of `soft-prompts steer fit`") from error
    if not layers:
        raise InputError(f"{path} holds no {TENSOR}L; give a file of `soft-prompts steer fit`")
    known: dict[str, Any] = {name: facts[name] for name in FACTS if name in facts}
    known = {"name": path.stem, "method": "unknown"} | known
    known |= {name: tuple(known.get(name, ())) for name in ("classes", "made_of")}
    known["norm_shares"] = {int(layer): share for layer, share in known.get("norm_shares", {}).items()}
    return SteeringVector(dict(sorted(layers.items())), **known)


def write_gguf(path: Path, vector: SteeringVector, architecture: str) -> None:
    """A control vector as llama.cpp and repeng read it: `direction.L` is added to what leaves block L.

    Block 0 has no place in that form (its reader takes layers from 1 on), nor have the embeddings: UsageError where the
    vector has either, or no layer at all. Its class is kept; what else is known is lost.
    """
    from gguf import GGUFWriter  # an extra

    if early := [layer for layer in vector.layers if layer < 1]:
        raise UsageError(f"a GGUF control vector has no layer {early[0]}; leave it out with --layers 1 2 ...")
    if not vector.layers:
        raise UsageError(f"{vector.name}: a control vector without a layer; give one of layer 1 or above")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.partial")
    writer = GGUFWriter(draft, CONTROL)
    writer.add_string(f"{CONTROL}.model_hint", architecture)
    writer.add_uint32(f"{CONTROL}.layer_count", len(vector.layers))
    writer.add_string(CLASS, vector.name)
    for layer, value in vector.layers.items():
        writer.add_tensor(f"{DIRECTION}{layer}", value.float().cpu().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    write_atomically(path, draft.read_bytes())
    draft.unlink()


def read_gguf(path: Path) -> SteeringVector:
    """A control vector of llama.cpp or repeng: of the class that `write_gguf` has kept, else named after the file."""
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
        tensors, kept = reader.tensors, reader.fields.get(CLASS)
        name = path.stem if kept is None else str(kept.contents())
    except (ValueError, OSError, IndexError) as error:
        raise InputError(f"{path} is no GGUF file: {error}; give a control vector") from error
    named = {tensor.name: np.array(tensor.data, dtype=np.float32) for tensor in tensors}
    layers = {int(name.removeprefix(DIRECTION)): value for name, value in named.items() if name.startswith(DIRECTION)}
    if not layers:
        raise InputError(f"{path} holds no {DIRECTION}L; give a control vector")
    return SteeringVector({layer: torch.from_numpy(layers[layer]) for layer in sorted(layers)}, name, "imported")
