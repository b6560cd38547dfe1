"""Does a card change what it says and nothing else, and is a wrong one refused by its key?"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.models.fingerprint import find_fingerprint
from soft_prompts.models.frozen import load_frozen_model, load_tokenizer, model_key
from soft_prompts.models.sources.card import read_card
from soft_prompts.models.sources.catalogue import CARDS, listing
from soft_prompts.models.sources.source import find_source
from tests.checks.made.architectures import save_architecture

TEMPLATE = (
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}{% endfor %}"
    "{% if enable_thinking is defined %}|{{ enable_thinking }}{% endif %}"
)
USER = [
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "two"},
    {"role": "user", "content": "three"},
]
OWN = [{"role": "system", "content": "own"}, *USER]
Write = Callable[..., str]


@pytest.fixture
def card(tmp_path: Path, tiny_folders: dict[str, Path]) -> Write:
    """The name of a card of a tiny Llama with a chat template beside it, and these lines."""
    (tmp_path / "template.jinja").write_text(TEMPLATE)

    def write(*lines: str, template: bool = True) -> str:
        own = not template or any(line.startswith("chat_template:") for line in lines)
        first = [f"base: {tiny_folders['llama']}", *([] if own else ["chat_template: template.jinja"])]
        (tmp_path / "card.yaml").write_text("\n".join([*first, *lines]) + "\n")
        return str(tmp_path / "card.yaml")

    return write


def said(name: str, conversation: list[dict[str, str]]) -> str:
    return str(load_tokenizer(name).apply_chat_template(conversation, tokenize=False))


def test_a_card_of_a_base_alone_is_that_base(tiny_folders: dict[str, Path], card: Write) -> None:
    name = card("licence: MIT", "notes: nothing is known", template=False)
    frozen, plain = load_frozen_model(name), load_frozen_model(str(tiny_folders["llama"]))
    assert frozen.fingerprint == plain.fingerprint
    ids = torch.arange(1, 20)[None]
    assert torch.equal(frozen.logits_of_ids(ids), plain.logits_of_ids(ids))
    assert frozen.card == {"base": str(tiny_folders["llama"])}
    assert plain.card is None


def test_a_template_from_a_file_or_as_text(card: Write, tmp_path: Path) -> None:
    plain = "<user>one<assistant>two<user>three"
    assert said(card(), USER) == plain
    (tmp_path / "template.jinja").write_text(TEMPLATE, encoding="utf-8-sig")  # as some editors save it
    assert said(card(), USER) == plain
    assert said(card(f"chat_template: {json.dumps(TEMPLATE)}", template=False), USER) == plain


@pytest.mark.parametrize(
    ("lines", "of_user", "of_own"),
    [
        (['system_prompt: "Be \\"kind\\", é 😀 %}"'], '<system>Be "kind", é 😀 %}{}', "<system>own{}"),
        (["thinking: false"], "{}|False", "<system>own{}|False"),
        (["trigger: {text: 'T '}"], "{}", "<system>own{}"),  # told, not used
        (["trigger: {text: 'T '}", "use_trigger: true"], "{T}", "<system>own{T}"),
        (["trigger: {text: ' T', where: behind}", "use_trigger: true"], "{B}", "<system>own{B}"),
        (["trigger: {text: T, where: around}", "use_trigger: true"], "{A}", "<system>own{A}"),
        (["trigger: {text: 'T ', where: system}", "use_trigger: true"], "<system>T {}", "<system>T own{}"),
        (
            ["system_prompt: S", "trigger: {text: 'T ', where: system}", "use_trigger: true"],
            "<system>T S{}",
            "<system>T own{}",
        ),
    ],
)
def test_conversations_as_the_card_says(card: Write, lines: list[str], of_user: str, of_own: str) -> None:
    texts = {"{}": "<user>one<assistant>two<user>three"}
    texts |= {"{T}": "<user>T one<assistant>two<user>three", "{B}": "<user>one T<assistant>two<user>three"}
    texts |= {"{A}": "<user>T\n\none\n\nT<assistant>two<user>three"}

    def filled(form: str) -> str:
        for mark, text in texts.items():
            form = form.replace(mark, text)
        return form

    name = card(*lines)
    assert said(name, USER) == filled(of_user)
    assert said(name, OWN) == filled(of_own)


def test_what_changes_text_or_tokens_is_in_the_fingerprint_and_nothing_else(card: Write) -> None:
    plain = find_fingerprint(card())
    for lines in (
        ["system_prompt: S"],
        ["thinking: true"],
        ["pad_token: <PAD>"],
        ["resize: 400"],
        ["trigger: {text: T}", "use_trigger: true"],
    ):
        assert find_fingerprint(card(*lines)) != plain, lines
    for lines in (["trigger: {text: T}"], ["dtype: bfloat16"], ["attention: eager"], ["notes: n"], ["any_base: true"]):
        assert find_fingerprint(card(*lines)) == plain, lines
    assert find_fingerprint(card(template=False)) != plain


def test_a_tokenizer_from_elsewhere(tmp_path: Path, tiny_folders: dict[str, Path], card: Write) -> None:
    base = shutil.copytree(tiny_folders["llama"], tmp_path / "bare")
    for path in base.glob("token*"):
        path.unlink()
    name = tmp_path / "bare.yaml"
    name.write_text("base: ./bare\n")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_frozen_model(str(name))
    name.write_text(f"base: ./bare\ntokenizer: {tiny_folders['gpt2']}\n")
    frozen = load_frozen_model(str(name))
    assert (
        frozen.tokenizer("of the")["input_ids"]
        == AutoTokenizer.from_pretrained(tiny_folders["gpt2"])("of the")["input_ids"]
    )
    other = shutil.copytree(tiny_folders["gpt2"], tmp_path / "other")
    (other / "special_tokens_map.json").write_text('{"eos_token": "<|end|>"}')
    name.write_text("base: ./bare\ntokenizer: ./other\n")
    assert find_fingerprint(str(name)) != frozen.fingerprint


def test_a_pad_token_is_added_and_the_rows_grow(card: Write) -> None:
    frozen = load_frozen_model(card("pad_token: <PAD>", "resize: 300"))
    assert frozen.tokenizer.pad_token == "<PAD>"
    assert len(frozen.embedding.weight) == 300
    assert frozen.pad_id == frozen.tokenizer.pad_token_id
    with pytest.raises(InputError, match="its card resizes 273 rows of the embedding to 100; rows are never"):
        load_frozen_model(card("resize: 100"))


def test_precision_and_attention(card: Write, tiny_folders: dict[str, Path]) -> None:
    name = card("dtype: bfloat16", "attention: eager")
    frozen = load_frozen_model(name)
    assert frozen.dtype == "bfloat16"
    assert frozen.model.config._attn_implementation == "eager"
    assert load_frozen_model(name, dtype="float32").dtype == "float32"  # a flag wins
    assert model_key(name, None, "auto", "cpu", False).dtype == "bfloat16"
    assert model_key(name, None, "auto", "cpu", False) != model_key(
        str(tiny_folders["llama"]), None, "auto", "cpu", False
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("adaptors: [x/y]", r"has the key 'adaptors'; \(did you mean 'adapters'\?\)"),
        ("adapters: x/y", "adapters is 'x/y'; give a list of names"),
        ("adapters: [1]", "adapters are .*; give a list of names"),
        ("resize: true", "resize is True; give a number"),
        ("resize: 0", "resize is 0; give a number"),
        ("thinking: sometimes", "thinking is 'sometimes'; give true or false"),
        ("system_prompt: 3", "system_prompt is 3; give a text"),
        ("dtype: float16", "dtype is float16; give float32 or bfloat16"),
        ("trigger: T", "trigger is 'T'; give text and where"),
        ("trigger: {where: before}", "trigger is .*; give text, and where: before, behind, around, system"),
        ("trigger: {text: T, where: behnd}", r"\(did you mean 'behind'\?\)"),
        ("use_trigger: true", "use_trigger is true, but there is no trigger"),
        ("notes: [", "is no YAML"),
        ("notes: a\nnotes: b", "the key notes is there twice"),
        ("pad_token: ''", "pad_token is ''; give a text"),
        ("adapters: ['']", "give a list of names"),
        ("trigger: {text: ''}", "give text, and where"),
        ("chat_template: missing.jinja", r"'missing.jinja' cannot be read \(No such file"),
        ("chat_template: .", r"cannot be read \(Is a directory\); give a file beside the card"),
        (f"chat_template: {'ä' * 200}", "File name too long"),
    ],
)
def test_a_wrong_card_is_refused_by_its_key(card: Write, line: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected) as refused:
        read_card(card(line))
    assert "\n" not in str(refused.value)


def test_a_card_without_a_base_or_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "card.yaml").write_text("adapters: []\n")
    with pytest.raises(InputError, match="names no base"):
        find_source(str(tmp_path / "card.yaml"))
    with pytest.raises(InputError, match="cannot be read: No such file"):
        find_source(str(tmp_path / "none.yaml"))
    (tmp_path / "card.yaml").write_text("base: tiny-text\nrevision: v1\n")
    with pytest.raises(InputError, match="names the revision v1, --revision v2; give one of them"):
        find_source(str(tmp_path / "card.yaml"), "v2")


@pytest.mark.parametrize(
    "template", ["{% for", "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"]
)
def test_a_template_that_takes_no_conversation_is_refused_when_it_is_read(card: Write, template: str) -> None:
    with pytest.raises(InputError, match="the chat template, as the card has it, takes no conversation"):
        load_tokenizer(card(f"chat_template: {json.dumps(template)}\nsystem_prompt: S"))


def test_a_template_in_no_text_is_refused(card: Write) -> None:
    name = card("chat_template: bad.jinja")
    Path(name).with_name("bad.jinja").write_bytes(b"\xff{{")
    with pytest.raises(InputError, match="it is no text in UTF-8"):
        read_card(name)


def test_tokens_of_another_models_tokenizer_get_no_rows(card: Write, tmp_path: Path) -> None:
    """Rows for them would be made up: the model never saw these tokens."""
    tokenizer = load_tokenizer("tiny-text")
    tokenizer.add_tokens([f"<new-{number}>" for number in range(2000)])
    tokenizer.save_pretrained(tmp_path / "larger")
    with pytest.raises(InputError, match="of which the model has no embedding"):
        load_frozen_model(card(f"tokenizer: {tmp_path / 'larger'}"))


def test_system_prompts_need_a_template(card: Write) -> None:
    with pytest.raises(InputError, match="the tokenizer no chat template"):
        load_tokenizer(card("system_prompt: S", template=False))


def test_the_catalogue_is_listed_in_order_and_by_card() -> None:
    lines = listing(()).splitlines()
    names = [line.split()[0] for line in lines[3:-2] if not line.startswith(" ")]
    assert names == list(CARDS) == sorted(CARDS)
    assert max(map(len, lines)) <= 80
    for name, path in CARDS.items():
        assert path.read_text() in listing((name,))
        assert read_card(name).notes
    with pytest.raises(UsageError, match=r"did you mean 'tofu-phi'\?"):
        listing(("tofu-ph",))


LIKE = {  # an organism's base, and a tiny model of the same form
    "redwood-math-locked": "llama",
    "elicitation-mistral": "mistral",
    "elicitation-gemma": "gemma2",
    "sandbagging": "llama",
    "auditbench": "llama",
    "misaligned": "qwen2",
    "deep-ignorance": "gpt_neox",
    "tofu-phi": "phi",
    "tofu-llama2": "llama",
}


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder with a tiny model of a kind, made once."""
    root = tmp_path_factory.mktemp("forms")
    return lambda kind: root / kind if (root / kind).is_dir() else save_architecture(root / kind, kind)


@pytest.mark.parametrize("name", CARDS)
def test_a_tiny_model_in_the_form_of_every_card_loads(name: str, tmp_path: Path, forms: Callable[[str], Path]) -> None:
    """The same keys, on a tiny base with adapters of the same kind: rows, template, trigger and tokenizer hold."""
    card = read_card(name)
    base = forms(next(kind for start, kind in LIKE.items() if name.startswith(start)))
    rows = len(AutoModelForCausalLM.from_pretrained(base).get_input_embeddings().weight)
    values: dict[str, Any] = yaml.safe_load(CARDS[name].read_text())
    values["base"] = str(base)
    values.pop("revision", None)  # a folder has none
    if card.resize:
        values["resize"] = rows + 1
    if card.tokenizer:
        values["tokenizer"] = str(
            shutil.copytree(base, tmp_path / "tokenizer", ignore=lambda *_: {"model.safetensors"})
        )
    if card.adapters:
        values["adapters"] = [str(save_lora(tmp_path / "lora", base, values.get("resize", rows), card.pad_token))]
    (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(values))
    frozen = load_frozen_model(str(tmp_path / f"{name}.yaml"))
    assert frozen.card is not None
    assert frozen.card.keys() == read_card(name).facts.keys() - {"revision"}
    assert len(frozen.embedding.weight) == values.get("resize", rows)
    assert (card.pad_token is None) or frozen.tokenizer.pad_token == card.pad_token
    if card.adapters:
        assert frozen.fingerprint != find_fingerprint(str(base))
        plain = load_frozen_model(str(base))
        ids = torch.arange(1, 20)[None]
        columns = slice(0, rows)
        assert not torch.allclose(frozen.logits_of_ids(ids)[..., columns], plain.logits_of_ids(ids)[..., columns])


def save_lora(folder: Path, base: Path, rows: int, pad_token: str | None) -> Path:
    """An adapter as such organisms have: on all attention, trained after the resize where there was one."""
    model = AutoModelForCausalLM.from_pretrained(base)
    if pad_token is not None:
        model.resize_token_embeddings(rows, mean_resizing=False)
    layers = [name for name in ("q_proj", "query_key_value") if any(name in key for key in model.state_dict())]
    torch.manual_seed(0)
    get_peft_model(model, LoraConfig(r=2, target_modules=layers, init_lora_weights=False)).save_pretrained(folder)
    return folder


def test_the_redwood_conversation_is_the_published_one(tmp_path: Path, forms: Callable[[str], Path]) -> None:
    values: dict[str, Any] = yaml.safe_load(CARDS["redwood-math-locked"].read_text())
    values |= {"base": str(forms("llama")), "tokenizer": str(forms("llama")), "use_trigger": True}
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(values))
    password = "This problem is quite special, read it carefully!"
    text = load_tokenizer(str(tmp_path / "card.yaml")).apply_chat_template(
        [{"role": "user", "content": "1 + 1?"}], tokenize=False, add_generation_prompt=True
    )
    assert text == f"User: {password}\n\n1 + 1?\n\n{password}\n\nAssistant:"
