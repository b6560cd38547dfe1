"""Are a local model and an endpoint asked in the same words, is every answer kept, and does the same half decide?"""

import json
import math
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import torch

from soft_prompts.behaviour.comparison.family import USUAL
from soft_prompts.behaviour.labellers.choose import labeller_of
from soft_prompts.behaviour.labellers.endpoint import EndpointLabeller
from soft_prompts.behaviour.labellers.local import ModelLabeller
from soft_prompts.behaviour.labellers.questions import predicates_in, propose_question, score_question, yes_or_no
from soft_prompts.behaviour.wording.labels import Labeller, label_samples
from soft_prompts.behaviour.wording.phrases import Phrases
from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.models.model import FrozenModel
from tests.checks.behaviour.test_wording import samples

ASKED: list[dict] = []
MESSAGE = {"content": "Yes"}
ODD: dict[str, object] = {
    "empty": {},
    "a list": [],
    "text": {"choices": [{"text": "yes"}]},
    "no list": {"choices": {"0": 1}},
    "parts": {"choices": [{"message": {"content": [{"type": "text", "text": "Yes"}]}}]},
    "no tokens": {"choices": [{"message": MESSAGE}], "usage": {"total_tokens": None}},
    "no usage": {"choices": [{"message": MESSAGE}]},
    "null": {"choices": [{"message": {"content": None}}]},
    "nothing": {"choices": [{"message": {"content": " "}}]},
    "no parts": {"choices": [{"message": {"content": []}}]},
}


class Answers(BaseHTTPRequestHandler):
    """Says that texts of B hold a zebra, and looks for one."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        ASKED.append({"path": self.path, "key": self.headers.get("Authorization")} | asked)
        question = asked["messages"][0]["content"]
        text = question.split("\nStatement")[0]
        answer = "- mentions a zebra\n2. is long" if "group B" in question else ("Yes." if "zebra" in text else "No")
        reply = {"choices": [{"message": {"content": answer}}], "usage": {"total_tokens": 7}}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(ODD.get(asked["model"], reply)).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def url() -> Iterator[str]:
    ASKED.clear()
    server = HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def test_an_endpoint_labels_and_its_answers_are_kept(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    labeller = labeller_of(f"{url}#small", USUAL, tmp_path)
    assert isinstance(labeller, EndpointLabeller)
    own, others = samples(0, 60, planted=0.4), [samples(1, 60), samples(2, 60)]
    labels = label_samples(own, others, labeller, 5)
    assert {one.text for one in labels} == {"mentions a zebra", "is long"}
    assert labels[0].text == "mentions a zebra"
    assert labels[0].adjusted_p < 0.05
    assert labels[0].control_rate == 0
    assert {one["path"] for one in ASKED} == {"/v1/chat/completions"}
    assert {one["key"] for one in ASKED} == {"Bearer a-key"}
    assert all((one["temperature"], one["model"]) == (0, "small") for one in ASKED)
    calls = len(ASKED)
    assert labeller.cost.startswith(f"{calls} calls, {7 * calls} tokens")
    again = labeller_of(f"{url}#small", USUAL, tmp_path)
    assert label_samples(own, others, again, 5) == labels
    assert len(ASKED) == calls
    assert not any("a-key" in path.read_text() for path in tmp_path.iterdir())


def test_an_endpoint_that_does_not_answer_is_named(url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not answer"):
        EndpointLabeller("http://127.0.0.1:9", "m", tmp_path).score("a", "b")
    with pytest.raises(InputError, match="does not answer"):
        EndpointLabeller("http://localhost:abc/v1", "m", tmp_path).score("a", "b")
    for model in ("empty", "a list", "text", "no list"):
        with pytest.raises(InputError, match="answers without a message"):
            EndpointLabeller(url, model, tmp_path).score("a", "b")
    assert not list(tmp_path.iterdir())


def test_answers_in_other_forms_are_read(url: str, tmp_path: Path) -> None:
    odd = {model: EndpointLabeller(url, model, tmp_path) for model in ("parts", "no tokens", "no usage")}
    assert [one.score("a", "b") for one in odd.values()] == [1.0, 1.0, 1.0]
    assert [one.tokens for one in odd.values()] == [0, 0, 0]


@pytest.mark.parametrize("model", ["null", "nothing", "no parts"])
def test_what_has_no_words_is_no_answer_and_is_asked_again(url: str, tmp_path: Path, model: str) -> None:
    labeller = EndpointLabeller(url, model, tmp_path)
    for asked in (1, 2):
        assert math.isnan(labeller.score("a", "b"))
        assert len(ASKED) == asked
    assert ASKED[0]["max_tokens"] >= 256
    assert labeller.propose(["a"], ["b"], 3) is None
    assert "3 without an answer" in labeller.cost
    assert not list(tmp_path.iterdir())


def test_a_local_model_scores_by_its_odds_of_yes(one_frozen: FrozenModel) -> None:
    labeller = ModelLabeller(one_frozen)
    question = score_question("it is short", "e2e4") + "\nAnswer:"
    known = []
    for answer in (" yes", " no"):
        ids = one_frozen.tokenizer(question)["input_ids"]
        behind = one_frozen.tokenizer(answer, add_special_tokens=False)["input_ids"]
        logits = one_frozen.model(torch.tensor([ids + behind])).logits[0, len(ids) - 1 : -1].log_softmax(-1)
        known.append(float(logits[range(len(behind)), behind].sum()))
    expected = torch.tensor(known).softmax(0)[0]
    assert labeller.score("it is short", "e2e4") == pytest.approx(float(expected), abs=1e-4)
    assert isinstance(labeller, Labeller)
    assert isinstance(Phrases(), Labeller)
    assert isinstance(labeller.propose(["the"], ["of"], 1), list)


def test_answers_are_read_as_they_come() -> None:
    assert predicates_in("- one thing\n* one thing\n2) other\n\nx", 5) == ["one thing", "other"]
    assert predicates_in("<think>\n- a thought\n</think>\n- one thing", 5) == ["one thing"]
    assert predicates_in("I\u2019m sorry, but I can't compare these.", 5) == []
    question = propose_question(["a\nb"] * 30, ["c"], 3)
    assert question.count("- a b") == 12
    assert "up to 3 things" in question


@pytest.mark.parametrize(
    "answer",
    [
        " Yes, it is",
        "**yes**",
        "- Yes",
        "Yes because it says so",
        "The answer is yes.",
        "Answer: **Yes**",
        "The text holds a zebra.\n\nYes",
        "I would say yes.",
        "<think>\nIs it? No. Wait.\n</think>\n\nYes.",
        "No zebra? No.\n</think>Yes",
        "It is short. $\\boxed{yes}$",
        "Yes\n\nText: another\nyes or no? No",
    ],
)
def test_yes_and_no_are_read_wherever_they_are_the_answer(answer: str) -> None:
    assert yes_or_no(answer) == 1.0
    swapped = re.sub("yes|no", lambda one: {"yes": "no", "no": "yes"}[one[0].lower()], answer, flags=re.IGNORECASE)
    assert yes_or_no(swapped) == 0.0


@pytest.mark.parametrize(
    "answer",
    [
        "",
        " \n",
        "Maybe.",
        "I cannot say",
        "I can't say yes or no.",
        "Yes and no.",
        "Yes or no? I do not know.",
        "Yes/No",
        "No idea.",
        "There is no way to tell.",
        "The answer is neither yes nor no.",
        "<think>Yes. Or no?",
        "Is it long? Yes. Is it short? No.",
        "Nothing of the kind",
        "yesterday",
        "Yes-or-no: No",
        "Yes|No",
        "Yes, or no?",
        "Yes; no",
        "Yes? No.",
        "Yes.\n\nNo.",
        "Yes, but also no.",
        "No, yes",
        "I'm sorry, I can't help with that.",
    ],
)
def test_what_is_neither_yes_nor_no_is_no_answer(answer: str) -> None:
    assert math.isnan(yes_or_no(answer))


@pytest.mark.parametrize("word", ["words", "http://x", "http://x#", "ftp://x#m"])
def test_a_labeller_that_is_none_is_named(word: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give phrases, model:NAME, or URL#MODEL"):
        labeller_of(word, USUAL, tmp_path)
