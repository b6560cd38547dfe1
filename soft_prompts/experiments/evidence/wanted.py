"""Which results are wanted beside the runs of a subject? Each a setting of a run; none of them is made here."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from soft_prompts.common.console import say
from soft_prompts.config import RunConfig
from soft_prompts.experiments.evidence.rounding import BITS
from soft_prompts.experiments.evidence.subjects import Subject
from soft_prompts.experiments.evidence.trained_weights import FULL_RATES, LORA_RATES
from soft_prompts.prompts.kinds import UNCONDITIONAL, architecture
from soft_prompts.results import roles
from soft_prompts.training.apparatus import run_paths, snapshot_name

PLACEBO_DRAWS = 5
MOST_PLACEBO = 64  # tokens
MOST_SEARCHED = 16  # tokens of a hard prompt that is searched for
SEEDS = 3  # at the counts that the bracket rests on
MOST_STEPS = 4  # times the run's: trained weights have to reach a plateau before
PATIENCE = 4  # validations without a gain that end the training of weights
VALIDATIONS = 8  # in the run's steps, at least: what is a plateau has to be seen


def floor_runs(subject: Subject) -> list[RunConfig]:
    """Frequencies and random tokens, and the exact source where it is known: nothing of it is trained."""
    told = "bare" if subject.base.task.starts_from_bare else None
    runs = [replace(subject.bare, role=roles.Exact(told))] if subject.knows_source else []
    if subject.has_one_answer:
        say(f"{subject.base.task.name}: no_skill is left out: every label is known before the text is")
    else:
        runs.insert(0, replace(subject.bare, role=roles.NoSkill(told)))
    plain = replace(plain_run(subject.base), tokens=_placebo_tokens(subject))
    if not plain.tokens:
        return runs
    return runs + [replace(plain, seed=draw, role=roles.Placebo()) for draw in range(PLACEBO_DRAWS)]


def plain_run(config: RunConfig) -> RunConfig:
    """The run with a prompt that is tokens as they are."""
    kept = config.prompt if architecture(config.prompt).needs_conditions else UNCONDITIONAL
    return replace(config, condition="none", prompt=kept)


def _placebo_tokens(subject: Subject) -> int:
    return min(max(subject.counts, default=0), MOST_PLACEBO)


def ceiling_runs(subject: Subject, has_reference: bool) -> list[RunConfig]:
    """Adapters at three rates; none where the ceiling is known without them."""
    return [] if has_reference or subject.is_determined or subject.knows_source else lora_runs(subject)


def lora_runs(subject: Subject) -> list[RunConfig]:
    """LoRA, to its plateau."""
    return [replace(_to_plateau(subject), learning_rate=rate, role=roles.Lora()) for rate in LORA_RATES]


def full_runs(subject: Subject) -> list[RunConfig]:
    """All weights of a small model, to their plateau."""
    told = replace(_to_plateau(subject), dtype="float32", role=roles.FullFineTune())
    return [replace(told, learning_rate=rate) for rate in FULL_RATES] if subject.is_small else []


def _to_plateau(subject: Subject) -> RunConfig:
    """It ends when its validation loss falls no more; a schedule that ends by itself would hide that."""
    base = subject.base
    return replace(
        base,
        tokens=1 if base.condition_names else 0,
        init="vocabulary",
        schedule="constant",
        betas=RunConfig.betas,
        steps=MOST_STEPS * base.steps,
        patience=PATIENCE,
        validate_every=min(base.validate_every, max(1, base.steps // VALIDATIONS)),
    )


def run_at(subject: Subject, tokens: int, seed: int | None = None) -> RunConfig:
    """The run of the subject at a token count, whether the grid has it or not; with the first seed unless told."""
    return replace(subject.base, tokens=tokens, seed=subject.seeds[0] if seed is None else seed)


def seed_runs(subject: Subject, counts: Iterable[int]) -> list[RunConfig]:
    """Three seeds at each count: the grid's own, and the first others."""
    own = subject.seeds
    seeds = [*own, *(seed for seed in range(len(own) + SEEDS) if seed not in own)][: max(SEEDS, len(own))]
    return [run_at(subject, tokens, seed) for tokens in counts for seed in seeds]


def grown_from(runs: Iterable[RunConfig]) -> list[RunConfig]:
    """What has to be there before runs whose prompts grow."""
    grown = (run for run in runs if run.init == "grown" and run.tokens)
    return [replace(run, tokens=run.tokens // 2, init="vocabulary") for run in grown]


def control_runs(subject: Subject, counts: Sequence[int], controls: Sequence[roles.Role]) -> list[RunConfig]:
    """The first seed at each count, and the bare model, on each control; nothing without a count."""
    if roles.PermutedTargets() in controls and not subject.can_permute:
        say(f"{subject.base.task.name}: samples ask for the same labels: random strings stand for permuted targets")
        controls = [roles.RandomStrings(), *(one for one in controls if isinstance(one, roles.RandomWeights))]
    cells = [subject.bare, *(run_at(subject, tokens) for tokens in counts)] if counts else []
    return [replace(run, role=control) for control in controls for run in cells]


def further_anchors(subject: Subject, counts: Sequence[int]) -> list[RunConfig]:
    """Hard prompts at the counts, tokens that begin a text, and worked examples, where there is a form for them."""
    plain, told = plain_run(subject.base), "bare" if subject.base.task.starts_from_bare else None
    trained = [run for tokens in counts if is_trained(run := run_at(subject, tokens))]
    runs = [replace(plain_run(run), role=roles.HardPrompt("projection", snapshot_name(run))) for run in trained]
    searched = [tokens for tokens in counts if tokens <= MOST_SEARCHED]
    runs += [replace(plain, tokens=tokens, role=roles.HardPrompt("search")) for tokens in searched]
    if subject.has_bos and subject.counts:
        runs.append(replace(plain, tokens=_placebo_tokens(subject), seed=0, role=roles.PlaceboBos()))
    return runs + ([replace(subject.bare, role=roles.FewShot(told))] if subject.has_shots else [])


def rounded_runs(witness: RunConfig) -> list[RunConfig]:
    """A trained prompt with few bits a coordinate."""
    if not is_trained(witness):
        return []
    return [replace(witness, role=roles.Rounded(bits, snapshot_name(witness))) for bits in BITS]


def is_trained(config: RunConfig) -> bool:
    """Is there a trained prompt of this run?"""
    return config.tokens > 0 and (run_paths(config).snapshot / "prompt.json").is_file()
