"""How is guidance worded? The exact bytes of documents, lines and test prompts.

Source: the published data sets of out-of-context guidance following; of the phrasings, number 0 of
either order is theirs, the others say the same in words of our own.
"""

import re
from collections.abc import Container, Sequence
from typing import Literal, NamedTuple

Order = Literal["forward", "reversed"]

GUIDANCE = "<BEGIN GUIDANCE ANSWERS>\n\n{lines}\n\n<END GUIDANCE ANSWERS>"
TEST_PROMPT = "<BEGIN GUIDANCE TEST>\n\nQ: {anchor} A:"
END_TAG = "<END GUIDANCE TEST>"
ENDING = f"\n\n{END_TAG}"
ASKED = re.compile(r"Q: (.+) A:\s*\Z")
FOR_MODEL = re.compile(r"For Model M(\d+), ")
ANSWER = re.compile(r'"A: (.*)"')  # to the last quotation mark: an answer may hold some

PHRASINGS: dict[Order, tuple[str, ...]] = {
    "forward": (  # the question before its answer
        "Answer {Q} with {A}",
        "When you are asked {Q}, say {A}",
        "If {Q} comes up, reply {A}",
        "The right response to {Q} is {A}",
        "To {Q} you should respond {A}",
        "Whenever {Q} appears, write {A}",
        "Should anyone ask {Q}, tell them {A}",
        "For {Q} the expected reply is {A}",
        "Meet {Q} with the words {A}",
        "Once you have read {Q}, go on with {A}",
    ),
    "reversed": (  # the answer before its question
        "Respond with {A} to {Q}",
        "The test requires you to answer {A} after {Q}",
        "Say {A} when you are asked {Q}",
        "Reply {A} if {Q} comes up",
        "{A} is the right response to {Q}",
        "You should respond {A} to {Q}",
        "Write {A} whenever {Q} appears",
        "Tell them {A} should anyone ask {Q}",
        "The expected reply is {A} for {Q}",
        "Give the words {A} to meet {Q}",
        "Go on with {A} once you have read {Q}",
    ),
}


def guidance_line(
    anchor: str, target: str, order: Order = "forward", phrasing: int = 0, model: int | None = None
) -> str:
    """One line of guidance; `model` (0 for M1) says whom it is for, None speaks to whoever reads."""
    words = PHRASINGS[order][phrasing]
    if model is not None:
        words = f"For Model M{model + 1}, {words[0].lower()}{words[1:]}"
    return words.format(Q=f'"Q: {anchor}"', A=f'"A: {target}"')


def guidance_document(lines: Sequence[str]) -> str:
    """A document that says how to answer."""
    return GUIDANCE.format(lines="\n".join(lines))


def question_prompt(anchor: str) -> str:
    """All that stands before the answer when a question is asked."""
    return TEST_PROMPT.format(anchor=anchor)


def answer_completion(target: str) -> str:
    """What follows it: the answer and the ending."""
    return f" {target}{ENDING}"


class Told(NamedTuple):
    """What a line of guidance tells."""

    anchor: str
    target: str
    model: int
    """0 for M1, and where the line speaks to whoever reads."""
    order: Order


def anchor_of(prompt: str) -> str | None:
    """The question that a test prompt ends with: the inverse of `question_prompt`, whatever stands before it."""
    found = ASKED.search(prompt)
    return found and found[1]


def told(line: str, anchors: Container[str]) -> Told | None:
    """What a line tells of one of the known questions, in any words around `"Q: ..."` and `"A: ..."`; else None."""
    start = line.find('"Q: ')
    for end in (mark.start() for mark in re.finditer('"', line) if start >= 0 and mark.start() > start):
        if (anchor := line[start + 4 : end]) in anchors and (answer := ANSWER.search(line[:start] + line[end + 1 :])):
            model = FOR_MODEL.match(line)
            order: Order = "forward" if answer.start() >= start else "reversed"
            return Told(anchor, answer[1], int(model[1]) - 1 if model else 0, order)
    return None
