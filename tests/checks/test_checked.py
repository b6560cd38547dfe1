"""Are types and shapes of this package checked wherever it is called from these checks?"""

from pathlib import Path

import pytest
import torch

from soft_prompts.engine.insertion import insert_prompt
from soft_prompts.results.files import items_path
from soft_prompts.stats.brackets import Bracket
from tests.checks.made.checked import names_shapes

IDS = torch.zeros(2, 5, dtype=torch.int64)
TEXT, PROMPT, START = torch.zeros(2, 5, 8), torch.zeros(2, 3, 8), torch.zeros(2, dtype=torch.int64)


def test_a_type_that_is_wrong_is_refused() -> None:
    assert items_path(Path("one.json")).name == "one.items.safetensors"
    with pytest.raises(Exception, match="violates type hint"):
        items_path("one.json")  # pyright: ignore[reportArgumentType]


def test_a_dataclass_takes_what_it_says() -> None:
    assert Bracket(0.5, "shown", 1, 2).at_most == 2
    with pytest.raises(Exception, match="at_most"):
        Bracket(0.5, "shown", 1, "two")  # pyright: ignore[reportArgumentType]


def test_shapes_that_contradict_one_another_are_refused() -> None:
    assert insert_prompt(TEXT, PROMPT, IDS, IDS.bool(), START).embeds.shape == (2, 8, 8)
    with pytest.raises(Exception, match="labels"):
        insert_prompt(TEXT, PROMPT, IDS[:, :4], IDS.bool(), START)
    with pytest.raises(Exception, match="prompt"):
        insert_prompt(TEXT, PROMPT[..., :7], IDS, IDS.bool(), START)


def test_shapes_are_found_in_a_signature() -> None:
    assert names_shapes(insert_prompt)
    assert not names_shapes(items_path)
    assert not names_shapes(Bracket.__init__)
