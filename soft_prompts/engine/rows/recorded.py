"""How is a GPU kept busy? What comes in the same form again is recorded once, and replayed without the CPU.

A small model's step is thousands of launches, and the GPU waits for most of them. CUDA graphs, by torch's own
`make_graphed_callables`; what cannot be recorded, or says something else when replayed, is computed as ever.
"""

import gc
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from soft_prompts.common.console import say
from soft_prompts.models.packed import NotPacked

MOST = 32  # forms of one model: each keeps inputs and outputs, and all share the memory between them
OFTEN = 2  # the time at which a form is recorded, which takes as long as four steps
MORE_WORK = 1.05  # as many positions as without filling and with all sharing
LAUNCHES = 1e11  # positions times weights: what a GPU multiplies while a layer is launched; an H100 in bfloat16, 1 ms
SAME = 1e-2  # nats of replay and computation, relative and absolute: the same kernels, sums in another order
SAME_SLOPE = 0.05  # of the gradient's length
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")  # of models that choose by what they read
CHANGING = ("dynamic", "longrope")  # rotary embeddings that do

Answers = Tensor | tuple[Tensor, ...]
Compute = Callable[..., Answers]
Inputs = tuple[Tensor, ...]


class Recordings:
    """What is recorded of one model."""

    def __init__(self, model: nn.Module) -> None:
        self.weights = list(model.parameters())
        self.places = self.where()
        self.seen, self.made = Counter[Hashable](), OrderedDict[Hashable, Compute]()
        self.pool: Any = torch.cuda.graph_pool_handle()
        self.usable = True
        self.turn = 0
        """Counts replays."""

    def where(self) -> list[int]:
        """Addresses of the weights, which a recording reads."""
        return [weight.data_ptr() for weight in self.weights]

    def wants(self, form: Hashable) -> bool:
        """Is it time to record this one?"""
        self.seen[form] += 1
        return self.usable and self.seen[form] >= OFTEN

    def record(self, form: Hashable, compute: Compute, inputs: Inputs) -> None:
        """Keep a recording, unless it says something else than `compute`; raises NotPacked as that does."""
        own = tuple(
            torch.zeros_like(one).requires_grad_(one.requires_grad) for one in inputs
        )  # none of `inputs`' values
        stream = torch.cuda.current_stream() if inputs[0].is_cuda else None
        try:
            made: Any = torch.cuda.make_graphed_callables(compute, own, pool=self.pool)
            same = _same(_said(made, inputs), _said(compute, inputs))
        except NotPacked:
            raise
        except RuntimeError as error:
            if stream is not None:
                torch.cuda.set_stream(stream)  # a capture that fails leaves its own
            self.give_up(str(error).splitlines()[0])
            return
        if same is None:  # a loss that is no number says nothing of the recording
            self.seen[form] = 0
        elif same:
            self.made[form] = made
            while len(self.made) > MOST:
                self.made.popitem(last=False)  # the one that has not come for the longest time
        else:
            self.give_up("a replay said something else")

    def give_up(self, why: str) -> None:
        """Compute everything from now on."""
        if self.usable:
            say(f"engine: steps are not recorded any more ({why[:100]})")
        self.usable = False
        self.made.clear()
        _free()


_of: WeakKeyDictionary[nn.Module, Recordings] = WeakKeyDictionary()


def recorded(model: nn.Module, form: Hashable, compute: Compute, inputs: Inputs) -> Answers:
    """`compute(*inputs)`, replayed where the form is known.

    What `compute` does may depend on the form alone beside its inputs, and it must not wait for the GPU. The backward
    of a replay has to come before the next replay: later it raises RuntimeError.
    """
    kept = _of.get(model)
    if kept is None or kept.places != kept.where():
        kept = _of[model] = Recordings(model)
    form = (form, torch.is_grad_enabled(), tuple((one.shape, one.dtype, one.requires_grad) for one in inputs))
    if form not in kept.made and kept.wants(form):
        kept.record(form, compute, inputs)
    if form not in kept.made:
        return compute(*inputs)
    kept.made.move_to_end(form)
    kept.turn += 1
    # A product, because the gradient that a recording hands back is overwritten by its next replay, and a parameter
    # may take what it is handed as its own. The answers are overwritten too.
    answers = kept.made[form](*(one * 1.0 if one.requires_grad else one for one in inputs))
    if not isinstance(answers, Tensor):
        return tuple(one.clone() for one in answers)
    answers = answers.clone()
    if answers.requires_grad:
        answers.register_hook(_only_now(kept, kept.turn))
    return answers


def _only_now(kept: Recordings, turn: int) -> Callable[[Tensor], None]:
    """A replay's backward reads what only its own forward left."""

    def check(_: Tensor) -> None:
        if kept.turn != turn:
            raise RuntimeError("another batch went through the model since; call backward before the next batch, once")
        kept.turn += 1

    return check


def is_usable(model: nn.Module) -> bool:
    """Has nothing gone wrong with recordings of this model?"""
    return model not in _of or _of[model].usable


def give_up() -> bool:
    """Where memory is out: let all recordings go, for good; False where there were none."""
    some = [kept for kept in _of.values() if kept.made]
    for kept in some:
        kept.give_up("memory is out")
    return bool(some)


def forget() -> None:
    """Give back what recordings hold; what comes again is recorded again."""
    if _of:
        _of.clear()
        _free()


def _free() -> None:
    gc.collect()  # a graph's functions refer to one another
    torch.cuda.empty_cache()


def is_worth(model: PreTrainedModel, positions: int, work: float) -> bool:
    """Is a form that many batches have sooner done than each batch in its own, which has `work` positions to do?"""
    return positions <= MORE_WORK * work or positions * _of_a_layer(model) <= LAUNCHES


def _of_a_layer(model: PreTrainedModel) -> float:
    """Weights."""
    kept = _of.get(model)
    weights = model.parameters() if kept is None else kept.weights
    return sum(weight.numel() for weight in weights) / getattr(model.config.get_text_config(), "num_hidden_layers", 1)


def does_the_same(config: PreTrainedConfig) -> bool:
    """Does a model take the same steps whatever it reads? Not where experts are chosen or rotary embeddings grow."""
    text = config.get_text_config()
    rotary = getattr(text, "rope_parameters", None) or getattr(text, "rope_scaling", None) or {}
    kinds = {one.get("rope_type", one.get("type")) for one in (rotary, *rotary.values()) if isinstance(one, dict)}
    return not kinds & {*CHANGING} and not any(getattr(text, name, None) for name in EXPERTS)


def _said(compute: Compute, inputs: Inputs) -> tuple[Tensor, list[Tensor]]:
    """First answers, and their gradient to the inputs that have one."""
    own = [one.detach().requires_grad_(one.requires_grad) for one in inputs]
    answers = compute(*own)
    nats = answers if isinstance(answers, Tensor) else answers[0]
    wanted = [one for one in own if one.requires_grad]
    slopes = torch.autograd.grad(nats.sum(), wanted, allow_unused=True) if nats.requires_grad else ()
    return nats.detach().clone(), [slope.clone() for slope in slopes if slope is not None]


def _same(one: tuple[Tensor, list[Tensor]], other: tuple[Tensor, list[Tensor]]) -> bool | None:
    """None where either is no number."""
    (nats, slopes), (expected, expected_slopes) = one, other
    if not (nats.isfinite().all() and expected.isfinite().all()):
        return None
    near = nats.allclose(expected, rtol=SAME, atol=SAME) and len(slopes) == len(expected_slopes)
    pairs = zip(slopes, expected_slopes, strict=False)
    return near and all(bool((a - b).norm() <= SAME_SLOPE * b.norm() + 1e-6) for a, b in pairs)
