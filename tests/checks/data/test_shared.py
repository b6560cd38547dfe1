"""Is it said, and counted right, what of the test stands word by word in training documents?"""

import itertools
import json
import random
from pathlib import Path

import pytest

from soft_prompts.data.split import HELD_OUT, split_of
from soft_prompts.data.texts.documents import document_of
from soft_prompts.data.texts.shared import RUN, shared_share
from soft_prompts.models.frozen import load_tokenizer
from soft_prompts.tasks.task import DataRequest
from soft_prompts.tasks.texts.autoregressive import AutoregressiveTask

WORDS = [f"word{number}" for number in range(200)]


def text_of(seed: int, length: int) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=length))


def test_the_share_is_that_of_a_search_for_each_run_in_each_text() -> None:
    quoted = text_of(1, 60).split()
    training = [text_of(2, 90) + "\n" + " ".join(quoted[:31]), text_of(3, 40), "too short"]
    test = [text_of(4, 20) + "\t" + "  ".join(quoted[10:50]), text_of(5, 70), "short too"]
    found, runs = 0, 0
    for text in test:
        words = text.split()
        for start in range(len(words) - RUN + 1):
            run = f" {' '.join(words[start : start + RUN])} "
            found += any(run in f" {' '.join(other.split())} " for other in training)
            runs += 1
    assert found == 31 - 10 - RUN + 1
    assert shared_share(map(document_of, test), map(document_of, training)) == found / runs
    assert shared_share([document_of("short too")], map(document_of, training)) == 0


def texts(kind: str) -> list[str]:
    """200 texts; of those that are `quoting`, each test text ends as some training text does."""
    own = [text_of(seed, 60) for seed in range(200)]
    if kind == "apart":
        return own
    ends = {number: text_of(1000 + number, 30) for number in range(2)}
    return [f"{text} {ends[number % 2]}" for number, text in enumerate(own)]


@pytest.mark.parametrize("kind", ["apart", "quoting"])
def test_a_run_says_what_of_its_test_can_be_learnt_by_heart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts(kind)))
    assert {split_of(document_of(text).identity) for text in texts(kind)} == {"train", "validation", "test"}
    AutoregressiveTask().open(DataRequest(str(path), None, 64, 8, 8), load_tokenizer("tiny-text"))
    said = capsys.readouterr().err
    share = (30 - RUN + 1) / (60 + 30 - RUN + 1)
    assert (f"{share:.0%} of the test's runs of {RUN} words" in said) == (kind == "quoting")


@pytest.mark.parametrize("apart", [False, True])
def test_a_document_in_other_white_space_is_the_same(tmp_path: Path, apart: bool) -> None:
    """One that tests trains in no other white space or case, and stands in the test once."""
    plain, other = (
        [text_of(seed, 60) for seed in range(120)],
        [f" {text_of(seed, 60)}\n".upper() for seed in range(120)],
    )
    sources = (tmp_path / "train.jsonl", tmp_path / "test.jsonl")
    for path, some in zip(sources, (plain, other) if apart else (plain + other, []), strict=True):
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in some))
    request = DataRequest(str(sources[0]), str(sources[1]) if apart else None, 64, 8, 16)
    tokenizer = load_tokenizer("tiny-text")
    data = AutoregressiveTask().open(request, tokenizer)
    held_out = [example.cluster for split in HELD_OUT for example in data.held_out(split)]
    known = {document_of(text).identity: seed % 120 for seed, text in enumerate(plain + other)}
    seeds = {known[cluster] for cluster in held_out}
    assert len(seeds) == len(set(held_out))
    trained = {known[example.cluster] for example, _ in itertools.islice(data.training(None), 600)}
    assert len(trained) > 50
    assert not seeds & trained


def test_what_is_a_copy_of_a_test_document_never_trains_and_is_not_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("train", "test"):
        (tmp_path / f"{name}.jsonl").write_text(
            "".join(json.dumps({"text": text_of(seed, 60)}) + "\n" for seed in range(40 if name == "test" else 80))
        )
    request = DataRequest(str(tmp_path / "train.jsonl"), str(tmp_path / "test.jsonl"), 64, 80, 160)
    AutoregressiveTask().open(request, load_tokenizer("tiny-text"))
    assert "runs of" not in capsys.readouterr().err
