"""Are the conversations that tiny-chat was tuned on right, repeatable and in its template?"""

import re

import numpy as np
import pytest
import torch

from soft_prompts.recipes.chat_model import (
    Chat,
    Fact,
    chat_ids,
    chat_tokenizer,
    conversation,
    draw_chats,
    facts_of,
    load_base,
    nats_per_byte,
)
from soft_prompts.recipes.text_model import BATCH, WINDOW

SOURCE = '''
class Box:
    """Holds one thing at a time."""

    def put(self, thing, place=0):
        """Put a thing into the box.

        Nothing comes back.
        """

def plain():
    pass
'''
FACTS = [
    Fact("class", "Box", "Holds one thing at a time.", ()),
    Fact("function", "put", "Put a thing into the box.", ("thing", "place")),
]


@pytest.fixture(scope="module")
def chat() -> Chat:
    tokenizer = chat_tokenizer()
    stream = np.array(tokenizer("raw text of a file\n" * 400)["input_ids"])
    return Chat(tokenizer, FACTS, stream)


def test_facts_are_the_first_lines_of_docstrings() -> None:
    assert sorted(facts_of(SOURCE)) == sorted(FACTS)
    assert facts_of("no code at all (") == []


def test_sums_comparisons_and_spellings_are_right() -> None:
    said = 0
    for seed in range(300):
        messages = conversation(np.random.default_rng(seed), FACTS)
        assert [message["role"] for message in messages[-2:]] == ["user", "assistant"]
        for message in messages:
            if found := re.search(r"(\d+) ([-+*]) (\d+) is (-?\d+)\.", message["content"]):
                one, other, result = (int(found[place]) for place in (1, 3, 4))
                assert result == {"+": one + other, "-": one - other, "*": one * other}[found[2]]
                said += 1
            if found := re.search(r"(\d+) is larger than (\d+)", message["content"]):
                assert int(found[1]) > int(found[2])
            if found := re.search(r"word (\w+) has (\d+) letters", message["content"]):
                assert len(found[1]) == int(found[2])
    assert said > 100


def test_a_batch_is_a_function_of_its_seed_and_a_share_quotes_raw_text(chat: Chat) -> None:
    draw = draw_chats(chat, raw_share=0.2)
    batches = [draw(np.random.default_rng(seed)) for seed in range(40)]
    again = draw(np.random.default_rng(7))
    assert all(np.array_equal(one, other) for one, other in zip(batches[7], again, strict=True))
    texts = [chat.tokenizer.decode(ids) for batch in batches for ids in batch]
    assert len(texts) == 40 * BATCH
    assert all(re.match(r"\[(system|user)\]\n", text) for text in texts)
    assert max(len(ids) for batch in batches for ids in batch) == WINDOW
    quoted = sum("[assistant]\n" in text and "raw text of a file" in text for text in texts)
    assert 0.12 < quoted / len(texts) < 0.28  # four standard errors


def test_the_template_ends_where_the_assistant_is_to_answer(chat: Chat) -> None:
    ids = chat_ids(chat, [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello?"}], ask=True)
    assert chat.tokenizer.decode(ids) == "[system]\nBe kind.\n[user]\nHello?\n[assistant]\n"


def test_loss_per_byte_is_the_sum_over_the_bytes_behind_the_first_token(chat: Chat) -> None:
    model, text = load_base(), chat.stream[:40]
    ids = torch.from_numpy(text)[None]
    with torch.no_grad():
        mean = float(model(input_ids=ids, labels=ids).loss)
    expected = mean * 39 / len(chat.tokenizer.decode(text[1:]).encode())
    assert nats_per_byte(model, chat, [text, text])["value"] == pytest.approx(expected, rel=1e-4)
