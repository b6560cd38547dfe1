"""How does somebody without this package use an exported prompt? Ten lines of Python beside each form."""

from collections.abc import Mapping
from typing import Literal

Form = Literal["peft", "vllm", "embeds"]
FORMS: tuple[Form, ...] = ("peft", "vllm", "embeds")

EMBEDS = """
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE, MODEL, TEXT = Path(__file__).parent, {model}, {text}
tokenizer = AutoTokenizer.from_pretrained(MODEL{revision})
model = AutoModelForCausalLM.from_pretrained(MODEL{revision}, dtype=torch.float32).eval()
rows = load_file(HERE / "prompt.safetensors")["prompt"]  # [{count}, {width}]{begin}
ids = tokenizer(TEXT, add_special_tokens={special}, return_tensors="pt").input_ids
embeds = torch.cat([rows[None], model.get_input_embeddings()(ids)], dim=1)
asked = {{"inputs_embeds": embeds, "attention_mask": torch.ones(embeds.shape[:2], dtype=torch.long)}}
written = model.generate(**asked, max_new_tokens=32, do_sample=False)
print(tokenizer.decode(written[0], skip_special_tokens=True))
"""

PEFT = """
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE, MODEL, TEXT = Path(__file__).parent, {model}, {text}
tokenizer = AutoTokenizer.from_pretrained(MODEL{revision})
model = AutoModelForCausalLM.from_pretrained(MODEL{revision}, dtype=torch.float32)
model = PeftModel.from_pretrained(model, HERE).eval()  # {count} virtual tokens{begin}
ids = tokenizer(TEXT, add_special_tokens={special}, return_tensors="pt").input_ids
asked = {{"input_ids": ids, "attention_mask": torch.ones_like(ids)}}
written = model.generate(**asked, use_cache=False, max_new_tokens=32, do_sample=False)  # with a cache: docs/exchange.md
print(tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True))
"""

VLLM = """
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from vllm import LLM, SamplingParams

HERE, MODEL, TEXT = Path(__file__).parent, {model}, {text}
tokenizer = AutoTokenizer.from_pretrained(MODEL{revision})
embedding = AutoModelForCausalLM.from_pretrained(MODEL{revision}, dtype=torch.float32).get_input_embeddings()
rows = load_file(HERE / "prompt.safetensors")["prompt"]  # [{count}, {width}]{begin}
ids = tokenizer(TEXT, add_special_tokens={special}, return_tensors="pt").input_ids[0]
embeds = torch.cat([rows, embedding(ids).detach()])  # [S, H], the whole of what vLLM is asked
llm = LLM(MODEL{revision}, enable_prompt_embeds=True, enable_prefix_caching=False)  # off: vLLM issue 56655
written = llm.generate({{"prompt_embeds": embeds}}, SamplingParams(temperature=0, max_tokens=32))
print(written[0].outputs[0].text)
"""

VLLM_TEXTS = """
from pathlib import Path

from safetensors.torch import load_file
from vllm import LLM, SamplingParams

HERE, MODEL = Path(__file__).parent, {model}
files = sorted(HERE.glob("prompt_embeds-*.safetensors"))  # prompt and text, one file a text
asked = [{{"prompt_embeds": load_file(file)["prompt_embeds"]}} for file in files]  # [S, H] each
llm = LLM(MODEL{revision}, enable_prompt_embeds=True, enable_prefix_caching=False)  # off: vLLM issue 56655
for written in llm.generate(asked, SamplingParams(temperature=0, max_tokens=32)):
    print(written.outputs[0].text)
"""
TEMPLATES: Mapping[Form, str] = {"peft": PEFT, "vllm": VLLM, "embeds": EMBEDS}


def recipe(form: Form, with_texts: bool, named: Mapping[str, object]) -> str:
    """The Python text; `named` are model, revision, text, count, width, special and begin, the begin token's text."""
    begin = f", the first of them {named['begin']!r}" if named["begin"] else ""
    revision = f", revision={named['revision']!r}" if named["revision"] else ""
    template = VLLM_TEXTS if form == "vllm" and with_texts else TEMPLATES[form]
    quoted = {name: repr(named[name]) for name in ("model", "text")}
    return template.lstrip("\n").format(**{**named, **quoted, "begin": begin, "revision": revision})
