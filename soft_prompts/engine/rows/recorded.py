"""How is a GPU kept busy? What comes in the same form again is recorded once, and replayed without the CPU.

A small model's step is thousands of launches, and the GPU waits for most of them. CUDA graphs, by torch's own
`make_graphed_callables`; what cannot be recorded, or says something else when replayed, is computed as ever.
"""

import gc
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from soft_prompts.engine.memory import is_out_of_memory

MOST = 32  # forms of one model: each keeps inputs and outputs, and all share the memory between them
OFTEN = 2  # the time at which a form is recorded, which takes as long as four steps
MOST_FILLING = 1.5  # as many positions as without filling
LAUNCHES = 1e11  # positions times weights: what a GPU multiplies while a layer is launched; an H100 in bfloat16, 1 ms
SAME = 1e-2  # nats of replay and computation, relative and absolute: the same kernels, sums in another order

Answers = Tensor | tuple[Tensor, ...]
Compute = Callable[..., Answers]


class Recordings:
    """What is recorded of one model."""

    def __init__(self) -> None:
        self.seen, self.made = Counter[Hashable](), dict[Hashable, Compute]()
        self.pool = torch.cuda.graph_pool_handle()
        self.usable = True

    def wants(self, form: Hashable) -> bool:
        """Is it time to record this one?"""
        self.seen[form] += 1
        return self.usable and self.seen[form] >= OFTEN and len(self.made) < MOST

    def record(self, form: Hashable, compute: Compute, inputs: tuple[Tensor, ...]) -> None:
        """Keep a recording, unless it says something else than `compute`."""
        own = tuple(one.detach().clone().requires_grad_(one.requires_grad) for one in inputs)
        try:
            made: Any = torch.cuda.make_graphed_callables(compute, own, pool=self.pool)
        except RuntimeError as error:
            self.made.clear()
            if is_out_of_memory(error):
                raise
            self.usable = False
            return
        found, expected = (_first(one(*inputs)) for one in (made, compute))
        if found.detach().allclose(expected.detach(), rtol=SAME, atol=SAME):
            self.made[form] = made
        else:
            self.usable = False


_of: WeakKeyDictionary[nn.Module, Recordings] = WeakKeyDictionary()


def forget() -> None:
    """Give back what recordings hold."""
    _of.clear()
    gc.collect()
    torch.cuda.empty_cache()


def is_worth(model: PreTrainedModel, positions: int, filling: float) -> bool:
    """Is a form that many batches have, filled up as it is, sooner done than each batch in its own?"""
    layers = getattr(model.config.get_text_config(), "num_hidden_layers", 1)
    of_a_layer = sum(weight.numel() for weight in model.base_model.parameters()) / layers
    return filling <= MOST_FILLING or positions * of_a_layer <= LAUNCHES


def recorded(model: nn.Module, form: Hashable, compute: Compute, inputs: tuple[Tensor, ...]) -> Answers:
    """`compute(*inputs)`, replayed where the form is known.

    What `compute` does may depend on the form alone beside its inputs, and it must not wait for the GPU.
    """
    kept = _of.setdefault(model, Recordings())
    form = (form, torch.is_grad_enabled(), tuple((one.shape, one.dtype, one.requires_grad) for one in inputs))
    if form not in kept.made and kept.wants(form):
        kept.record(form, compute, inputs)
    if form not in kept.made:
        return compute(*inputs)
    # A product, because the gradient that a recording hands back is overwritten by its next replay, and a parameter
    # may take what it is handed as its own.
    answers = kept.made[form](*(one * 1.0 if one.requires_grad else one for one in inputs))
    return answers.clone() if isinstance(answers, Tensor) else tuple(one.clone() for one in answers)  # overwritten too


def _first(answers: Answers) -> Tensor:
    return answers if isinstance(answers, Tensor) else answers[0]
