"""How low can the loss go when weights are trained instead of a prompt? LoRA on every linear layer, or all weights of a
small model, on the task's own stream and through the same loop as a prompt.

What learns is handed to the loop as a module that emits the prompt: an empty one, or, where the task has conditions,
one conditional token trained along, for weights alone could not be told them. Hu et al., arXiv 2106.09685 (LoRA).
"""

from collections.abc import Iterable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.architectures import Prompt
from soft_prompts.results.roles import Lora
from soft_prompts.training.apparatus import Apparatus, load_for, with_engine

LORA_RATES = (5e-4, 2e-3, 8e-3)
FULL_RATES = (1e-4, 3e-4, 1e-3)
MOST_PARAMETERS = 20_000_000  # of a model that is trained whole


class TrainedWeights(Prompt):
    """Weights of a model that learn, and the prompt that goes with them."""

    def __init__(self, prompt: Prompt, weights: Iterable[nn.Parameter]) -> None:
        super().__init__(prompt.shape)
        self.prompt = prompt
        self.weights = nn.ParameterList(weights)  # the model's own: a step changes the model

    def forward(self, conditions: Float[Tensor, "B C"]) -> Float[Tensor, "B P H"]:
        return self.prompt(conditions)


def with_adapters(at: Apparatus) -> Apparatus:
    """A copy of the model with LoRA adapters that begin at nothing; the adapters learn."""
    return adapted(at, with_engine(at.config, load_for(at.config)))


def adapted(at: Apparatus, copy: FrozenModel) -> Apparatus:
    """The same with a copy that is there already: it is changed."""
    rank = at.config.role.rank if isinstance(at.config.role, Lora) else Lora.rank
    _add_adapters(copy.model, rank, at.config.seed)
    learning = [weight for name, weight in copy.model.named_parameters() if "lora_" in name]
    for weight in copy.model.parameters():
        weight.requires_grad_(False)
    for weight in learning:
        weight.data = weight.data.float()  # a step of Adam is lost in bfloat16
        weight.requires_grad_(True)
    return _learning(at, copy, learning)


def with_all_weights(at: Apparatus) -> Apparatus:
    """A copy of the model whose weights all learn; its head by the plain road, which gives it a gradient."""
    return unfrozen(at, with_engine(at.config, load_for(at.config)))


def unfrozen(at: Apparatus, copy: FrozenModel) -> Apparatus:
    """The same with a copy that is there already: it is changed."""
    copy.model.requires_grad_(True)
    return _learning(at, replace(copy, head=None), list(copy.model.parameters()))


def _learning(at: Apparatus, frozen: FrozenModel, weights: list[nn.Parameter]) -> Apparatus:
    return at._replace(frozen=frozen, prompt=TrainedWeights(at.prompt, weights))


def _add_adapters(model: PreTrainedModel, rank: int, seed: int) -> None:
    """Every linear layer but the vocabulary matrix."""
    from peft import LoraConfig, inject_adapter_in_model  # of all runs only these wait for it

    settings = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        inject_adapter_in_model(settings, model)
    model.eval()
