"""A labeller behind an OpenAI-compatible endpoint: every answer with words is kept, calls and tokens are counted.

The key, where one is needed, is read from the variable OPENAI_API_KEY and never written.
"""

import hashlib
import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from soft_prompts.behaviour.labellers.questions import predicates_in, propose_question, score_question, yes_or_no
from soft_prompts.common.console import say
from soft_prompts.common.errors import InputError
from soft_prompts.common.files import write_atomically

KEY = "OPENAI_API_KEY"
SECONDS = 120  # that an answer may take
TELL_EVERY = 100  # calls
STATEMENT_TOKENS = 30
ANSWER_TOKENS = 1024  # of yes or no, behind the thoughts of a model that writes them first


class EndpointLabeller:
    """`POST URL/chat/completions` of one model at temperature 0."""

    def __init__(self, url: str, model: str, kept: Path) -> None:
        self.url, self.model, self.kept = url.rstrip("/"), model, kept
        self.name = f"{self.url}#{model}"
        self.calls, self.tokens, self.read, self.empty = 0, 0, 0, 0

    def propose(self, others: Sequence[str], own: Sequence[str], most: int) -> list[str] | None:
        """The statements of its answer, None where there are none."""
        answer = self._answer(propose_question(others, own, most), ANSWER_TOKENS + STATEMENT_TOKENS * most)
        return predicates_in(answer, most) or None

    def score(self, predicate: str, text: str) -> float:
        """1 for yes, 0 for no, NaN for neither."""
        return yes_or_no(self._answer(score_question(predicate, text), ANSWER_TOKENS))

    @property
    def cost(self) -> str:
        """What was asked, for a person."""
        return (
            f"{self.calls} calls, {self.tokens} tokens, {self.empty} without an answer; {self.read} answers were kept "
            "from before"
        )

    def _answer(self, question: str, most: int) -> str:
        """The message's words; one without any is empty, and asked for again the next time."""
        asked = {
            "model": self.model,
            "messages": [{"role": "user", "content": question}],
            "temperature": 0,
            "max_tokens": most,
        }
        text = json.dumps({"url": self.url} | asked, sort_keys=True)
        path = self.kept / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"
        if path.is_file() and (known := json.loads(path.read_bytes())["answer"]).strip():
            self.read += 1
            return known
        reply = self._post(asked)
        answer = _content(reply)
        if answer is None:
            raise InputError(f"labeller {self.url} answers without a message; give an OpenAI-compatible endpoint")
        self.calls += 1
        self.tokens += _tokens(reply)
        if self.calls % TELL_EVERY == 0:
            say(f"{self.name}: {self.cost}")
        if not answer.strip():
            self.empty += 1
            return ""
        write_atomically(path, (json.dumps({"question": question, "answer": answer}) + "\n").encode())
        return answer

    def _post(self, asked: dict[str, Any]) -> Any:
        key = os.environ.get(KEY)
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        try:
            request = urllib.request.Request(f"{self.url}/chat/completions", json.dumps(asked).encode(), headers)
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return json.load(answer)
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise InputError(
                f"labeller {self.url} does not answer: {reason}; start it, give another, or phrases; what it has "
                "answered is kept"
            ) from error


def _content(reply: Any) -> str | None:
    """What the message says, in one text or in parts, empty where it has no content; None where there is no message."""
    match reply:
        case {"choices": [{"message": {"content": str() | None as said}}, *_]}:
            return said or ""
        case {"choices": [{"message": {"content": list() as parts}}, *_]}:
            texts = [part.get("text") for part in parts if isinstance(part, dict)]
            return "".join(text for text in texts if isinstance(text, str))
    return None


def _tokens(reply: Any) -> int:
    match reply:
        case {"usage": {"total_tokens": int() as count}}:
            return count
    return 0
