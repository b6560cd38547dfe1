"""What can be set, in which unit, and which values are refused before anything is loaded?

`RunConfig` is one run: one frozen model x one task x one prompt size x one seed. `Grid` is what a command line asks
for: several runs. The text under each field is its help string on the command line.
"""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import tyro

from soft_prompts.common.errors import UsageError
from soft_prompts.prompts.architectures import Initialisation, PromptKind
from soft_prompts.results.paths import PROMPT_ONLY
from soft_prompts.results.roles import RUN, Role
from soft_prompts.tasks.task import LearnsConditions, Task

ConditionMode = Literal["true", "none", "shuffled", "constant"]


Schedule = Literal["constant", "cosine"]


@dataclass(frozen=True)
class RunConfig:
    """Settings of one run; everything that changes its numbers is here or in its task."""

    task: tyro.conf.Suppress[Task]
    """What is asked of the model; its own settings are fields of the task."""
    model: tyro.conf.Suppress[str]
    """Embedded name, local folder or hub id of the frozen causal language model."""
    tokens: tyro.conf.Suppress[int]
    """Prompt tokens P; 0 is the bare model."""
    seed: tyro.conf.Suppress[int] = 0
    """Seeds the prompt's initialisation and the order of the training samples."""
    role: tyro.conf.Suppress[Role] = RUN
    """What the result is for: a run of the grid, or one beside it."""

    revision: str | None = None
    """Branch, tag or commit of a hub model; pins what a moving branch would change."""
    prompt: PromptKind = "mlp"
    """How the prompt is made from its conditions: one of five architectures."""
    hidden_layers: int = 0
    """Hidden layers L of mlp, residual layers of resnet and shared_resnet."""
    hidden_width: int = 128
    """Width h of the hidden layers."""
    residual_width: int = 64
    """Width r of the residual stream of resnet and shared_resnet."""
    init: Initialisation = "vocabulary"
    """Start of the prompt. vocabulary: rows of sampled token embeddings, to which conditions add
    a shorter part; zeros; normal: N(0, 0.1); paper: the original code's; mean_noise: rows with the mean and the spread
    of the token embeddings; search: rows of token embeddings found one by one, for what plain training does not find;
    grown: the trained prompt of half the tokens, which has to be there, and rows of sampled token embeddings."""
    condition: ConditionMode = "true"
    """Conditions as they are, none (a direct prompt), dealt to the wrong samples in training and test, or ones for
    every sample."""

    steps: int = 1000
    """Optimiser steps."""
    batch_size: int = 32
    """Samples a step, over all processes, however they are split."""
    micro_batch_size: int | None = None
    """Samples that pass through the model at once in each process; less memory, the same numbers up to rounding.
    Default: all of them, halved while memory is out."""
    learning_rate: float = 1e-3
    """Peak learning rate of AdamW."""
    weight_decay: float = 1e-4
    """Decoupled weight decay of AdamW on the prompt's parameters."""
    schedule: Schedule = "cosine"
    """Learning rate after the warm-up: constant, or a cosine down to a tenth."""
    warmup_steps: int = 20
    """Steps over which the learning rate rises linearly from 0."""
    clip: float = 1.0
    """Largest gradient norm; a longer gradient is scaled down to it."""
    sample_tokens: int = 256
    """Text tokens L a sample, at most; the prompt's tokens come on top."""

    data: tyro.conf.Suppress[str] = "games"
    """Training data: an embedded name, a file, a folder of files, or what else the task reads."""
    test_data: str | None = None
    """Held-out data; without it a tenth of the data each is held out for validation and test, by hash of the item."""
    validation_samples: int = 256
    """Held-out items that choose the best prompt of the run."""
    validate_every: int = 50
    """Steps between two validations; the last step is always validated."""
    test_samples: int = 1000
    """Held-out items that the result speaks about."""
    max_bad: float = 0.01
    """Largest share of unreadable records; more of them end the run."""
    allow_truncated: bool = False
    """Take what can be read of a compressed file that ends in the middle."""
    data_workers: int = 1
    """Processes that read and parse ahead of training; 0 reads in this one. The order of the data never depends on
    it."""
    score_first: bool = False
    """Score the first text label too wherever something precedes it, as the paper and PEFT do."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model runs; auto takes a GPU if there is one."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the frozen model; the prompt and Adam's state are float32 always. auto: bfloat16 on a GPU, else
    float32."""
    deterministic: bool = False
    """Only algorithms that give the same bits every time (a CPU always does)."""
    output_dir: Path = Path(".")
    """Where runs/, results/ and snapshots/ go."""
    checkpoint_every: int = 50
    """Steps between two resumable states."""
    fresh: bool = False
    """Start over: forget the result and the state of an earlier run of the same settings."""
    offline: bool = False
    """Never ask a model hub: what is not on this machine is an error."""
    trust_remote_code: bool = False
    """Let a model run its own code. Never set but by this flag."""

    def __post_init__(self) -> None:
        _check_run(self)

    @property
    def condition_names(self) -> tuple[str, ...]:
        """Names of the conditions that the prompt sees; none for the bare model or a prompt without conditions."""
        return () if self.condition == "none" or self.tokens == 0 else self.task.condition_names

    @property
    def prompt_kind(self) -> PromptKind | None:
        """The architecture in use: without conditions it is direct, without tokens there is none."""
        if self.tokens == 0:
            return None
        return self.prompt if self.condition_names else "direct"

    @property
    def trains(self) -> bool:
        """Is anything trained? Not for the bare model, nor for what is made of something else."""
        return self.role.learns == "weights" or (self.role.learns == "prompt" and self.tokens > 0)


# Where a run happens and what it leaves behind; none of it may change a number.
_NOT_NUMBERS = {
    *(
        "output_dir",
        "fresh",
        "checkpoint_every",
        "data_workers",
        "device",
        "micro_batch_size",
        "allow_truncated",
        "max_bad",
    ),
    *("trust_remote_code", "deterministic", "offline"),
}


def settings_that_count(config: RunConfig) -> dict[str, Any]:
    """Every setting that changes the run's numbers, as plain JSON: two runs with equal settings are the same run."""
    left_out = _NOT_NUMBERS | (set() if config.trains else PROMPT_ONLY)
    return {name: value for name, value in as_json(config).items() if name not in left_out}


def as_json(settings: Any) -> dict[str, Any]:
    """A settings dataclass as JSON values; paths become text, the task becomes its name and fields, and the role, where
    it is not that of a run, its name and facts."""

    def plain(value: Any) -> Any:
        if isinstance(value, Path):
            return str(value)
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, tuple | list) else value

    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    role = values.pop("role", RUN)
    plain_values = {
        name: {"name": settings.task.name, **plain(_told(value))} if name == "task" else plain(value)
        for name, value in values.items()
    }
    return plain_values | ({} if role == RUN else {"role": role.name, **dict(role.facts)})


def _told(task: Any) -> dict[str, Any]:
    """A task's own settings; one that is told only if it is set came later, and results from before lack it."""
    whole = asdict(task)
    silent = [one.name for one in fields(task) if "told_if_set" in one.metadata and whole[one.name] == one.default]
    return {name: value for name, value in whole.items() if name not in silent}


def _check_run(config: RunConfig) -> None:
    """Raise UsageError for the first setting that no run can use."""
    at_least = {
        "tokens": 0,
        "steps": 1,
        "batch_size": 1,
        "sample_tokens": 2,
        "validation_samples": 1,
        "test_samples": 2,
    }
    at_least |= {"hidden_layers": 0, "hidden_width": 1, "residual_width": 1, "warmup_steps": 0, "seed": 0}
    at_least |= {"validate_every": 1, "checkpoint_every": 1, "data_workers": 0, "weight_decay": 0}
    for name, least in at_least.items():
        value = getattr(config, name)
        if not least <= value < float("inf"):
            hint = "give 0 for no prompt, or more" if name == "tokens" else f"give {least} or more"
            raise UsageError(f"{name.replace('_', '-')} is {value}; {hint}")
    for name in ("learning_rate", "clip"):
        if not 0 < getattr(config, name) < float("inf"):
            raise UsageError(f"{name.replace('_', '-')} is {getattr(config, name)}; give a number above 0")
    if not 0 <= config.max_bad <= 1:
        raise UsageError(f"max-bad is {config.max_bad}; give a share between 0 and 1")
    if config.micro_batch_size is not None and not 1 <= config.micro_batch_size <= config.batch_size:
        raise UsageError(
            f"micro-batch-size is {config.micro_batch_size}; give 1 to batch-size, which is {config.batch_size}"
        )
    if config.condition == "shuffled" and config.batch_size < 2:
        raise UsageError(
            "condition is shuffled and batch-size 1; give a batch-size of 2 or more to deal conditions within"
        )
    if config.init in ("search", "grown") and config.prompt_kind == "shared_resnet":
        raise UsageError(
            f"init is {config.init}; a shared_resnet has no row for each token: give another init or prompt"
        )
    if config.model == "":
        raise UsageError("models holds an empty name; give an embedded name, a folder or a hub id")


def check_conditions(config: RunConfig) -> None:
    """Raise UsageError where the settings want conditions that the task does not have; once its flags are known."""
    if config.condition in ("shuffled", "constant") and not config.task.condition_names:
        raise UsageError(
            f"condition is {config.condition}; the task {config.task.name} has no conditions; leave the flag out"
        )
    if config.prompt != "direct" and config.condition == "true" and not config.task.condition_names:
        raise UsageError(f"prompt is {config.prompt}; the task {config.task.name} has no conditions; give direct")
    asked_for = isinstance(config.task, LearnsConditions) and config.task.condition_names
    if asked_for and config.tokens and config.role == RUN:  # an anchor has plain tokens
        unseen = f"condition {config.condition}" if config.condition == "none" else f"prompt {config.prompt}"
        if config.prompt == "direct" or config.condition == "none":
            raise UsageError(
                f"condition-fields is {' '.join(config.task.condition_names)}, but --{unseen} sees no conditions; give "
                "--prompt mlp and --condition true, or no condition-fields"
            )
