"""What is a model without its weights? Its configuration, and tensors that have shapes and no numbers.

The engine runs on it as on the model itself, in no memory and little time: `FakeTensorMode` of torch plays the device.
"""

from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.initialization import no_init_weights

from soft_prompts.models.loading.quiet import quiet
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.precision import DTYPES

FEW_LAYERS = (2, 4)  # of a deep model: what each further one costs follows

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class Sketch(NamedTuple):
    """A model as it would be loaded, of its true depth or of less."""

    frozen: FrozenModel
    layers: int
    parameters: int
    linear: int
    """Those of them in linear layers but for the head: a quantised base has few bits of each."""


def depths(configuration: PretrainedConfig) -> tuple[int, ...]:
    """The model's own number of layers; of a deep one two smaller numbers, from which it follows."""
    own = configuration.get_text_config().num_hidden_layers
    return FEW_LAYERS if own > 2 * max(FEW_LAYERS) else (own,)


def sketch(
    configuration: PretrainedConfig, layers: int, tokenizer: PreTrainedTokenizerBase, device: str, dtype: str
) -> Sketch:
    """The model with so many layers, on the fast roads where nothing in its configuration forbids them."""
    configuration = type(configuration).from_dict(configuration.to_dict())
    text = configuration.get_text_config()
    if "layer_types" in vars(text) and text.layer_types is not None:  # others work theirs out from the number
        text.layer_types = text.layer_types[:layers]
    text.num_hidden_layers = layers
    with torch.device("meta"), no_init_weights(), quiet():
        model: PreTrainedModel = AutoModelForCausalLM.from_config(configuration, dtype=DTYPES[dtype])
    model = without_numbers(model, FakeTensorMode(allow_non_fake_inputs=True), device)
    model.tie_weights()
    parameters = sum(weight.numel() for weight in model.parameters())
    head = model.get_output_embeddings()
    capped = getattr(text, "final_logit_softcapping", None)
    frozen = FrozenModel(
        model=model.eval().requires_grad_(False),
        tokenizer=tokenizer,
        name="sketch",
        revision=None,
        fingerprint="",
        pad_id=0,
        head=head if isinstance(head, nn.Linear) and capped is None else None,
        packs=True,
        caches=True,
    )
    linear = sum(part.weight.numel() for part in model.modules() if isinstance(part, nn.Linear) and part is not head)
    return Sketch(frozen, layers, parameters, linear)


def without_numbers(module: ModuleT, mode: FakeTensorMode, device: str) -> ModuleT:
    """The module itself, every parameter and buffer replaced by one that has a shape alone; shared ones stay shared."""
    known: dict[int, Any] = {}

    def replaced(tensor: Tensor) -> Any:
        if isinstance(tensor, FakeTensor):
            return tensor
        if id(tensor) not in known:
            data = mode.fake_tensor_converter.from_meta_and_device(
                mode, tensor.detach().to("meta"), torch.device(device)
            )
            is_parameter = isinstance(tensor, nn.Parameter)
            known[id(tensor)] = nn.Parameter(data, requires_grad=tensor.requires_grad) if is_parameter else data
        return known[id(tensor)]

    for part in module.modules():
        for held in (part._parameters, part._buffers):
            held.update({name: replaced(tensor) for name, tensor in held.items() if tensor is not None})
    return module


def mode_of(frozen: FrozenModel) -> FakeTensorMode:
    """The mode that a sketch's tensors belong to: tensors of two modes never meet."""
    weight: Any = frozen.embedding.weight
    return weight.fake_mode
