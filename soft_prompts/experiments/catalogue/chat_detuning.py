"""How many prompt tokens bring a chat model back to raw text, as its base model reads it?

The loss is that of the next token of raw text, per byte, of a chat model and of the model that it was tuned from, on
identical windows; the table shows how much of the gap between them each token count closes. Beside it: what both write
after questions in the chat model's template, and after raw text. With no flags: tiny-chat and tiny-text, which it was
tuned from.

Source: arXiv 2505.14943, chat detuning. It found that a part of the gap closes, and that 16 tokens do
about as well as 64.
"""

from soft_prompts.config import RunConfig
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid, variant
from soft_prompts.tasks.texts.chat_detuning import ChatDetuningTask

TASK = ChatDetuningTask(chat_template_from="tiny-chat")
DEFAULT = Grid(
    models=("tiny-chat", "tiny-text"),
    tokens=(0, 1, 4, 16, 64),
    data=("library",),
    task=TASK,
    settings=RunConfig(
        TASK,
        "tiny-chat",
        0,
        prompt="direct",
        steps=200,
        batch_size=16,
        learning_rate=1e-2,
        weight_decay=0.0,
        sample_tokens=64,
        test_samples=300,
        validation_samples=128,
    ),
    reference="tiny-text",
    jobs=2,
)
QUICK = variant(DEFAULT, tokens=(0, 4), steps=20, test_samples=100, validation_samples=32)
CHAT = "TinyLlama/TinyLlama-1.1B-Chat-v1.0"
BASE = "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T"
PAPER_TASK = ChatDetuningTask(chat_template_from=CHAT)
PAPER = Grid(
    models=(CHAT, BASE),
    tokens=(0, 1, 4, 16, 64),
    data=("togethercomputer/RedPajama-Data-V2",),
    task=PAPER_TASK,
    settings=RunConfig(
        PAPER_TASK, CHAT, 0, prompt="direct", init="normal", steps=2048, schedule="constant", warmup_steps=0
    ),
    reference=BASE,
    preset="paper",
)

EXPERIMENT = Experiment("chat_detuning", __doc__ or "", {"default": DEFAULT, "quick": QUICK, "paper": PAPER})
