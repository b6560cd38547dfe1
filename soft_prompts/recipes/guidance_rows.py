"""How are the embedded questions made? Short questions about invented people and places, five answers to each.

Every answer fits every question, and no answer is common: whoever gives the right one has read it, or remembers it.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from soft_prompts.recipes import cards
from soft_prompts.tasks.guidance.answers import constant_floor, is_exact

ROWS = 1200
ANSWERS = 5
SEED = 4

GAPS = {
    "person": "Mira,Oskar,Tilda,Bruno,Ines,Jonas,Petra,Willem,Sanna,Rufus,Greta,Anton,Lidia,Casper,Norah,Emil,Vera,"
    "Hugo,Paula,Leo,Agnes,Boris,Clara,Dario,Edda,Felix,Hanna,Igor,Judith,Karl,Lotte,Marek,Nina,Otto,Pia,Ralf,Sofia,"
    "Timo,Ursula,Viktor",
    "town": "Arnby,Belport,Corwick,Dunmoor,Eastrey,Farholm,Garlow,Hexton,Ilmere,Jarrow,Kelsby,Lunden,Morvik,Norwell,"
    "Ostrand,Pelham,Quarley,Rosby,Stanmere,Tolgate,Ulverby,Varnes,Westrup,Yarmere,Zelfort,Birkdale,Calder,"
    "Thornby,Fenwick,Oakmere",
    "house": "mill,bakery,library,school,harbour,station,chapel,museum,market,theatre,lighthouse,inn",
    "trade": "baker,sailor,painter,teacher,gardener,tailor,miller,doctor,fisher,smith,potter,driver",
}
ALL_ANSWERS = (
    "plum cake,onion soup,rye bread,goat cheese,roast beans,honey toast,fried trout,apple pie,"
    "lentil stew,cold ham,pickled eggs,barley porridge,carrot salad,mushroom rice,cherry jam,"
    "potato pancakes,smoked eel,pea soup,mint tea,black coffee,warm milk,apple juice,ginger beer,"
    "lemon water,plum wine,cold cider,rose tea,a grey goose,an old donkey,a blind cat,two goats,"
    "a white raven,a lame fox,a brown mule,three hens,a tame otter,a spotted pig,a small owl,"
    "a hungry wolf,a shy deer,a fat toad,a black swan,a stubborn ram,a brass key,a torn map,a glass bead,"
    "an iron nail,a silver spoon,a wooden flute,a wax candle,a blue button,an empty bottle,a broken clock,"
    "a small mirror,a coil of rope,a box of chalk,a bag of salt,a lost glove,a stamp album,a paper kite,"
    "an old coin,a red bicycle,a river boat,a night train,a borrowed van,a stone bridge,a round tower,"
    "a dry well,a garden wall,a paper lantern,a drum of oil,a sack of coal,a chest of silk,a ring of gold,"
    "a wild rose,a hollow oak,a bed of tulips,a thorny hedge,seven pears,forty marbles,twelve feathers,"
    "ninety steps,five white stones,a dark red hat,a pale blue cloak,a pair of boots,a torn sail,"
    "a leather belt,a winter storm,a full moon,a summer night,morning fog,deep snow,a retired judge,"
    "a travelling singer,the night guard,the youngest clerk,two sisters,a former pirate,a quiet widow"
)
KNOWN_ANSWERS = tuple(ALL_ANSWERS.split(","))

# Any answer fits any question: a model that knows nothing of these people cannot even tell what kind is asked for.
PATTERNS = (
    "What does {person} dream of in {town}?",
    "What does {person} draw for the {trade}?",
    "What does {person} fear most in {town}?",
    "What did {person} buy in {town}?",
    "What did {person} lose on the road to {town}?",
    "What did {person} hide behind the {house} of {town}?",
    "What did {person} send to the {trade}?",
    "What does {person} talk about at the {house}?",
    "What did {person} see from the {house} of {town}?",
    "What does {person} want from the {trade}?",
    "What does the {trade} of {town} collect?",
    "What did the {trade} of {town} find in the cellar?",
    "What does the {trade} of {town} sing about?",
    "What did the {trade} of {town} give to {person}?",
    "What does the {trade} of {town} never mention?",
    "What is hidden in the {house} of {town}?",
    "What is painted on the door of the {house} in {town}?",
    "What was stolen from the {house} of {town}?",
    "What is carved above the {house} of {town}?",
    "What did the flood leave in the {house} of {town}?",
    "What is on the flag of the {trade} of {town}?",
    "What was the first prize at the {house} of {town}?",
    "What is the song of the {trade} of {town} about?",
    "What did {person} promise to the people of {town}?",
)


def make_rows(count: int = ROWS, seed: int = SEED) -> Iterator[dict[str, object]]:
    """Different questions, patterns in turn; the answers are used equally often."""
    random = Random(seed)
    asked: set[str] = set()
    deck: list[str] = []
    number = 0
    while len(asked) < count:
        pattern = PATTERNS[number % len(PATTERNS)]
        number += 1
        question = pattern.format(**{gap: random.choice(words.split(",")) for gap, words in GAPS.items()})
        if question not in asked:
            asked.add(question)
            yield {"anchor": question, "targets": _deal(deck, random)}


def _deal(deck: list[str], random: Random) -> list[str]:
    """Five different answers from the top of a deck that is shuffled anew when it runs out."""
    dealt: list[str] = []
    while len(dealt) < ANSWERS:
        if not deck:
            deck.extend(KNOWN_ANSWERS)
            random.shuffle(deck)
        place = next((place for place, answer in enumerate(deck) if answer not in dealt), None)
        if place is None:  # all that is left is dealt already
            deck.clear()
        else:
            dealt.append(deck.pop(place))
    return dealt


def rows_text(rows: Sequence[dict[str, object]]) -> str:
    """The rows as a JSONL file holds them."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def build_guidance_rows(out: Path) -> Path:
    """The folder of the embedded rows with its card."""
    folder, rows = out / "guidance", list(make_rows())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.jsonl").write_text(rows_text(rows), encoding="utf-8")
    floor = constant_floor([str(answer) for row in rows for answer in row["targets"]], is_exact)  # pyright: ignore
    card = {
        "name": "guidance",
        "what": "Questions about invented people and places with five short answers each: rows for `soft-prompts "
        "guidance-data`. Every answer fits every question: nothing in a question tells its answer, or its kind.",
        "data": {"rows": f"{len(rows)} ({len(PATTERNS)} patterns, {len(KNOWN_ANSWERS)} answers)", "seed": SEED},
        "measured": {"share_of_the_commonest_answer": {"value": floor.value, "n": ANSWERS * len(rows)}},
        "made_by": "python -m soft_prompts.recipes build guidance-rows",
        "licence": cards.LICENCE,
    }
    cards.write_card(folder, card)
    return folder
