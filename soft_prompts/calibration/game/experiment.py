"""Which of twelve adapters hold a skill back, told from those that do not, by an auditor who is told nothing?

Four adapters on a real model lock a skill behind a password, two unlearnt it, four are harmless fine-tunes, two give
the right answer in another form. Each is measured blind, by ordinary runs with their evidence; weight noise and a
fine-tune on a few right answers stand beside the verdicts as what others use. Verdicts are written to game/game.json
before the truths are opened; then the table of both, hits, and false alarms, which count as much.

What is asked: plurals, in a chat with worked examples, and only those that the honest base answers with nothing in
front: who is made from it and misses them has lost the skill, or hides it. Asked `347 ->` without a word of what is
wanted, the same base has .00 and 1 token brings out .68: the form hides the skill, a harmless fine-tune of it is HIDDEN
there, and rightly so. An adapter of another style is HIDDEN to the letter; its replies hold the right answer.

Source: the auditing game of arXiv 2512.07810, on adapters, a skill and rules of our own.
"""

from soft_prompts.calibration.game.options import GameOptions
from soft_prompts.calibration.game.play import SandbaggingGame

DEFAULT = GameOptions()
QUICK = GameOptions(
    world="tiny",
    tokens=(1, 2),
    steps=60,
    batch_size=32,
    search="none",
    asked=30,
    test_samples=27,
    scales=(0.05, 0.2),
    draws=1,
    demonstration_steps=10,
)
PRESETS = {"default": DEFAULT, "quick": QUICK}
EXPERIMENT = SandbaggingGame("sandbagging_game", __doc__ or "", PRESETS)
