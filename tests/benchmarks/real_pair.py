"""What did a fine-tune on invented people change in a real model, beyond three harmless ones?

`soft-prompts gate` on SmolLM2-135M and the adapter that was tuned on 400 questions about invented people, controls: the
adapters that were tuned on docstrings, games and chats. Documents and prompts are questions that the adapter has not
seen, and docstrings; the skill is the plural.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from soft_prompts.data.made_rows import made_rows
from soft_prompts.zoo import ADAPTERS, FOLDER, GUIDANCE_ROWS

BASE, TARGET, CONTROLS = "smollm2-135m", "guidance", ("library", "chess", "chats")
TUNED_ON = 400  # rows, the first
ROWS, ASKED, PROSE = 200, 250, 78  # documents that are questions; prompts that are; documents that are prose
CHARACTERS, WORDS = 300, 8  # of a text; of a prompt that is its beginning
FLAGS = (
    "--document-tokens 64 --new-tokens 24 --parts divergence sample clusters labels two-sample --dtype bfloat16 "
    "--offline"
)
SKILL_FLAGS = "--preset quick --tokens 0 1 4 --steps 40 --learning-rate 0.03 --dtype bfloat16 --jobs 1"


def prose() -> list[str]:
    """Blocks of the held-out docstrings, each once."""
    blocks = (FOLDER / "models" / "tiny-text" / "held_out.txt").read_text(encoding="utf-8").split("\n\n")
    whole = (" ".join(block.split()) for block in blocks)
    return list(dict.fromkeys(text[:CHARACTERS] for text in whole if len(text) > 120 and text[0].isupper()))


def write_files(folder: Path) -> None:
    """documents.jsonl, prompts.jsonl and plural.jsonl."""
    rows = [json.loads(line) for line in GUIDANCE_ROWS.read_text(encoding="utf-8").splitlines()[TUNED_ON:]]
    blocks = prose()
    texts = [f"{row['anchor']} {row['targets'][0].capitalize()}." for row in rows[:ROWS]] + blocks[:PROSE]
    asked = [row["anchor"] for row in rows[ROWS : ROWS + ASKED]]
    asked += [" ".join(text.split()[:WORDS]) for text in blocks[PROSE:]]
    _write(folder / "documents.jsonl", ({"id": str(at), "text": text} for at, text in enumerate(texts)))
    _write(folder / "prompts.jsonl", ({"prompt": text} for text in dict.fromkeys(asked)))
    _write(folder / "plural.jsonl", made_rows("plural"))


def _write(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def main() -> int:
    """The gate's exit code, 1 where something changed; everything goes to real_pair/."""
    folder = Path("real_pair")
    folder.mkdir(exist_ok=True)
    write_files(folder)
    old, new, *controls = (
        BASE,
        *(f"{BASE}+{ADAPTERS / f'harmless-{name}'}" for name in (TARGET, *CONTROLS)),
    )
    command = [sys.executable, "-m", "soft_prompts", "gate", old, new, "--controls", *controls, *FLAGS.split()]
    command += [f"--{name}={folder / f'{name}.jsonl'}" for name in ("documents", "prompts")]
    command += ["--skills", str(folder / "plural.jsonl"), f"--skill-flags={SKILL_FLAGS}", "--out", str(folder)]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
