"""What will runs cost in memory and time, by the shapes of model, prompt and samples alone?

No weight is read. Of data that are on this machine real samples are drawn, so that their lengths are the true ones.
"""

import time
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from soft_prompts.common.errors import InputError, first_line
from soft_prompts.common.machine import threads_for
from soft_prompts.config import RunConfig
from soft_prompts.experiments.estimate.counting import Work
from soft_prompts.experiments.estimate.machine import Machine, probe
from soft_prompts.experiments.estimate.passes import Passes, Samples, full_samples, passes_of, samples_of
from soft_prompts.experiments.estimate.sketch import depths, sketch
from soft_prompts.experiments.grid import Together
from soft_prompts.experiments.groups import groups
from soft_prompts.experiments.places import may_be_a_hubs
from soft_prompts.models.frozen import dtype_for, find_configuration, load_tokenizer
from soft_prompts.models.loading.quantised import bits_in
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.precision import DTYPES
from soft_prompts.models.sources.hub import OTHER_KIND
from soft_prompts.training.apparatus import data_request, find_device

READ = 1e9  # bytes a second of weights that are read, hashed and probed
STEP_SECONDS = 2e-3  # of a step, beside the model: samples, curves, states
OPENED = 1.0  # seconds of a run beside its passes: files, curves, a result
STAND_IN = "tiny-text"  # whose tokenizer writes nothing
BESIDE = 45 * 2**20  # bytes of a process beside model and passes: libraries' own, samples, curves
HOLES = 1.5  # times what passes hold at once: freed memory between what stays finds no use, on a CPU
LEARNING_HOLES = 2.0  # the same where weights learn, with small tensors of adapters between the large ones
WRITTEN_HOLES = 1.7  # of texts alone
WRITTEN_ANEW = 0.55  # of the room for texts behind a training: so much finds no room among its holes
# These five are of tests/benchmarks/cost_estimate.py.


class Estimate(NamedTuple):
    """What a group of runs needs."""

    configs: tuple[RunConfig, ...]
    weights_bytes: float
    passes_bytes: float
    """What passes hold at once at most, optimiser and prompt included."""
    seconds: float
    step_seconds: float
    """Of a step of all its runs."""
    parameters: int
    bound: str | None
    """Why no samples were at hand, so that the longest were taken."""

    @property
    def bytes(self) -> float:
        """Above what a process holds that has loaded torch and this package."""
        return self.weights_bytes + self.passes_bytes


class Opened(NamedTuple):
    """A task's data for one tokenizer."""

    samples: Samples
    seconds: float
    bound: str | None = None
    """As `Estimate.bound`."""


def estimates(configs: Sequence[RunConfig], together: Together = "auto", jobs: int = 1) -> list[Estimate]:
    """One a group of runs; raises InputError for a model whose configuration is not to be had, or that cannot be
    sketched."""
    opened = dict[Hashable, Opened]()
    found = list[Estimate]()
    for places in groups(configs, together, jobs):
        some = sorted((configs[place] for place in places), key=lambda config: config.tokens)
        key = (some[-1].model, some[-1].task, data_request(some[-1]), some[-1].condition_names)
        if key not in opened:
            opened[key] = _open(some[-1])
        found.append(estimate(some, opened[key], jobs))
    return found


def estimate(configs: Sequence[RunConfig], opened: Opened | None = None, jobs: int = 1) -> Estimate:
    """Of runs that go together, in the order of their tokens, in one of so many processes side by side."""
    last = configs[-1]
    opened = opened or _open(last)
    device = find_device(last.device)
    dtype = dtype_for(last.model, last.dtype, device)
    machine = probe(device.type, dtype, threads_for(jobs))
    configuration = find_configuration(last.model, last.revision, last.offline, last.trust_remote_code)
    tokenizer = load_tokenizer(STAND_IN) if opened.bound else _tokenizer(last)
    own = configuration.get_text_config().num_hidden_layers
    try:
        drafts = [sketch(configuration, layers, tokenizer, device.type, dtype) for layers in depths(configuration)]
        some = _passes(configs, opened.samples, [draft.frozen for draft in drafts], machine)
    except Exception as error:  # whatever a model's own code does that needs numbers
        why = OTHER_KIND if "for this kind of AutoModel" in str(error) else first_line(error)
        raise InputError(f"model {last.model!r} cannot be sketched without its weights: {why}") from error
    few = [draft.layers for draft in drafts]
    parameters = round(at_depth(few, [draft.parameters for draft in drafts], own))
    weights = float(parameters * DTYPES[dtype].itemsize)
    if (bits := bits_in(configuration)) is not None:
        weights -= at_depth(few, [draft.linear for draft in drafts], own) * (DTYPES[dtype].itemsize - bits / 8)
    passes = Passes(*(_work_at(few, works, own) for works in zip(*some, strict=True)))
    return _added_up(configs, passes, opened, (parameters, weights), machine.device == "cpu")


def _passes(
    configs: Sequence[RunConfig], samples: Samples, drafts: Sequence[FrozenModel], machine: Machine
) -> list[Passes]:
    """On the fast roads, or, where a model cannot go them, sample by sample: what its probes would find."""
    try:
        return [passes_of(configs, samples, draft, machine) for draft in drafts]
    except Exception:
        plain = [replace(draft, packs=False, caches=False, head=None) for draft in drafts]
        return [passes_of(configs, samples, draft, machine) for draft in plain]


def passes_bytes(passes: Passes, on_cpu: bool, learns: bool = False) -> float:
    """What a process grows by, at most, beside the weights: what is held at once, and on a CPU the holes in it."""
    *fitted, written = (one.peak_bytes for one in passes)
    if not on_cpu:
        return max(*fitted, written)
    held = (LEARNING_HOLES if learns else HOLES) * max(fitted)
    return BESIDE + max(WRITTEN_HOLES * written, held + WRITTEN_ANEW * written)


def _added_up(
    configs: Sequence[RunConfig], passes: Passes, opened: Opened, model: tuple[int, float], on_cpu: bool
) -> Estimate:
    """`model`: parameters, and bytes of all."""
    count, (parameters, weights) = len(configs), model
    trained = [config for config in configs if config.trains]
    steps = max((config.steps for config in trained), default=0)
    step = passes.step.seconds + STEP_SECONDS * count
    of_each = (
        OPENED
        + opened.seconds
        + steps / configs[0].validate_every * passes.validation.seconds
        + passes.search.seconds
        + passes.measured.seconds
        + passes.written.seconds
    )
    return Estimate(
        configs=tuple(configs),
        weights_bytes=weights * (1 + (configs[0].role.learns == "weights")),
        passes_bytes=passes_bytes(passes, on_cpu, configs[0].role.learns == "weights"),
        seconds=weights / READ + passes.load.seconds + steps * step + count * of_each,
        step_seconds=step,
        parameters=parameters,
        bound=opened.bound,
    )


def _open(config: RunConfig) -> Opened:
    """The samples of a run's data, or, where tokenizer or a hub's data are not on this machine, the longest there can
    be; raises InputError for data that are nowhere."""
    began = time.process_time()  # others may use the machine too
    request = data_request(config)._replace(workers=0)
    try:
        tokenizer = _tokenizer(config)
    except InputError as error:
        return Opened(full_samples(config), 0.0, str(error))
    try:
        data = config.task.open(request, tokenizer)
    except InputError as error:
        if not any(may_be_a_hubs(name) and str(name) in str(error) for name in (config.data, config.test_data)):
            raise
        return Opened(full_samples(config), 0.0, str(error))
    return Opened(samples_of(config, data), time.process_time() - began)


def _tokenizer(config: RunConfig) -> Any:
    return load_tokenizer(config.model, config.revision, config.offline, config.trust_remote_code)


def at_depth(few: Sequence[int], values: Sequence[int | float], layers: int) -> float:
    """On the line through two depths."""
    if len(few) == 1:
        return float(values[0])
    return values[0] + (values[1] - values[0]) / (few[1] - few[0]) * (layers - few[0])


def _work_at(few: Sequence[int], works: Sequence[Work], layers: int) -> Work:
    return Work(*(at_depth(few, values, layers) for values in zip(*works, strict=True)))
