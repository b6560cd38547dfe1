"""Do text tasks score each token of a document once, at its bytes, wherever the prompt stands?"""

import gzip
import itertools
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, processors
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.data.texts.documents import Document, document_of
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.tokenizer import encode
from soft_prompts.stats.items import Items
from soft_prompts.tasks.task import UNSCORED, DataRequest, Query
from soft_prompts.tasks.texts.autoregressive import AutoregressiveTask, future_weights, next_token_example
from soft_prompts.tasks.texts.chat_detuning import QUESTIONS, SYSTEM_MESSAGES, ChatDetuningTask, chats
from soft_prompts.tasks.texts.windows import Cutter, Window

TEXT = "def hold(öl: str) -> 'Öl':\n    return '😀' * 3  # ✓\n" * 9


@pytest.fixture
def tokenizer(one_frozen: FrozenModel) -> PreTrainedTokenizerBase:
    return one_frozen.tokenizer


def with_bos(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    changed = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())  # pyright: ignore
    changed.post_processor = processors.TemplateProcessing(single="<|end|> $A", special_tokens=[("<|end|>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=changed, bos_token="<|end|>", eos_token="<|end|>")


def write_documents(folder: Path, count: int, sentences: int = 12) -> str:
    rows = [{"text": f"document {n} says {n * n} again. " * sentences} for n in range(count)]
    (folder / "documents.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder / "documents.jsonl")


@pytest.mark.parametrize("epoch", [0, 1, 5])
@pytest.mark.parametrize("bos", [False, True])
def test_windows_cover_a_document_once_and_its_bytes_add_up(
    tokenizer: PreTrainedTokenizerBase, epoch: int, bos: bool
) -> None:
    tokenizer = with_bos(tokenizer) if bos else tokenizer
    windows = Cutter(tokenizer, 50, random_place=True).windows(document_of(TEXT), epoch)
    ids = [token for window in windows for token in window.input_ids[window.text_start :]]
    assert ids == tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    assert sum(sum(window.n_bytes) for window in windows) == len(TEXT.encode())
    assert all(window.text_start == bos and len(window.input_ids) <= 50 for window in windows)
    assert all(len(window.input_ids) == 50 for window in windows[bool(epoch) : -1])
    assert all(not any(window.n_bytes[: window.text_start]) for window in windows)


def test_later_epochs_cut_elsewhere_and_a_document_without_tokens_has_no_window(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    cutter = Cutter(tokenizer, 50, random_place=False)
    lengths = {len(cutter.windows(document_of(TEXT), epoch)[0].input_ids) for epoch in range(8)}
    assert len(lengths) > 4
    assert cutter.windows(document_of("")) == []


def test_random_places_are_pure_and_uniform(tokenizer: PreTrainedTokenizerBase) -> None:
    cutter = Cutter(tokenizer, 24, random_place=True)
    documents = [document_of(f"{number} " + "abc " * 23) for number in range(400)]

    def full(chosen: list[Document]) -> list[Window]:
        return [w for document in chosen for w in cutter.windows(document) if len(w.input_ids) == 24]

    windows = full(documents)
    assert full(documents[7:])[-20:] == windows[-20:]
    counts = Counter(window.insert_at for window in windows)
    assert set(counts) == set(range(20))
    expected = len(windows) / 20
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < 45  # 19 degrees: p < .001 beyond 43.8
    short = Cutter(tokenizer, 4, random_place=True).windows(document_of(TEXT))
    assert {window.insert_at for window in short} == {0}


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("score_first", [False, True])
def test_a_front_prompt_scores_all_but_what_nothing_precedes(
    tokenizer: PreTrainedTokenizerBase, bos: bool, score_first: bool
) -> None:
    tokenizer = with_bos(tokenizer) if bos else tokenizer
    window = Cutter(tokenizer, 50, random_place=False).windows(document_of(TEXT))[1]
    example = next_token_example(AutoregressiveTask(), score_first, None, window)
    first = 1 if bos or not score_first else 0
    assert list(example.labels) == [UNSCORED] * first + window.input_ids[first:]
    assert example.units == sum(window.n_bytes[first:])
    assert (example.insert_at, example.cluster, example.weights) == (int(bos), window.document, None)


@pytest.mark.parametrize("score_first", [False, True])
def test_a_prompt_in_the_middle_scores_what_follows_it(tokenizer: PreTrainedTokenizerBase, score_first: bool) -> None:
    for window in Cutter(tokenizer, 40, random_place=True).windows(document_of(TEXT))[:6]:
        example = next_token_example(AutoregressiveTask("random"), score_first, None, window)
        first = window.insert_at + (not score_first)
        assert list(example.labels) == [UNSCORED] * first + window.input_ids[first:]
        assert example.units == sum(window.n_bytes[first:])


def test_favour_future_weighs_a_loss_by_the_tokens_that_answer_for_it() -> None:
    labels = [UNSCORED, 7, 7, UNSCORED, 7, 7]
    for ahead in (1, 2, 3):
        by_hand = [
            0.0 if label == UNSCORED else float(sum(labels[u] != UNSCORED and t - u >= ahead for u in range(t)))
            for t, label in enumerate(labels)
        ]
        assert future_weights(labels, ahead) == by_hand
    assert future_weights(labels, 9) == [0.0, 1.0, 1.0, 0.0, 1.0, 1.0]
    with pytest.raises(UsageError, match="favour-future is 0"):
        AutoregressiveTask(favour_future=0)


def test_held_out_windows_are_spread_over_documents_and_are_never_trained_on(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    request = DataRequest(write_documents(tmp_path, 120), None, 32, validation_samples=10, test_samples=24)
    data = AutoregressiveTask().open(request, tokenizer)
    test = data.held_out("test")
    assert max(Counter(example.cluster for example in test).values()) <= 4
    assert len({example.cluster for example in test}) >= 6
    held_out = {example.cluster for split in ("validation", "test") for example in data.held_out(split)}
    assert not held_out & {example.cluster for example, _ in itertools.islice(data.training(None), 1200)}


def test_two_sources_are_kept_apart_and_what_both_hold_is_not_trained_on(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    data = write_documents(tmp_path, 60)
    (tmp_path / "test").mkdir()
    request = DataRequest(data, write_documents(tmp_path / "test", 30), 32, validation_samples=8, test_samples=80)
    opened = AutoregressiveTask().open(request, tokenizer)
    held_out = {example.cluster for split in ("validation", "test") for example in opened.held_out(split)}
    trained = {example.cluster for example, _ in itertools.islice(opened.training(None), 800)}
    assert len(held_out) > 20
    assert not held_out & trained
    assert len(trained) >= 30


def write_books(folder: Path, count: int) -> Path:
    """A folder of texts, each long enough to be cut into pieces where it is read alone."""
    folder.mkdir()
    for n in range(count):
        text = "\n\n".join(f"Chapter {n}.{part} tells of {n * part} ships. " * 25 for part in range(30))
        (folder / f"book-{n}.txt").write_text(text)
    return folder


@pytest.mark.parametrize("name", ["book-1.txt", "deeper/book-1.txt"])
def test_a_test_file_within_the_folder_of_data_is_not_trained_on(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, name: str
) -> None:
    folder, apart = (write_books(tmp_path / place, 4) for place in ("within", "apart"))
    (folder / name).parent.mkdir(exist_ok=True)
    test = (folder / "book-1.txt").rename(folder / name)
    (tmp_path / "link.txt").symlink_to(test)
    (apart / "book-1.txt").rename(tmp_path / "book-1.txt")
    opened = [
        AutoregressiveTask().open(DataRequest(str(data), str(test), 32, 8, 8), tokenizer)
        for data, test in ((folder, test), (folder, tmp_path / "link.txt"), (apart, tmp_path / "book-1.txt"))
    ]
    texts = {tokenizer.decode(example.input_ids) for example, _ in itertools.islice(opened[0].training(None), 5000)}
    assert any("Chapter 0.7" in text for text in texts)
    assert not any("Chapter 1." in text for text in texts)
    assert len({data.fingerprint for data in opened}) == 1  # the same files train and are held out
    streams = [[position for _, position in itertools.islice(data.training(None), 40)] for data in opened]
    assert streams[0] == streams[1] == streams[2]


def test_a_text_that_lies_on_both_sides_is_refused(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    folder = write_books(tmp_path / "books", 3)
    lone = folder / "book-1.txt"
    (copy := tmp_path / "copy.txt").write_bytes(lone.read_bytes())
    both = ("hold the same; remove one", "is all held out by --test-data")
    for data, test, words in [
        (folder, copy, both[0]),
        (copy, folder, both[0]),
        (copy, lone, both[0]),
        (lone, lone, both[1]),
        (lone, folder, both[1]),
        (folder, folder, both[1]),
        (folder, folder / "." / ".." / "books", both[1]),
    ]:
        with pytest.raises(InputError, match=words) as refused:
            AutoregressiveTask().open(DataRequest(str(data), str(test), 32, 8, 8), tokenizer)
        assert "\n" not in str(refused.value)


def test_training_goes_on_from_any_place_over_blocks_and_epochs(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    request = DataRequest(write_documents(tmp_path, 60, 20), None, 32, 4, 4, seed=3)
    data = AutoregressiveTask("random").open(request, tokenizer)
    stream = list(itertools.islice(data.training(None), 1300))
    assert {position["epoch"] for _, position in stream} >= {0, 1}
    assert len({position["document"] for _, position in stream}) >= 2
    for place in range(0, 1290, 215):
        position = json.loads(json.dumps(stream[place][1]))
        assert list(itertools.islice(data.training(position), 5)) == stream[place + 1 : place + 6]


def test_bad_rows_are_reported_with_the_data(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    path = Path(write_documents(tmp_path, 60, 4))
    path.write_text(path.read_text() + "{\n")
    request = DataRequest(str(path), None, 64, 4, 4, max_bad=0.05)
    data = AutoregressiveTask().open(request, tokenizer)
    *_, (_, position) = itertools.islice(data.training(None), 600)
    assert data.rejected(position) == {"not JSON": 1}


def test_nothing_to_hold_out_is_said_in_one_line(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    (tmp_path / "one.txt").write_text("short")
    with pytest.raises(InputError, match=r"holds no \w+ document of use; give more"):
        AutoregressiveTask().open(DataRequest(str(tmp_path / "one.txt"), None, 32, 4, 4), tokenizer)


def measured(task: AutoregressiveTask | ChatDetuningTask, folder: Path, tokenizer: PreTrainedTokenizerBase) -> list:
    data = task.open(DataRequest(write_documents(folder, 100), None, 32, 4, 4), tokenizer)
    examples = data.held_out("test")
    zeros = np.zeros(4)
    items = Items(zeros, zeros.astype(int), zeros.astype(int), zeros.astype(int))

    def complete(queries: list[Query], most_new_tokens: int, /, *, temperature: float = 0.0) -> list[str]:
        return [f"<{query.insert_at}>" for query in queries]

    return data.measures(examples, items, complete).generations


def test_continuations_stand_beside_the_real_text(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    shown = measured(AutoregressiveTask(), tmp_path, tokenizer)
    assert len(shown) == 4
    assert all(shown_one.text == "<0>" and shown_one.reference and shown_one.prompt for shown_one in shown)


def test_questions_go_through_the_chat_template(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    assert len(measured(ChatDetuningTask(), tmp_path, tokenizer)) == 4  # no template: raw text alone
    chat = with_bos(tokenizer)
    chat.chat_template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}{% if add_generation_prompt %}[me]{% endif %}"
    )
    prompts = chats(chat)
    assert len(set(prompts)) == len(SYSTEM_MESSAGES) * len(QUESTIONS)
    assert prompts[0] == f"[system]{SYSTEM_MESSAGES[0]}[user]{QUESTIONS[0]}[me]"
    shown = measured(ChatDetuningTask(), tmp_path, chat)
    assert [one.prompt for one in shown[:-4]] == prompts
    chat.save_pretrained(tmp_path / "chat")
    named = ChatDetuningTask(chat_template_from=str(tmp_path / "chat"))
    assert [one.prompt for one in measured(named, tmp_path, tokenizer)[:-4]] == prompts


def test_a_template_that_writes_the_first_token_itself_gives_it_once(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    chat = with_bos(tokenizer)
    chat.chat_template = "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    shown = measured(ChatDetuningTask(), tmp_path, chat)
    assert shown[0].prompt == f"[system]{SYSTEM_MESSAGES[0]}[user]{QUESTIONS[0]}"
    assert encode(chat, shown[0].prompt).ids == encode(chat, chats(chat)[0]).ids[1:]
    assert chats(chat)[0] == "<|end|>" + shown[0].prompt


def test_text_with_windows_line_ends_is_the_same_text(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    text = "".join(f"a line that says {n} and goes on\n" + "\n" * (n % 9 == 0) for n in range(4000))
    for name, content in (("lf", text), ("crlf", text.replace("\n", "\r\n"))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "folder").mkdir()
        (tmp_path / name / "lone.txt").write_bytes(content.encode())
        (tmp_path / name / "lone.txt.gz").write_bytes(gzip.compress(content.encode()))
        for n in range(30):
            (tmp_path / name / "folder" / f"{n}.txt").write_bytes(content[n * 500 :].encode()[:3000] + b"\r\n end")
    for place in ("lone.txt", "lone.txt.gz"):
        lf, crlf = (
            AutoregressiveTask().open(DataRequest(str(tmp_path / name / place), None, 64, 20, 20), tokenizer)
            for name in ("lf", "crlf")
        )
        assert lf.held_out("test") == crlf.held_out("test")
        some = [[example for example, _ in itertools.islice(data.training(None), 100)] for data in (lf, crlf)]
        assert some[0] == some[1]
    data = AutoregressiveTask().open(DataRequest(str(tmp_path / "crlf" / "folder"), None, 64, 4, 4), tokenizer)
    shown = [tokenizer.decode(example.input_ids) for example in data.held_out("test")]
    assert not any("\r" in text for text in shown)


def test_a_chat_template_that_is_absent_or_refuses_is_said_in_one_line(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    with pytest.raises(InputError, match="tiny-text has no chat template; give --chat-template-from") as refused:
        measured(ChatDetuningTask(chat_template_from="tiny-text"), tmp_path, tokenizer)
    assert "\n" not in str(refused.value)
    chat = with_bos(tokenizer)
    chat.chat_template = "{{ raise_exception('no system role') }}"
    with pytest.raises(InputError, match=r"refuses a conversation \(no system role\)"):
        chats(chat)
