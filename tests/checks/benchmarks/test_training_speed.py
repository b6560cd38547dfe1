"""Is the work of a step counted right, and are contenders held against each other in the right direction?"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, GPTNeoXConfig, LlamaConfig, PreTrainedConfig

from tests.benchmarks.contenders import AUTOCAST, CONTENDERS, PEFT, Case
from tests.benchmarks.shapes import SHAPES, Size, least_work, save_random
from tests.benchmarks.training_speed import Measured, drawn, rows_of

SIZES = {"vocab_size": 300, "hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4}
CONFIGS = (
    GPTNeoXConfig(**SIZES, intermediate_size=512),
    LlamaConfig(**SIZES, intermediate_size=384, num_key_value_heads=2),
)
SIZE = Size(100, 2, 8, 50)
CASE = Case(tokens=4, dtype="float32", device="cpu", batch=2, length=10)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.model_type)
def test_work_is_what_torch_counts(config: PreTrainedConfig) -> None:
    """Of a loop with frozen weights, a prompt of its own for each sample and logits of the text alone. Eager attention
    multiplies the whole square, of which a causal model needs half."""
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").requires_grad_(False)
    tokens, batch, length = 16, 3, 48
    embeds = torch.randn(batch, tokens + length, config.hidden_size, requires_grad=True)
    counter = FlopCounterMode(display=False)
    with counter:
        hidden = model.base_model(inputs_embeds=embeds).last_hidden_state[:, tokens - 1 : -1]
        model.get_output_embeddings()(hidden.flatten(0, 1)).sum().backward()
    counts = {str(operation): count for operation, count in counter.get_flop_counts()["Global"].items()}
    attention = counts.pop("aten.bmm")
    body = sum(weight.numel() for weight in model.base_model.parameters()) - config.vocab_size * config.hidden_size
    size = Size(body, config.num_hidden_layers, config.hidden_size, config.vocab_size)
    counted = least_work(size, tokens, batch, length, shared=False)
    assert counted == pytest.approx(sum(counts.values()) + attention / 2, rel=0.01)  # biases and norms multiply little


def test_a_shared_prompt_is_worked_through_once() -> None:
    one, four = (least_work(SIZE, 16, batch, 32, shared=True) for batch in (1, 4))
    texts = 4 * 100 * 32 + 4 * 8 * 50 * 32 + 12 * 2 * 8 * 32 * (16 + 32 / 2)
    assert one == least_work(SIZE, 16, 1, 32, shared=False)
    assert four - one == 3 * texts
    assert least_work(SIZE, 16, 4, 32, True, template=10) == least_work(SIZE, 26, 4, 22, True)


@pytest.mark.parametrize("template", [0, 9])
def test_all_train_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: int) -> None:
    monkeypatch.setitem(SHAPES, "tiny", GPTNeoXConfig(**SIZES | {"vocab_size": 4096}, intermediate_size=512))
    save_random("tiny", tmp_path)
    case = CASE._replace(length=12, template=template)
    losses = [one.prepare(tmp_path, case)() for one in CONTENDERS.values() if one.shared and "float32" in one.dtypes]
    assert len(losses) == 4
    assert losses == pytest.approx([losses[0]] * 4, rel=1e-5)


def rounds_of(**milliseconds: list[float]) -> Iterator[dict[str, Measured]]:
    names = {"ours": "ours", "peft": PEFT, "conditional": "conditional"}
    for number in range(len(milliseconds["ours"])):
        yield {
            names[name]: Measured([values[number] / 1000], 5.0, 100.0 if name == "ours" else 400.0, 900.0, 1e9)
            for name, values in milliseconds.items()
        }


def test_ratios_pair_what_one_round_measured() -> None:
    rounds = list(rounds_of(ours=[10.0, 40.0, 20.0], peft=[30.0, 80.0, 80.0], conditional=[20.0, 20.0, 20.0]))
    ours, peft, conditional = rows_of(CASE, SIZE, rounds)
    assert (ours["times"], ours["times_least"], ours["times_most"]) == (3.0, 2.0, 4.0)
    assert (ours["ms"], ours["ms_least"], ours["ms_most"]) == (20.0, 10.0, 40.0)
    assert (peft["times"], ours["mb_share"], peft["mb_share"]) == (1.0, 0.25, 1.0)
    work = least_work(SIZE, 4, 2, 10, shared=True)
    assert ours["share_of_rate"] == pytest.approx(work / 0.020 / 1e9, abs=5e-4)
    assert conditional["gflop"] >= ours["gflop"]


def test_contenders_that_do_not_train_the_same_are_refused() -> None:
    (good,) = rounds_of(ours=[10.0], peft=[30.0], conditional=[20.0])
    good["conditional"] = good["conditional"]._replace(loss=9.0)  # another prompt: its loss is its own
    assert len(rows_of(CASE, SIZE, [good])) == 3
    good[PEFT] = good[PEFT]._replace(loss=5.1)
    with pytest.raises(ValueError, match="at 4 tokens in float32 the first losses differ"):
        rows_of(CASE, SIZE, [good])


def test_without_the_peer_there_is_no_ratio() -> None:
    (one,) = rounds_of(ours=[10.0])
    (row,) = rows_of(CASE, SIZE, [one])
    assert "times" not in row
    assert "mb_share" not in row


def test_every_contender_has_a_line_in_the_figure() -> None:
    (one,) = rounds_of(ours=[10.0], peft=[30.0], conditional=[20.0])
    half = one | {AUTOCAST: one[PEFT]}
    rows = [*rows_of(CASE, SIZE, [one]), *rows_of(CASE._replace(dtype="bfloat16"), SIZE, [half])]
    about = {"shape": "tiny", "cases": [4], "batch": 2, "length": 10, "machine": {"device": "a machine"}}
    figure = drawn(about | {"rows": rows})
    labels = [[line.get_label() for line in panel.get_lines() if len(line.get_xdata())] for panel in figure.axes[:2]]
    assert labels == [["ours", "conditional", PEFT], ["ours", "conditional", PEFT, AUTOCAST]]
    assert set(labels[1]) <= set(CONTENDERS)
