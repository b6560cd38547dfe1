"""Where do the planted models and their texts come from? Made where they are missing, by one recipe."""

from pathlib import Path
from typing import NamedTuple

from soft_prompts.behaviour.comparison.asked import Asked
from soft_prompts.behaviour.comparison.compare import ask
from soft_prompts.behaviour.comparison.family import Family
from soft_prompts.behaviour.comparison.settings import ComparisonSettings
from soft_prompts.calibration.planted import changes
from soft_prompts.calibration.planted.changes import CHANGES, CONTROL, Change
from soft_prompts.calibration.planted.options import PlantedOptions
from soft_prompts.finetuning.fine_tuning import FineTuning, fine_tune_all
from soft_prompts.tasks.lesson import LearningRule, Lesson

RATE = 5e-4
BATCH = 8
MOST_TOKENS = 128
TARGET_SEED = 100  # controls have 1, 2, ...


class World(NamedTuple):
    """Models and texts on the disk."""

    base: str
    targets: dict[str, str]
    controls: tuple[str, ...]
    """Of every change."""
    pool: tuple[str, ...]
    """Controls that false alarms are drawn from."""
    documents: Path
    prompts: Path
    folder: Path
    """Of finished steps."""

    def family(self, target: str, controls: tuple[str, ...] | None = None) -> Family:
        """A change by its name, or a model, with these controls or all of them."""
        return Family(self.base, self.targets.get(target, target), self.controls if controls is None else controls)

    def asked(self, target: str, settings: ComparisonSettings, controls: tuple[str, ...] | None = None) -> Asked:
        """A comparison whose finished steps all comparisons of this world share."""
        return ask(self.family(target, controls), self.documents, self.prompts, settings, self.folder)


def make_world(options: PlantedOptions) -> World:
    """Documents, prompts, one model a change, the controls, and more of them where false alarms are drawn."""
    every = changes.pieces(changes.source_text(options.base))[: options.most_pieces]
    learnt, compared = changes.split_pieces(every, options.seed)
    folder = options.output_dir / "planted"
    wanted = [CHANGES[name] for name in dict.fromkeys(options.changes)]
    plans = [_plan(options, change, learnt, TARGET_SEED) for change in wanted]
    count = max(options.controls, options.pool if options.draws else 0)
    plans += [_plan(options, CONTROL, learnt, seed) for seed in range(1, count + 1)]
    made = list(map(str, fine_tune_all(plans, options.jobs)))
    return World(
        options.base,
        dict(zip((change.name for change in wanted), made, strict=False)),
        tuple(made[len(wanted) :][: options.controls]),
        tuple(made[len(wanted) :]),
        changes.write_documents(folder / "documents.jsonl", compared),
        changes.write_prompts(folder / "prompts.jsonl", compared),
        folder,
    )


def _plan(options: PlantedOptions, change: Change, learnt: list[str], seed: int) -> FineTuning:
    path = options.output_dir / "planted" / f"{change.name}.jsonl"
    lesson = Lesson(
        changes.write_lesson(path, change, learnt, options.seed),
        label=f"{change.name}-{seed}",
        rule=LearningRule(learning_rate=RATE),
        completion_only=True,
        shuffled=True,
        epochs=options.epochs,
        batch_size=BATCH,
        sample_tokens=MOST_TOKENS,
        seed=seed,
    )
    return FineTuning(options.base, lesson, device="cpu", output_dir=options.output_dir)
