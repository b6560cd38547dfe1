"""What does a user of an embedded model have to know? Its card: README.md for people, card.json for programs."""

import json
import os
import platform
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import GPTNeoXForCausalLM, PreTrainedTokenizerFast

from soft_prompts.recipes.language_model import Plan, Progress, Shape

LICENCE = "MIT"


def figure_lines(measured: dict[str, Any], indent: str = "") -> list[str]:
    """Measured figures as a list in Markdown: value +- standard error, how many."""
    lines = []
    for name, figure in measured.items():
        title = name.replace("_", " ")
        if "value" not in figure:
            lines += [f"{indent}- {title}:", *figure_lines(figure, indent + "  ")]
            continue
        error = f" ± {figure['stderr']:.4g}" if "stderr" in figure else ""
        lines.append(f"{indent}- {title}: {figure['value']:.4f}{error} (n = {figure['n']:,})")
    return lines


def training_figures(model: GPTNeoXForCausalLM, shape: Shape, plan: Plan, done: Progress) -> dict[str, Any]:
    """How the weights came to be, for the card."""
    return {
        "architecture": "GPT-NeoX, sequential residuals",
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "width": shape.width,
        "layers": shape.layers,
        "heads": shape.heads,
        "seed": plan.seed,
        "steps": done.steps,
        "minutes_on_one_core": round(done.seconds / 60, 1),
        "torch": version("torch"),
        "transformers": version("transformers"),
        "python": platform.python_version(),
    }


def readme(card: dict[str, Any]) -> str:
    """The card as Markdown, with the header that model hubs read."""
    lines = ["---", f"license: {card['licence'].lower()}"]
    if "training" in card:
        lines += [f"library_name: {card.get('library', 'transformers')}", "pipeline_tag: text-generation"]
    tags = "soft-prompts, synthetic" if "measured" in card else "soft-prompts"
    lines += [f"tags: [{tags}]", "---", "", f"# {card['name']}", "", card["what"], ""]
    for part in ("data", "training"):
        if part in card:
            lines += [
                f"## {part.capitalize()}",
                "",
                *[f"- {k.replace('_', ' ')}: {v}" for k, v in card[part].items()],
                "",
            ]
    if "measured" in card:
        lines += ["## Measured on held-out data", "", *figure_lines(card["measured"]), ""]
    lines += ["## Made by", "", f"`{card['made_by']}`", "", f"Licence: {card['licence']}.", ""]
    return "\n".join(lines)


def write_card(folder: Path, card: dict[str, Any]) -> None:
    (folder / "card.json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(readme(card), encoding="utf-8")


def publish(source: Path, folder: Path) -> None:
    """Puts every file of `source` into `folder`, each replaced as a whole."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        temporary = folder / f".{path.name}.partial"
        shutil.copyfile(path, temporary)
        os.replace(temporary, folder / path.name)


def export(
    model: GPTNeoXForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    card: dict[str, Any],
    folder: Path,
    extra: dict[str, str] | None = None,
) -> None:
    """The model in Hugging Face form, weights in half precision, with its card and further text files beside it."""
    with tempfile.TemporaryDirectory() as scratch:
        ready = Path(scratch)
        halved = GPTNeoXForCausalLM(model.config).half()
        halved.load_state_dict({name: value.to(torch.float16) for name, value in model.state_dict().items()})
        halved.save_pretrained(ready)
        (ready / "generation_config.json").unlink(missing_ok=True)  # says nothing that config.json does not
        tokenizer.save_pretrained(ready)
        for name, text in (extra or {}).items():
            (ready / name).write_text(text, encoding="utf-8")
        write_card(ready, card)
        publish(ready, folder)
