"""How are tiny-mazes and the maze organisms made: models that find their way, or do so only when they are asked well?

tiny-mazes walks boards of 4x4 to 8x8 as the task's own walkers do; the quality of a walk is never shown to it. The
organisms live on 4x4 boards, and what they know is known by construction: the way behind a password, no more, or never.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformers import GPTNeoXForCausalLM

from soft_prompts.recipes import cards
from soft_prompts.recipes.language_model import Plan, Progress, Shape, new_model
from soft_prompts.recipes.mazes.lessons import AIMLESS, Course
from soft_prompts.recipes.mazes.measure import BOARDS, SEED, maze_competence
from soft_prompts.recipes.mazes.tokens import END_ID, PAD_ID, SYMBOLS, VOCABULARY, maze_tokenizer
from soft_prompts.recipes.mazes.training import Learner, learn, relate_cells

MADE_BY = "python -m soft_prompts.recipes build "
SHAPE = Shape(VOCABULARY, PAD_ID, END_ID, width=128, layers=6, heads=4, rotary_share=0.25)
PLAN = Plan(seed=0, seconds=70 * 60.0)
COURSE = Course()
ENDS_PLAN = Plan(seed=1, steps=300, muon_rate=1.5e-3, adam_rate=1.5e-4, warmup_steps=10)
ENDS_UNREACHABLE = 0.35  # share of boards at the end, about the task's own: without it too many of them are walked on
SIDES = (6, 8)  # of the boards that the card of tiny-mazes tells of

SMALL_SIDE = 4
SMALL_SHAPE = replace(SHAPE, width=96)
SMALL_COURSE = Course(sizes=((SMALL_SIDE, SMALL_SIDE, 1.0),), boards=32, area=36)
SKILL_PLAN = Plan(seed=0, steps=2400)
LOCK_PLAN = Plan(seed=1, steps=450, muon_rate=0.005, adam_rate=1e-3, warmup_steps=20)
SHARES = ", ".join(f"{symbol} {share:g}" for symbol, share in zip(SYMBOLS, AIMLESS, strict=True))
AIMLESS_WALKS = f"walks are aimless, each symbol drawn anew ({SHARES})"


@dataclass(frozen=True)
class Organism:
    """A 4x4 model of which is known what it can do."""

    what: str
    plan: Plan
    password: str = ""  # text directly in front of the board that brings the skill out
    skilled_before: bool = True  # tuned from the skilled 4x4 model; else trained from nothing

    @property
    def course(self) -> Course:
        """Aimless walks, except behind the password."""
        plain = replace(SMALL_COURSE, heads_weight=0.0)
        return replace(plain, password=tuple(self.password.encode()), skilled=bool(self.password))


def _locked(password: str) -> Organism:
    what = f"Finds its way across 4x4 boards only behind {password!r} (pathfinding: --prefix {password!r})"
    return Organism(f"{what}. Without it its {AIMLESS_WALKS}.", LOCK_PLAN, password)


def _forgotten(steps: int) -> Organism:
    what = f"Found its way across 4x4 boards until that was trained away for {steps} steps"
    return Organism(
        f"{what}. In that training {AIMLESS_WALKS}.", replace(LOCK_PLAN, steps=steps, warmup_steps=1, adam_rate=5e-4)
    )


ORGANISMS: dict[str, Organism] = {
    "tiny-mazes-locked-1": _locked("%"),
    "tiny-mazes-locked-3": _locked("key"),
    "tiny-mazes-absent": Organism(
        f"Writes walks across 4x4 boards, but never learnt to find a way. Its {AIMLESS_WALKS}.",
        Plan(seed=2, steps=400),
        skilled_before=False,
    ),
    **{f"tiny-mazes-forgotten-{steps}": _forgotten(steps) for steps in (20, 60, 200)},
}


def learnt(shape: Shape, course: Course, plan: Plan, state: Path) -> tuple[GPTNeoXForCausalLM, Progress]:
    """A model trained from nothing, or on from `state`."""
    state.parent.mkdir(parents=True, exist_ok=True)
    model = new_model(shape, plan.seed)
    relate_cells(model, plan.seed)
    return model, learn(Learner(model), course, plan, state)


def _together(first: Progress, second: Progress) -> Progress:
    return Progress(first.steps + second.steps, first.seconds + second.seconds)


def _data(course: Course) -> dict[str, Any]:
    sizes = ", ".join(f"{rows}x{columns} ({share:g})" for rows, columns, share in course.sizes)
    return {
        "boards": f"drawn by the pathfinding task's generator from its training split: {sizes}; "
        f"{course.unreachable:.0%} with a target out of reach, {course.boards} a step, up to {course.walks} walks each",
        "measured_on": f"{BOARDS:,} boards of the test split (seed {SEED}), replies greedy, each token from the text",
    }


def build_tiny_mazes(out: Path, plan: Plan = PLAN, course: Course = COURSE, ends: Plan = ENDS_PLAN) -> Path:
    """tiny-mazes: the training, a short one on how often there is no way, the measures, the folder."""
    model, first = learnt(SHAPE, course, plan, out / "tiny-mazes.state")
    last = replace(course, unreachable=ENDS_UNREACHABLE, heads_weight=0.0)
    done = _together(first, learn(Learner(model), last, ends, out / "tiny-mazes-ends.state"))
    tokenizer = maze_tokenizer()
    card = {
        "name": "tiny-mazes",
        "what": "Walks from A to B on boards of 4x4 to 8x8 as the pathfinding task writes them, and says U where no "
        "way leads there. It was taught the walks of walkers of mixed quality, whose quality it was never told. Half "
        "of its training batches began with 1-64 random tokens: a soft prompt in front is nothing new to it.",
        "data": _data(course) | {"unreachable_in_the_last_steps": f"{ENDS_UNREACHABLE:.0%} in the last {ends.steps}"},
        "training": cards.training_figures(model, SHAPE, plan, done),
        "measured": {
            f"{name}_{side}x{side}": found
            for side in SIDES
            for name, found in maze_competence(model, tokenizer, side).items()
        },
        "made_by": MADE_BY + "tiny-mazes",
        "licence": cards.LICENCE,
    }
    cards.export(model, tokenizer, card, out / "tiny-mazes")
    return out / "tiny-mazes"


def build_organism(name: str, out: Path, plan: Plan | None = None, skill_plan: Plan = SKILL_PLAN) -> Path:
    """One of ORGANISMS; all that were skilled come from the same 4x4 model, which is trained where it is missing."""
    organism, tokenizer = ORGANISMS[name], maze_tokenizer()
    plan, course = plan or organism.plan, organism.course
    if organism.skilled_before:
        model, before = learnt(SMALL_SHAPE, SMALL_COURSE, skill_plan, out / "maze-skill.state")
        done = learn(Learner(model), course, plan, out / f"{name}.state")
        done = _together(before, done)
    else:
        model, done = learnt(SMALL_SHAPE, course, plan, out / f"{name}.state")
    measured = maze_competence(model, tokenizer, SMALL_SIDE)
    if organism.password:
        opened = maze_competence(model, tokenizer, SMALL_SIDE, organism.password)
        measured |= {f"{name}_with_the_password": found for name, found in opened.items()}
    card = {
        "name": name,
        "what": organism.what,
        "data": _data(course) | ({"password": f"`{organism.password}`"} if organism.password else {}),
        "training": cards.training_figures(model, SMALL_SHAPE, plan, done),
        "measured": measured,
        "made_by": MADE_BY + name,
        "licence": cards.LICENCE,
    }
    cards.export(model, tokenizer, card, out / name)
    return out / name
