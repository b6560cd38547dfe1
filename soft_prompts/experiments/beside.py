"""Which results are made beside the runs of a grid, and in which order? Anchors and codes, controls, and the battery of
the optimiser: each a run like any other, skipped where it is there already."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from soft_prompts.common.console import say
from soft_prompts.common.errors import InputError
from soft_prompts.common.launch import is_main_process
from soft_prompts.config import RunConfig
from soft_prompts.experiments.battery import battery_bases, halves, second_round, trials
from soft_prompts.experiments.evidence.anchors import shots_that_fit
from soft_prompts.experiments.evidence.controls import asks_alike
from soft_prompts.experiments.evidence.rounding import BITS
from soft_prompts.experiments.evidence.trained_weights import FULL_RATES, LORA_RATES, MOST_PARAMETERS
from soft_prompts.experiments.grid import Grid
from soft_prompts.experiments.sweep import run_all
from soft_prompts.prompts.kinds import UNCONDITIONAL, architecture
from soft_prompts.results import roles
from soft_prompts.results.files import read_result
from soft_prompts.results.schema import TimingSection
from soft_prompts.tasks.task import TaskData
from soft_prompts.training.apparatus import data_request, load_for, run_paths, snapshot_name
from soft_prompts.training.starts import SEARCH

PLACEBO_DRAWS = 5
MOST_PLACEBO = 64  # tokens
MOST_SEARCHED = 16  # tokens of a hard prompt that is searched for
FORWARD_AND_BACK = 3  # times what a pass without a gradient costs


class Made(NamedTuple):
    """What stands beside a grid's runs."""

    configs: list[RunConfig]
    failures: list[str]


class Subject(NamedTuple):
    """Runs of one model on one task and data, and what anchors have to know of them."""

    runs: list[RunConfig]
    data: TaskData
    has_bos: bool
    """Is there a token that begins a text?"""
    has_shots: bool
    """Do worked examples fit in front of a sample?"""
    is_small: bool
    """May all of the model's weights be trained?"""

    @property
    def base(self) -> RunConfig:
        """The run of the largest token count, the first of them."""
        return max(self.runs, key=lambda config: config.tokens)

    @property
    def counts(self) -> list[int]:
        """Token counts, without 0."""
        return sorted({config.tokens for config in self.runs} - {0})


def make_beside(configs: Sequence[RunConfig], grid: Grid) -> Made:
    """Make what the grid asks for beside its finished runs."""
    made, prompted = Made([], []), [config for config in configs if config.tokens]
    if not prompted:
        if grid.anchors or grid.controls or grid.battery:
            say("no run has a prompt: there is nothing to anchor, to control or to try again")
        return made
    if grid.anchors or grid.controls:
        subjects = [_open(runs) for runs in _subjects(configs)]
        if grid.anchors:
            _make("anchors", [run for one in subjects for run in anchor_runs(one)], configs, grid, made)
        if grid.controls:
            _make("controls", [run for one in subjects for run in control_runs(one)], configs, grid, made)
    if grid.battery:
        bases = battery_bases(prompted)
        _make("battery, starts", [run for base in bases for run in halves(base, configs)], configs, grid, made)
        tried = {base: trials(base, configs) for base in bases}
        _make("battery, trials", [run for runs in tried.values() for run in runs], configs, grid, made)
        again = [run for base, runs in tried.items() for run in second_round(base, runs, configs)]
        _make("battery, the best again", again, configs, grid, made)
    return made


def anchor_runs(subject: Subject) -> list[RunConfig]:
    """Every anchor that the task, the model and the tokenizer have a form for, and the rounded prompts."""
    base, ends = subject.base, sorted({1, min(max(subject.counts), MOST_PLACEBO)})
    bare = replace(base, tokens=0, seed=0)
    plain = _plain(base)
    runs = [replace(bare, role=role) for role in _untrained(subject)]
    runs += [
        replace(plain, tokens=tokens, seed=draw, role=roles.Placebo())
        for tokens in ends
        for draw in range(PLACEBO_DRAWS)
    ]
    if subject.has_bos:
        runs += [replace(plain, tokens=tokens, seed=0, role=roles.PlaceboBos()) for tokens in ends]
    trained = list({(run.tokens, run.seed): run for run in reversed(subject.runs) if _is_trained(run)}.values())
    runs += [replace(_plain(run), role=roles.HardPrompt("projection", snapshot_name(run))) for run in trained]
    searched = roles.HardPrompt("search")
    runs += [replace(plain, tokens=tokens, role=searched) for tokens in subject.counts if tokens <= MOST_SEARCHED]
    runs += _upper(subject)
    runs += [
        replace(run, role=roles.Rounded(bits, snapshot_name(run)))
        for run in subject.runs
        for bits in BITS
        if _is_trained(run)
    ]
    return runs


def _plain(config: RunConfig) -> RunConfig:
    """The run with a prompt that is tokens as they are."""
    kept = config.prompt if architecture(config.prompt).needs_conditions else UNCONDITIONAL
    return replace(config, condition="none", prompt=kept)


def _untrained(subject: Subject) -> list[roles.Untrained]:
    """Anchors of 0 tokens."""
    data, base, kinds = subject.data, subject.base, list[type[roles.Untrained]]()
    source = data.exact_test_nats()
    if asks_alike(data):
        say(f"{base.task.name}: no_skill is left out: every label is known before the text is, so frequencies know all")
    else:
        kinds.append(roles.NoSkill)
    kinds += [] if source is None else [roles.Exact]
    if subject.has_shots:
        kinds.append(roles.FewShot)
    return [kind("bare" if base.task.starts_from_bare else None) for kind in kinds]


def _upper(subject: Subject) -> list[RunConfig]:
    """LoRA at three rates, and all weights of a small model at three."""
    base = subject.base
    told = replace(base, tokens=1 if base.condition_names else 0, init="vocabulary")
    runs = [replace(told, learning_rate=rate, role=roles.Lora()) for rate in LORA_RATES]
    if subject.is_small:
        full = replace(told, dtype="float32", role=roles.FullFineTune())
        runs += [replace(full, learning_rate=rate) for rate in FULL_RATES]
    return runs


def control_runs(subject: Subject) -> list[RunConfig]:
    """Every token count and seed on each control, and the bare model too."""
    controls: list[roles.Role] = [roles.RandomStrings(), roles.RandomWeights()]
    if asks_alike(subject.data):
        say(f"{subject.base.task.name}: permuted targets are left out: samples ask for the same labels")
    else:
        controls.insert(0, roles.PermutedTargets())
    cells = {(run.tokens, run.seed): run for run in reversed(subject.runs)}
    cells.setdefault((0, 0), replace(subject.base, tokens=0, seed=0))
    return [replace(run, role=control) for control in controls for run in cells.values()]


def _subjects(configs: Sequence[RunConfig]) -> list[list[RunConfig]]:
    """Runs that differ in tokens and seed alone, those of the bare model among them."""
    groups: dict[RunConfig, list[RunConfig]] = {}
    for config in configs:
        if config.tokens:
            groups.setdefault(replace(config, tokens=1, seed=0), []).append(config)
    bare = {run_paths(config).result: config for config in configs if not config.tokens}
    for subject, runs in groups.items():
        own = bare.get(run_paths(replace(subject, tokens=0)).result)
        runs.extend([] if own is None else [own])
    return list(groups.values())


def _open(runs: list[RunConfig]) -> Subject:
    """Load the model for what has to be known of it, and let it go again."""
    frozen = load_for(runs[0])
    data = runs[0].task.open(data_request(runs[0]), frozen.tokenizer)
    return Subject(
        runs,
        data,
        has_bos=frozen.tokenizer.bos_token_id is not None,
        has_shots=shots_that_fit(frozen, data, runs[0].sample_tokens) > 0,
        is_small=sum(weight.numel() for weight in frozen.model.parameters()) < MOST_PARAMETERS,
    )


def _make(what: str, wanted: Sequence[RunConfig], runs: Sequence[RunConfig], grid: Grid, made: Made) -> None:
    """Make them, each once, having said how many there are and how long the new ones may take."""
    wanted = list({run_paths(config): config for config in wanted}.values())
    new = [config for config in wanted if config.fresh or not run_paths(config).result.is_file()]
    if is_main_process():
        seconds = sum(expected_seconds(config, runs) for config in new) / grid.jobs
        expected = f", {len(new)} of them new: about {seconds:.0f} s" if new else ", all there already"
        say(f"{what}: {len(wanted)} results beside the runs{expected}")
    made.configs.extend(wanted)
    made.failures.extend(run_all(wanted, grid.jobs, grid.together))


def expected_seconds(config: RunConfig, runs: Sequence[RunConfig]) -> float:
    """What a result may take, by the grid's run of this model whose token count is nearest: training by its steps, the
    rest as it is."""
    alike = [run for run in runs if (run.model, run.task) == (config.model, config.task)] or list(runs)
    searched = _searched(config)
    works = config.trains or searched > 0
    timings = {run: timing for run in alike if (timing := _timing(run)) is not None}
    if not timings:
        return 0.0
    nearest = min(timings, key=lambda run: (run.trains != works, abs(run.tokens - config.tokens)))
    timing = timings[nearest]
    took = timing.wall_seconds or 0.0
    if not works or not nearest.trains:
        return took
    trained = took if timing.training_seconds is None else timing.training_seconds
    steps = config.steps * config.trains + searched / (FORWARD_AND_BACK * nearest.batch_size)
    return trained * steps / nearest.steps + max(0.0, took - trained)


def _timing(config: RunConfig) -> TimingSection | None:
    try:
        return read_result(run_paths(config).result).timing
    except InputError:  # it is named elsewhere
        return None


def _searched(config: RunConfig) -> int:
    """Samples that a search passes through the model, about."""
    if config.init != "search" and config.role != roles.HardPrompt("search"):
        return 0
    return SEARCH.steps(config.tokens) * SEARCH.items * (SEARCH.by_gradient + SEARCH.at_random)


def _is_trained(config: RunConfig) -> bool:
    return config.tokens > 0 and (run_paths(config).snapshot / "prompt.json").is_file()
