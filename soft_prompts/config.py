"""What can be set, in which unit, and which values are refused before anything is loaded?

`RunConfig` is one run: one frozen model x one task x one prompt size x one seed. The text under each field is its help
string on the command line.
"""

from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tyro

from soft_prompts.common.errors import UsageError
from soft_prompts.common.settings import Bounds, check_settings, marks, names_that_change, setting, untold
from soft_prompts.common.urls import as_typed, on_disk
from soft_prompts.models.loading.spread import Parallel, Spread
from soft_prompts.prompts.kinds import FROM_ROWS, PROMPTS, UNCONDITIONAL, Initialisation, architecture
from soft_prompts.results.roles import RUN, Role
from soft_prompts.tasks.task import Task

ConditionMode = Literal["true", "none", "shuffled", "constant"]
Precision = Literal["auto", "float32", "bfloat16", "fastest"]
Schedule = Literal["constant", "cosine"]
SHORT_MEMORY = (0.5, 0.5)
"""Adam's `betas` for a prompt, whose gradients shrink fast: what it sees now counts, not what the first steps saw."""


def _architectures() -> Any:
    """What --prompt takes; asked when a command line is read, so that architectures of one's own are among them."""
    return Literal[tuple(PROMPTS)]  # pyright: ignore[reportInvalidTypeForm]


def _default(label: str) -> str:
    """tyro shows the default of what is asked late as a list of words."""
    word = label.strip("[']")
    return f"(default: {word})"


@dataclass(frozen=True)
class RunConfig:
    """Settings of one run; everything that changes its numbers is here or in its task.

    Each says at its definition what it changes: "all" numbers, those of runs that train ("prompts"), or "nothing":
    where a run happens and what it leaves behind.
    """

    task: tyro.conf.Suppress[Task] = field(metadata=marks("all"))
    """What is asked of the model; its own settings are fields of the task."""
    model: tyro.conf.Suppress[str] = field(metadata=marks("all"))
    """Embedded name, local folder or hub id of the frozen causal language model."""
    tokens: tyro.conf.Suppress[int] = field(metadata=marks("all", Bounds(least=0, hint="0 for no prompt, or more")))
    """Prompt tokens P; 0 is the bare model."""
    seed: tyro.conf.Suppress[int] = setting(0, "prompts", Bounds(least=0))
    """Seeds the prompt's initialisation and the order of the training samples."""
    role: tyro.conf.Suppress[Role] = setting(RUN, "all")
    """What the result is for: a run of the grid, or one beside it."""
    reference: tyro.conf.Suppress[str | None] = setting(None, "nothing")
    """The model that this one is compared with, whose losses and outcomes are its ceiling."""

    revision: str | None = setting(None, "all")
    """Branch, tag or commit of a hub model; pins what a moving branch would change."""
    prompt: Annotated[str, tyro.conf.arg(constructor_factory=_architectures, help_behavior_hint=_default)] = setting(
        "mlp", "prompts"
    )
    """How the prompt is made from its conditions: an architecture, by its name in PROMPTS."""
    hidden_layers: int = setting(0, "prompts", Bounds(least=0))
    """Hidden layers L of mlp, residual layers of resnet and shared_resnet."""
    hidden_width: int = setting(128, "prompts", Bounds(least=1))
    """Width h of the hidden layers."""
    residual_width: int = setting(64, "prompts", Bounds(least=1))
    """Width r of the residual stream of resnet and shared_resnet."""
    init: Initialisation = setting("vocabulary", "prompts")
    """Start of the prompt. vocabulary: rows of sampled token embeddings, to which conditions add
    a shorter part; zeros; normal: N(0, 0.1); paper: the original code's; mean_noise: rows with the mean and the spread
    of the token embeddings; search: rows of token embeddings found one by one, for what plain training does not find;
    grown: the trained prompt of half the tokens, which has to be there, and rows of sampled token embeddings."""
    snapshot: Path | None = setting(None, "prompts", told_if_set=True)
    """Begin as the trained prompt in this folder, in place of --init; with --steps 0 it is measured as it is. --tokens
    and --prompt have to be its own."""
    allow_mismatch: bool = setting(False, "nothing", told_if_set=True)
    """Take the snapshot although it was trained on a model with another fingerprint."""
    condition: ConditionMode = setting("true", "prompts")
    """Conditions as they are, none (a direct prompt), dealt to the wrong samples in training and test, or ones for
    every sample."""

    steps: int = setting(1000, "prompts", Bounds(least=0, hint="1 or more"))
    """Optimiser steps; 0 measures a --snapshot as it is."""
    batch_size: int = setting(32, "prompts", Bounds(least=1))
    """Samples a step, over all processes, however they are split."""
    micro_batch_size: int | None = setting(None, "nothing", Bounds(least=1))
    """Samples that pass through the model at once in each process; less memory, the same numbers up to rounding.
    Default: all of them, halved while memory is out."""
    learning_rate: float = setting(1e-3, "prompts", Bounds(above=0))
    """Peak learning rate of AdamW."""
    weight_decay: float = setting(1e-4, "prompts", Bounds(least=0))
    """Decoupled weight decay of AdamW on the prompt's parameters."""
    betas: tuple[float, float] = setting((0.9, 0.999), "prompts", Bounds(least=0, most=0.99999), told_if_set=True)
    """How much AdamW keeps of its mean gradient and mean squared gradient at a step."""
    schedule: Schedule = setting("cosine", "prompts")
    """Learning rate after the warm-up: constant, or a cosine down to a tenth."""
    warmup_steps: int = setting(20, "prompts", Bounds(least=0))
    """Steps over which the learning rate rises linearly from 0."""
    clip: float = setting(1.0, "prompts", Bounds(above=0))
    """Largest gradient norm; a longer gradient is scaled down to it."""
    sample_tokens: int = setting(256, "all", Bounds(least=2))
    """Text tokens L a sample, at most; the prompt's tokens come on top."""

    data: tyro.conf.Suppress[str] = setting("games", "all")
    """Training data: an embedded name, a file, a folder of files, or what else the task reads."""
    test_data: str | None = setting(None, "all")
    """Held-out data; without it a tenth of the data each is held out for validation and test, by hash of the item."""
    validation_samples: int = setting(256, "all", Bounds(least=1))
    """Held-out items that choose the best prompt of the run."""
    validate_every: int = setting(50, "prompts", Bounds(least=1))
    """Steps between two validations; the last step is always validated."""
    patience: int | None = setting(None, "prompts", Bounds(least=1), told_if_set=True)
    """End after so many validations in a row that are not better than the best before by a thousandth; without it
    every step is taken. Wants a constant schedule, or steps beyond need."""
    test_samples: int = setting(1000, "all", Bounds(least=2))
    """Held-out items that the result speaks about."""
    max_bad: float = setting(0.01, "nothing", Bounds(least=0, most=1, hint="a share between 0 and 1"))
    """Largest share of unreadable records; more of them end the run."""
    allow_truncated: bool = setting(False, "nothing")
    """Take what can be read of a compressed file that ends in the middle."""
    data_workers: int = setting(1, "nothing", Bounds(least=0))
    """Processes that read and parse ahead of training; 0 reads in this one. The order of the data never depends on
    it."""
    score_first: bool = setting(False, "all")
    """Score the first text label too wherever something precedes it, as the paper and PEFT do."""

    device: Literal["auto", "cpu", "cuda"] = setting("auto", "nothing")
    """Where the model runs; auto takes a GPU if there is one."""
    dtype: Precision = setting("auto", "all")
    """Precision of the frozen model; the prompt and Adam's state are float32 always. auto: bfloat16 on a GPU, else
    float32; fastest: what a probe finds faster on this machine."""
    device_map: Literal["auto"] | None = setting(None, "nothing", told_if_set=True)
    """auto: spread a model that is larger than one device over all that there are, the CPU and the disk last."""
    parallel: Parallel = setting("none", "nothing", told_if_set=True)
    """For a model larger than one device. pipeline: one process has whole layers on each of its devices, as with
    --device-map auto. In a launch of several processes fsdp: each keeps a part of every layer and takes its share of
    the samples; tensor: each computes a part of every layer, by transformers' plan. none: whole on one device. auto:
    none, where it fits."""
    max_memory: tuple[str, ...] = setting((), "nothing", told_if_set=True)
    """With --device-map or --parallel pipeline: at most so much of each device, as 0=20GiB cpu=60GiB."""
    engine: Literal["auto", "plain"] = setting("auto", "nothing")
    """auto: samples in one row without padding, what they share once, the loss without whole logits, where the model
    allows it; plain: none of that, the slow way that the fast one is checked against."""
    deterministic: bool = setting(False, "nothing")
    """Only algorithms that give the same bits every time (a CPU always does)."""
    output_dir: Path = setting(Path("."), "nothing")
    """Where runs/, results/ and snapshots/ go: a folder, or a URL (s3://bucket/x) that several machines share."""
    checkpoint_every: int = setting(50, "nothing", Bounds(least=1))
    """Steps between two resumable states."""
    fresh: bool = setting(False, "nothing")
    """Start over: forget the result and the state of an earlier run of the same settings."""
    offline: bool = setting(False, "nothing")
    """Never ask a model hub: what is not on this machine is an error."""
    trust_remote_code: bool = setting(False, "nothing")
    """Let a model run its own code. Never set but by this flag."""

    takes_urls: ClassVar = ("output_dir",)

    def __post_init__(self) -> None:
        check_settings(self)
        if is_dataclass(self.task) and isinstance(self.task, Task):
            check_settings(self.task)
        _check_run(self)

    @property
    def folder(self) -> Path:
        """Where output lies on this disk: `output_dir`, or the working copy of a URL."""
        return on_disk(self.output_dir)

    @property
    def condition_names(self) -> tuple[str, ...]:
        """Names of the conditions that the prompt sees; none for the bare model or a prompt without conditions."""
        return () if self.condition == "none" or self.tokens == 0 else self.task.condition_names

    @property
    def prompt_kind(self) -> str | None:
        """The architecture in use: direct for one that lacks the conditions it needs, none without tokens."""
        if self.tokens == 0:
            return None
        lacks_conditions = architecture(self.prompt).needs_conditions and not self.condition_names
        return UNCONDITIONAL if lacks_conditions else self.prompt

    @property
    def has_rows(self) -> bool:
        """Has each of the prompt's tokens a part of its own that no condition moves?"""
        return architecture(self.prompt_kind or UNCONDITIONAL).has_rows

    @property
    def trains(self) -> bool:
        """Is anything trained? Not for the bare model, nor for what is made of something else."""
        return self.role.learns == "weights" or (self.role.learns == "prompt" and self.tokens > 0 and self.steps > 0)

    @property
    def begins_as(self) -> Path | None:
        """Folder of the trained prompt that this one begins as; the bare model has none."""
        return self.snapshot if self.tokens and self.role == RUN else None


PROMPT_ONLY = names_that_change(RunConfig, "prompts")
"""What the bare model does not depend on: it has no prompt and takes no step."""
NOTHING = names_that_change(RunConfig, "nothing")


def settings_that_count(config: RunConfig) -> dict[str, Any]:
    """Every setting that changes the run's numbers, as plain JSON: two runs with equal settings are the same run."""
    left_out = NOTHING | (frozenset() if config.trains or config.begins_as is not None else PROMPT_ONLY)
    return {name: value for name, value in as_json(config).items() if name not in left_out}


def as_json(settings: Any) -> dict[str, Any]:
    """A settings dataclass as JSON values; paths become text, the task becomes its name and fields, and the role, where
    it is not that of a run, its name and facts."""

    def plain(value: Any) -> Any:
        if isinstance(value, Path):
            return as_typed(value)
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, tuple | list) else value

    values = {one.name: getattr(settings, one.name) for one in fields(settings) if one.name not in untold(settings)}
    role = values.pop("role", RUN)
    plain_values = {
        name: {"name": settings.task.name, **plain(_told(value))} if name == "task" else plain(value)
        for name, value in values.items()
    }
    return plain_values | ({} if role == RUN else {"role": role.name, **role.facts()})


def _told(task: Any) -> dict[str, Any]:
    """A task's own settings; one that is told only if it is set came later, and results from before lack it."""
    return {name: value for name, value in asdict(task).items() if name not in untold(task)}


def _check_run(config: RunConfig) -> None:
    """Raise UsageError for settings that do not go together."""
    if (config.micro_batch_size or 0) > config.batch_size:
        raise UsageError(
            f"micro-batch-size is {config.micro_batch_size}; give 1 to batch-size, which is {config.batch_size}"
        )
    if config.condition == "shuffled" and config.batch_size < 2:
        raise UsageError(
            "condition is shuffled and batch-size 1; give a batch-size of 2 or more to deal conditions within"
        )
    architecture(config.prompt)
    Spread(config.device_map, config.max_memory, config.parallel)
    if config.steps == 0 and config.snapshot is None:
        raise UsageError("steps is 0; give 1 or more, or the trained prompt to be measured after --snapshot")
    if config.init in FROM_ROWS and not config.has_rows:
        raise UsageError(
            f"init is {config.init}; a {config.prompt} has no row for each token: give another init or prompt"
        )
    if config.init == "grown" and config.tokens == 1 and config.trains:
        raise UsageError("init is grown and tokens 1; a prompt of one token grows from none: give 2 tokens or more")
    if config.model == "":
        raise UsageError("models holds an empty name; give an embedded name, a folder or a hub id")


def check_conditions(config: RunConfig) -> None:
    """Raise UsageError where the settings want conditions that the task does not have; once its flags are known."""
    if config.condition in ("shuffled", "constant") and not config.task.condition_names:
        raise UsageError(
            f"condition is {config.condition}; the task {config.task.name} has no conditions; leave the flag out"
        )
    wants_conditions = architecture(config.prompt).needs_conditions and config.condition == "true"
    if wants_conditions and not config.task.condition_names:
        raise UsageError(
            f"prompt is {config.prompt}; the task {config.task.name} has no conditions; give {UNCONDITIONAL}"
        )
    if config.tokens and config.role == RUN:  # an anchor has plain tokens
        _refuse_unseen_fields(config)


def _refuse_unseen_fields(config: RunConfig) -> None:
    """Conditions that a flag asks for, before a prompt that sees none."""
    sees_none = config.condition == "none" or not architecture(config.prompt).needs_conditions
    if config.task.asks_for_conditions and sees_none:
        unseen = f"condition {config.condition}" if config.condition == "none" else f"prompt {config.prompt}"
        raise UsageError(
            f"condition-fields is {' '.join(config.task.condition_names)}, but --{unseen} sees no conditions; give "
            "--prompt mlp and --condition true, or no condition-fields"
        )
