"""How does a tiny model learn to find paths in about an hour of one core?

It is taught the walker's policy rather than the moves that a walker happened to make. Heads that are thrown away
afterwards ask each token of a walk where it stands, where the target is and how far; they count less and less.
"""

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from transformers import GPTNeoXForCausalLM

from soft_prompts.data.mazes.boards import LETTERS
from soft_prompts.recipes.language_model import Plan, Progress, load_state, save_state, set_rates
from soft_prompts.recipes.mazes.lessons import HEADS, Course, Practice, practice
from soft_prompts.recipes.mazes.tokens import END_ID, FIRST_CELL, LATER, OPENING, SIDE, SYMBOLS

LOG_SECONDS = 30.0


@torch.no_grad()
def relate_cells(model: GPTNeoXForCausalLM, seed: int) -> None:
    """Starts the embedding of each cell as the sum of what stands there, its column and its row."""
    generator = torch.Generator().manual_seed(seed)
    width, spread = model.config.hidden_size, model.config.initializer_range
    letters, columns, rows = (torch.randn(n, width, generator=generator) * spread for n in (len(LETTERS), SIDE, SIDE))
    cells = (letters[:, None, None] + columns[:, None] + rows).flatten(0, 2)
    embeddings: Tensor = model.get_input_embeddings().weight  # pyright: ignore[reportAssignmentType]
    embeddings[FIRST_CELL : FIRST_CELL + len(cells)] = cells


class Lesson(NamedTuple):
    """What a step comes to."""

    loss: Tensor  # nats, of everything that is asked
    walk_nats: Tensor  # nats a symbol of a walk, the entropy of the policy included
    agreement: Tensor  # share of symbols whose most likely continuation is the policy's


class Learner(nn.Module):
    """The model and the heads that are thrown away."""

    def __init__(self, model: GPTNeoXForCausalLM) -> None:
        super().__init__()
        self.model = model
        self.heads = nn.ModuleDict({name: nn.Linear(model.config.hidden_size, size) for name, size in HEADS.items()})

    def forward(self, task: Practice, heads_weight: float, board_weight: float) -> Lesson:
        hidden = self.model.gpt_neox(
            input_ids=task.ids, attention_mask=task.mask, position_ids=task.positions, use_cache=False
        ).last_hidden_state
        to_logits = self.model.get_output_embeddings()
        states, goals = hidden[:, -task.scored.shape[1] :][task.scored], task.goals[task.scored]
        first = torch.where(task.opening[task.scored], OPENING, LATER)[:, None] + torch.arange(len(SYMBOLS))
        ids = torch.cat([first, torch.full_like(first[:, :1], END_ID)], dim=1)
        nats = to_logits(states).float().log_softmax(-1).gather(1, ids)
        loss = walk_nats = -(goals * nats).sum(1).mean()
        for name, head in self.heads.items() if heads_weight > 0 else ():
            asked = nn.functional.cross_entropy(head(states).float(), task.heads[name][task.scored])
            loss = loss + heads_weight * asked
        if board_weight > 0:
            logits = to_logits(hidden[:, task.board][:, :-1]).float()
            board = nn.functional.cross_entropy(logits.flatten(0, 1), task.ids[:, task.board][:, 1:].flatten())
            loss = loss + board_weight * board
        return Lesson(loss, walk_nats.detach(), (nats.argmax(1) == goals.argmax(1)).float().mean())


def learner_optimisers(learner: Learner, plan: Plan) -> list[torch.optim.Optimizer]:
    """Muon for the model's matrices, AdamW for all else."""
    matrices = [p for p in learner.model.gpt_neox.layers.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    others = [p for p in learner.parameters() if id(p) not in chosen]
    return [
        torch.optim.Muon(matrices, lr=plan.muon_rate, momentum=0.95, nesterov=True, weight_decay=plan.weight_decay),
        torch.optim.AdamW(others, lr=plan.adam_rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]


def learn(learner: Learner, course: Course, plan: Plan, state: Path, stop_at: int | None = None) -> Progress:
    """Trains up to the end of the budget (or step `stop_at`), going on from `state` where there is one."""
    optims = learner_optimisers(learner, plan)
    done = load_state(state, learner, optims)
    started, saved, logged = time.monotonic() - done.seconds, done.seconds, done
    notes: list[tuple[float, float]] = []
    learner.train()
    while plan.progress(done) < 1 and done.steps != stop_at:
        task = practice(plan.seed, done.steps, course)
        set_rates(optims, plan, done)
        heads_weight = course.heads_weight * max(0.0, 1 - plan.progress(done) / course.heads_until)
        with torch.autocast("cpu", torch.bfloat16, enabled=plan.half_precision):
            lesson = learner(task, heads_weight, course.board_weight)
        lesson.loss.backward()
        nn.utils.clip_grad_norm_(learner.parameters(), plan.clip)
        for optimiser in optims:
            optimiser.step()
            optimiser.zero_grad()
        notes.append((lesson.walk_nats.item(), lesson.agreement.item()))
        done = Progress(done.steps + 1, time.monotonic() - started)
        if done.seconds - logged.seconds > LOG_SECONDS:
            nats, agreement = np.mean(notes, axis=0)
            print(f"step {done.steps}  {done.seconds:.0f} s  {nats:.4f} nats, agreement {agreement:.4f}", flush=True)
            notes, logged = [], done
        if done.seconds - saved > plan.save_seconds:
            save_state(state, learner, optims, done)
            saved = done.seconds
    save_state(state, learner, optims, done)
    return done
