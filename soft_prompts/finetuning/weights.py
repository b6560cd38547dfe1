"""Which of a model's weights learn, and how is one step of them made?

AdamW; or, for a small model that learns much in few minutes, Muon on the matrices and AdamW on embeddings, head, biases
and norms. Weights and moments are float32, products may be bfloat16; there is no dropout, so a step depends on nothing
but the weights, the moments, the batch and how far the training is.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.engine.batch import Batch
from soft_prompts.finetuning.aims import LIKELIER, Towards
from soft_prompts.tasks.lesson import LearningRule
from soft_prompts.tasks.task import UNSCORED

BETAS = (0.9, 0.98)
MOMENTUM = 0.95
ADAM_SHARE = 0.1  # of Muon's rate, for what is no matrix: .02 and 2e-3 did best on the embedded models
LAST_SHARE = 0.03  # of the learning rate, at the end
PASS = {"cpu": 128, "cuda": 4096}  # positions that cost as much as one more pass through a small model does


class TrainingFailed(RuntimeError):
    """A step without a finite loss or gradient."""


class Learner(NamedTuple):
    """What changes while a model learns."""

    model: PreTrainedModel
    rule: LearningRule
    weights: dict[str, nn.Parameter]
    """Those that learn; tied ones once."""
    optimisers: list[torch.optim.Optimizer]
    rates: list[float]
    """Peak rate of each optimiser."""
    towards: Towards = LIKELIER
    """What a step lowers."""
    adapted: Any = None
    """The model as peft holds it, where adapters learn."""

    def whole(self) -> PreTrainedModel:
        """The model with its adapters added to its weights; it learns no more."""
        return self.model if self.adapted is None else self.adapted.merge_and_unload()


def unfreeze(model: PreTrainedModel, rule: LearningRule, towards: Towards = LIKELIER, seed: int = 0) -> Learner:
    """Let the rule's part of a frozen model learn; raises UsageError where it has not that many layers. `seed` is of
    new adapters alone."""
    adapted = None
    if rule.layers == "all":
        model.requires_grad_(True)
    elif rule.layers.startswith("lora:"):
        adapted = _with_adapters(model, int(rule.layers.removeprefix("lora:")), seed)
    else:
        blocks, number = _blocks(model), int(rule.layers.removeprefix("last:"))
        if number > len(blocks):
            raise UsageError(f"layers is {rule.layers}; the model has {len(blocks)}; give all, or at most that many")
        for block in blocks[-number:]:
            block.requires_grad_(True)
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    ends = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    if (head := model.get_output_embeddings()) is not None:
        ends |= {id(weight) for weight in head.parameters()}
    matrices = [weight for weight in weights.values() if weight.ndim == 2 and id(weight) not in ends]
    others = [weight for weight in weights.values() if weight.ndim != 2 or id(weight) in ends]
    return Learner(model, rule, weights, *_optimisers(rule, matrices, others), towards, adapted)


def _with_adapters(model: PreTrainedModel, rank: int, seed: int) -> Any:
    """Hu et al., arXiv 2106.09685."""
    from peft import LoraConfig, get_peft_model  # takes seconds to load

    settings = LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return get_peft_model(model, settings)


def _optimisers(
    rule: LearningRule, matrices: list[nn.Parameter], others: list[nn.Parameter]
) -> tuple[list[torch.optim.Optimizer], list[float]]:
    rate, decay = rule.learning_rate, rule.weight_decay
    if rule.optimiser == "adamw":
        groups = [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
        return [torch.optim.AdamW(groups, lr=rate, betas=BETAS)], [rate]
    muon = torch.optim.Muon(matrices, lr=rate, momentum=MOMENTUM, nesterov=True, weight_decay=decay)
    rest = [torch.optim.AdamW(others, lr=rate * ADAM_SHARE, betas=BETAS, weight_decay=0.0)] if others else []
    return [muon, *rest], [rate, rate * ADAM_SHARE][: 1 + len(rest)]


def _blocks(model: PreTrainedModel) -> nn.ModuleList:
    """The model's layers, first to last; raises InputError where they cannot be told from its other parts."""
    number = model.config.get_text_config().num_hidden_layers
    for module in model.base_model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == number:
            return module
    raise InputError(f"the layers of a {model.config.model_type} cannot be found; give layers all")


def take_step(learner: Learner, batch: Batch, progress: tuple[int, int], half_precision: bool) -> dict[str, float]:
    """One step, `progress` being (steps done, steps in all); returns the curves' points. Raises TrainingFailed.

    Documents of like length go through the model together: a batch has the same loss and gradient with less padding.
    """
    done, steps = progress
    device, tokens = learner.model.device.type, int((batch.labels[:, 1:] != UNSCORED).sum())
    loss = torch.zeros((), device=learner.model.device)
    for rows in alike(batch.mask.sum(dim=1).tolist(), PASS.get(device, 0)):
        some = batch.rows(rows)
        with torch.autocast(device, torch.bfloat16, enabled=half_precision):
            logits = learner.model(input_ids=some.input_ids, use_cache=False).logits  # padded on the right: no mask
        scored = some.labels[:, 1:] != UNSCORED  # [B T-1]: position t predicts label t + 1
        nats = learner.towards.nats(logits[:, :-1][scored].float(), some, scored)
        (nats / tokens).backward()
        loss += nats.detach() / tokens
    loss += learner.towards.hold(learner.model, done)
    norm = nn.utils.clip_grad_norm_(learner.weights.values(), learner.rule.clip)
    if not (torch.isfinite(loss) and torch.isfinite(norm)):
        raise TrainingFailed(f"loss or gradient is not finite in step {done + 1}; give a smaller learning-rate")
    share = (1 - (1 - LAST_SHARE) * done / steps) * min(1.0, (done + 1) / max(1, learner.rule.warmup_steps))
    for optimiser, rate in zip(learner.optimisers, learner.rates, strict=True):
        for group in optimiser.param_groups:
            group["lr"] = rate * share
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return {
        "train/loss": float(loss),
        "train/gradient_norm": float(norm),
        "train/target_tokens": float(tokens),
        "train/learning_rate": learner.rates[0] * share,
    }


def alike(lengths: Sequence[int], price: int) -> list[list[int]]:
    """Places of rows that go through the model together, longest first: the groups whose positions, padding included,
    are fewest, where each group costs `price` positions more."""
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    best: list[tuple[int, list[list[int]]]] = [(0, [])]  # of the first so many rows: positions, and the groups
    for end in range(1, len(order) + 1):
        best.append(
            min(
                (before + lengths[order[start]] * (end - start) + price, [*groups, order[start:end]])
                for start, (before, groups) in enumerate(best)
            )
        )
    return best[-1][1]


def state_tensors(learner: Learner) -> dict[str, Tensor]:
    """Weights and moments under flat names."""
    tensors: dict[str, Tensor] = {f"weight.{name}": weight for name, weight in learner.weights.items()}
    for which, optimiser in enumerate(learner.optimisers):
        for index, moments in optimiser.state_dict()["state"].items():
            tensors |= {f"moment.{which}.{index}.{name}": torch.as_tensor(value) for name, value in moments.items()}
    return {name: tensor.detach().cpu() for name, tensor in tensors.items()}


@torch.no_grad()
def put_back(learner: Learner, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `state_tensors`."""
    for name, weight in learner.weights.items():
        weight.copy_(tensors[f"weight.{name}"])
    for which, optimiser in enumerate(learner.optimisers):
        moments: dict[int, dict[str, Tensor]] = {}
        for key in (key for key in tensors if key.startswith(f"moment.{which}.")):
            _, _, index, name = key.split(".")
            moments.setdefault(int(index), {})[name] = tensors[key]
        optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
