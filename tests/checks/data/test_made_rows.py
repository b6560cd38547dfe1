"""Is every row that is made on the spot right, by another road than its own, and on one side of the split?"""

import itertools
import re
from collections import Counter

import pytest

from soft_prompts.common.errors import InputError
from soft_prompts.data.completions import RowSource, split_rows
from soft_prompts.data.made_rows import MADE, SKILLS, made_rows
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.tasks.completion import CompletionTask
from soft_prompts.tasks.task import UNSCORED, DataRequest
from soft_prompts.zoo.installed import INSTALLABLE

REAL = INSTALLABLE["smollm2-135m"]
LEAST = 300  # rows of a skill
ONES = "one two three four five six seven eight nine ten eleven twelve"
TEENS = {"thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19}
TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
NAMED = {**{word: number for number, word in enumerate(ONES.split(), start=1)}, **TEENS, **TENS}

IRREGULAR = """
child:children grandchild:grandchildren stepchild:stepchildren person:people foot:feet tooth:teeth goose:geese
mouse:mice dormouse:dormice ox:oxen quiz:quizzes stomach:stomachs aircraft:aircraft deer:deer moose:moose
series:series sheep:sheep spacecraft:spacecraft species:species knife:knives life:lives wife:wives
housewife:housewives calf:calves elf:elves half:halves leaf:leaves loaf:loaves sheaf:sheaves shelf:shelves
bookshelf:bookshelves thief:thieves wolf:wolves werewolf:werewolves analysis:analyses basis:bases crisis:crises
diagnosis:diagnoses hypothesis:hypotheses oasis:oases parenthesis:parentheses synopsis:synopses thesis:theses
"""
IRREGULAR_PLURALS = dict(pair.split(":") for pair in IRREGULAR.split())
IN_O = {"hero", "potato", "tomato", "echo"}  # the others take s alone
CHANGES = {  # what becomes what, and of which verbs
    ("$", ""): "beat burst cast cost cut hit hurt let put set shut split spread thrust",
    ("i", "a"): "begin drink give ring sing sit swim forgive",
    ("i", "o"): "arise drive ride rise write rewrite",
    ("i", "u"): "cling dig fling spin stick sting swing",
    ("in", "on"): "win",
    ("ike", "uck"): "strike",
    ("eak", "oke"): "break speak",
    ("ear", "ore"): "swear tear wear",
    ("ow", "ew"): "blow grow know throw outgrow",
    ("aw", "ew"): "draw withdraw",
    ("eep", "ept"): "creep keep sleep sweep weep",
    ("d$", "t"): "bend build lend rebuild send spend",
    ("ee", "e"): "bleed breed feed meet",
    ("ead", "ed"): "lead mislead",
    ("ind", "ound"): "bind find grind",
    ("ake", "ook"): "mistake overtake shake take",
    ("and", "ood"): "misunderstand stand understand withstand",
    ("ome", "ame"): "become come overcome",
    ("ell", "old"): "sell tell",
    ("et", "ot"): "forget get",
    ("ee", "aw"): "foresee see",
    ("ide", "id"): "hide slide",
    ("ite", "it"): "bite",
    ("oo", "o"): "shoot",
    ("oose", "ose"): "choose",
    ("ose", "ost"): "lose",
    ("y$", "id"): "lay pay say",
    ("o$", "id"): "do undo",
    ("go", "went"): "go undergo",
    ("eal$", "ealt"): "deal",
    ("ean", "eant"): "mean",
    ("eel", "elt"): "feel",
    ("old", "eld"): "hold",
    ("ear$", "eard"): "hear overhear",
    ("each", "aught"): "teach",
    ("atch", "aught"): "catch",
    ("ring", "rought"): "bring",
    ("uy", "ought"): "buy",
    ("ight", "ought"): "fight",
    ("eek", "ought"): "seek",
    ("ink", "ought"): "think",
    ("awake", "awoke"): "awake",
    ("eat", "ate"): "eat",
    ("all", "ell"): "fall",
    ("ee$", "ed"): "flee",
    ("fly", "flew"): "fly",
    ("eeze", "oze"): "freeze",
    ("ve", "d"): "have",
    ("eave", "eft"): "leave",
    ("ke", "de"): "make",
    ("un", "an"): "run",
    ("eal", "ole"): "steal",
}
DOUBLED = """
admit ban beg chop clap control drag drop grab grin hop hug hum jog mop nod occur pat permit pin plan prefer regret rob
rub scrub shop sip skip slip snap step stir stop tap trap trip tug wrap zip
"""
SHARED = {"Merida", "Rome", "Victoria"}  # capitals of two places


@pytest.fixture(scope="module")
def tiny_text() -> FrozenModel:
    return load_frozen_model("tiny-text")


def pairs(name: str) -> dict[str, str]:
    """What is asked and what is right, without the form."""
    found = {row["prompt"].removesuffix(" ->"): row["completion"].removeprefix(" ") for row in made_rows(name)}
    assert len(found) == len(made_rows(name))
    assert all(row["prompt"].endswith(" ->") and row["completion"][0] == " " for row in made_rows(name))
    return found


def number_of(words: str) -> int:
    """By reading from the left."""
    total = 0
    for word in words.replace("-", " ").split():
        total = total * 100 if word == "hundred" else total + NAMED[word]
    return total


def plural_of(noun: str) -> str:
    if noun in IRREGULAR_PLURALS:
        return IRREGULAR_PLURALS[noun]
    if noun.endswith("man"):
        return noun[:-3] + "men"
    if noun in IN_O or re.search("(s|x|z|ch|sh)$", noun):
        return noun + "es"
    return re.sub("([^aeiou])y$", r"\1ie", noun) + "s"


def past_of(verb: str) -> str:
    for (old, new), verbs in CHANGES.items():
        if verb in verbs.split():
            return verb if old == "$" else re.sub(old if "$" in old else f"{old}(?!.*{old})", new, verb)
    stem = verb + verb[-1] if verb in DOUBLED.split() else re.sub("([^aeiou])y$", r"\1i", verb.removesuffix("e"))
    return stem + "ed"


REFERENCES = {
    "upper-case": lambda asked: "".join(chr(ord(letter) - 32) for letter in asked),
    "plural": plural_of,
    "past-tense": past_of,
    "reverse": lambda asked: "".join(reversed(asked)),
    "first-letter": lambda asked: min(asked, key=asked.index),
    "count-letters": lambda asked: str(sum(1 for _ in asked)),
    "words-to-number": lambda asked: str(number_of(asked)),
    "next-number": lambda asked: str(-~int(asked)),
    "small-sums": lambda asked: str(sum(map(int, asked.split()))),
    "two-digit-sums": lambda asked: str(sum(map(int, asked.split()))),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_every_row_is_right(name: str) -> None:
    wrong = {asked: right for asked, right in pairs(name).items() if REFERENCES[name](asked) != right}
    assert wrong == {}


def test_numbers_in_words_read_as_they_are() -> None:
    found = pairs("number-to-words")
    assert {int(asked): number_of(words) for asked, words in found.items()} == {n: n for n in range(1, 1000)}
    assert {words: asked for asked, words in found.items()} == pairs("words-to-number")
    assert (found["10"], found["17"], found["40"]) == ("ten", "seventeen", "forty")
    assert (found["100"], found["305"], found["999"]) == (
        "one hundred",
        "three hundred five",
        "nine hundred ninety-nine",
    )


def test_capitals_are_of_different_places() -> None:
    """A capital that stands twice by mistake shows here; which one is right was looked up."""
    found = pairs("capitals")
    assert {capital for capital, count in Counter(found.values()).items() if count > 1} <= SHARED
    assert not [place for place, capital in found.items() if place == capital]
    assert all(text.isascii() and text == text.strip() for text in (*found, *found.values()))
    known = {"France": "Paris", "Brazil": "Brasilia", "Australia": "Canberra", "Turkey": "Ankara", "Texas": "Austin"}
    assert {place: found[place] for place in known} == known


@pytest.mark.parametrize("name", SKILLS)
def test_a_skill_has_rows_enough_and_no_word_on_two_sides(name: str) -> None:
    parts = split_rows(RowSource(name), None).rows
    assert sum(map(len, parts.values())) >= LEAST
    assert min(len(parts[part]) for part in ("validation", "test")) >= LEAST / 10
    known = sorted if name.endswith("-sums") else list  # 3 8 is 8 3
    asked = [{" ".join(known(row.prompt.casefold().split())) for row in rows} for rows in parts.values()]
    assert sum(map(len, asked)) == len(set.union(*asked)) == len(made_rows(name))


@pytest.mark.parametrize("name", ["plural", "past-tense", "reverse", "upper-case"])
def test_what_is_right_for_one_word_is_right_for_no_other(name: str) -> None:
    """`find` and `found` beside `found` and `founded` would tell each other."""
    found = pairs(name)
    assert len(set(found.values())) >= len(found) - 1  # bound is of bind alone, laid of lay
    changed = {asked for asked, right in found.items() if asked != right}
    assert not changed & {right for asked, right in found.items() if asked != right}


@pytest.mark.parametrize("name", MADE)
def test_rows_follow_from_their_prompts_and_score_the_completion_alone(name: str, tiny_text: FrozenModel) -> None:
    check_tokens(name, tiny_text, 64)


def check_tokens(name: str, frozen: FrozenModel, most: int) -> None:
    data = CompletionTask().open(DataRequest(name, None, most, 1000, 1000), frozen.tokenizer)
    assert data.is_determined()
    for row, example in zip(data.test_rows, data.held_out("test"), strict=True):
        asked = [token for token, label in zip(example.input_ids, example.labels, strict=True) if label == UNSCORED]
        scored = [label for label in example.labels if label != UNSCORED]
        assert frozen.tokenizer.decode(asked) == row.prompt
        assert frozen.tokenizer.decode(scored[:-1]) == row.completion
        assert scored[-1] == frozen.tokenizer.eos_token_id


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_here, reason=f"needs `soft-prompts models install {REAL.name}`")
def test_rows_fit_the_experiments_samples_on_the_real_model() -> None:
    frozen = load_frozen_model(REAL.name)
    for name in SKILLS:
        check_tokens(name, frozen, 32)


def test_another_name_is_refused_with_the_names_that_there_are() -> None:
    with pytest.raises(InputError, match=r"plurals is no file; \(did you mean 'plural'\?\) give a .*, reverse, "):
        _ = RowSource("plurals").files


def test_sums_are_what_results_have_always_had() -> None:
    rows = made_rows("sums")
    assert (len(rows), RowSource("sums").fingerprint(), rows[0]["prompt"]) == (5000, "sums-1", "24 - 12 =")
    assert all(eval(row["prompt"].rstrip("= ")) == int(row["completion"]) for row in rows)
    asked = {(row["operation"], row["larger"]) for row in rows}
    assert asked == set(itertools.product(("plus", "minus"), range(2, 52)))


def test_another_row_is_another_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    from soft_prompts.data import made_rows as module

    before = module.made_fingerprint("plural")
    assert before.startswith("plural-")
    rows = (*made_rows("plural")[1:], {"prompt": "ox ->", "completion": " oxes"})
    monkeypatch.setattr(module, "made_rows", lambda _: rows)
    assert module.made_fingerprint.__wrapped__("plural") != before
