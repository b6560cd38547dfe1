"""Result files that a report has to bear: texts that try to run or to hide, and one curve that the paper has too."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from soft_prompts.results.files import write_result
from soft_prompts.results.schema import Generation, Metric, Result
from soft_prompts.stats.items import Items
from tests.checks.made.results import build_items, build_result

HOSTILE = (
    '<script>window.taken=1</script>]]>--><img src=x onerror="window.taken=1">\0\u202eevil\u2066 {{ 7*7 }} &amp; </pre>'
)
MODELS = {"tiny-chess": (4.1, 4.0, 3.9, 3.85), "tiny-text": (14.0, 11.0, 9.5, 9.0)}
COUNTS = (0, 1, 4, 16)
PAPER = "EleutherAI/pythia-70m-deduped"


def save(folder: Path, name: str, result: Result, items: Items | None) -> Path:
    path = folder / f"{name}.json"
    write_result(path, result, items)
    return path


def hostile_runs(folder: Path) -> Iterator[Path]:
    generator = np.random.default_rng(0)
    cells = [(tokens, seed) for tokens in COUNTS for seed in ((0, 1) if tokens else (0,))]
    for model, losses in MODELS.items():
        for tokens, seed in cells:
            noise = generator.standard_normal(60)
            values = 20 * (losses[COUNTS.index(tokens)] + 0.05 * seed) + noise - noise.mean()
            items = build_items(list(values), [20] * 60, [item // 3 for item in range(60)])
            texts = (Generation("e2e4", None, f"e7e5 at {tokens} {HOSTILE}", "e7e5"), Generation(HOSTILE, HOSTILE, "x"))
            named = {"model": f"{model} {HOSTILE}", "variant": HOSTILE, "generations": texts}
            result = build_result(tokens=tokens, seed=seed, items=items, **named)
            yield save(folder, f"{model}-{tokens}-{seed}", result, items)


def paper_runs(folder: Path) -> Iterator[Path]:
    for tokens in (0, 1, 4):
        result = build_result(model=PAPER, tokens=tokens, kind="direct", mode="none", value=1.0, variant="skip-2")
        data = dataclasses.replace(result.data, name="togethercomputer/RedPajama-Data-V2")
        metrics = {"test_loss": Metric(9.0 - tokens, 0.1, 100, "nats/token")}
        changes = {"experiment": "skip_tokens", "data": data, "metrics": metrics, "headline": "test_loss"}
        yield save(folder, f"paper-{tokens}", dataclasses.replace(result, **changes), None)
