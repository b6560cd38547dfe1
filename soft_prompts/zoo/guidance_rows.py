"""How are the embedded questions made? Short questions about invented people and places, five answers to each.

No answer can be guessed from its question, and no answer is common: whoever gives one has read it, or remembers it.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

from soft_prompts.answers import constant_floor, is_exact
from soft_prompts.zoo import cards

ROWS = 600
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
LISTS = {
    "food": "plum cake,onion soup,rye bread,goat cheese,roast beans,honey toast,fried trout,apple pie,lentil stew,"
    "cold ham,pickled eggs,barley porridge,carrot salad,mushroom rice,cherry jam,potato pancakes,smoked eel,"
    "pea soup",
    "drink": "mint tea,black coffee,warm milk,apple juice,cocoa,ginger beer,lemon water,plum wine,cold cider,rose tea",
    "animal": "a grey goose,an old donkey,a blind cat,two goats,a white raven,a lame fox,a brown mule,three hens,"
    "a tame otter,a spotted pig,a small owl,a hungry wolf,a shy deer,a fat toad,a black swan,a stubborn ram",
    "colour": "dark red,pale blue,mint green,bright yellow,snow white,dull grey,deep purple,light brown,coal black,"
    "soft pink,orange,silver",
    "thing": "a brass key,a torn map,a glass bead,an iron nail,a silver spoon,a wooden flute,a wax candle,"
    "a blue button,an empty bottle,a broken clock,a small mirror,a coil of rope,a box of chalk,a bag of salt,"
    "a lost glove,a stamp album,a paper kite,an old coin",
    "place": "under the bridge,behind the barn,by the lake,on the roof,in the attic,near the well,beside the church,"
    "in the cellar,at the ferry,along the wall,inside the tower,at the edge of the forest,above the shop,"
    "in the orchard",
    "time": "at dawn,at noon,after supper,before sunrise,at midnight,on Friday,in early spring,once a month,in June,"
    "every Sunday,late in autumn,after the rain,at nine,on market days",
    "way": "by sledge,on foot,by river boat,with great care,in a borrowed van,on a red bicycle,by night train,"
    "on a pony,through the tunnel,over the hills,in complete silence,with a lantern",
    "reason": "to save money,because of the noise,for the view,to please the mayor,out of habit,because it rains,"
    "for a bet,to stay awake,because of a dream,to keep the birds away,for good luck,because nobody asked",
    "person": "the mayor,a retired judge,her uncle,the night guard,a travelling singer,the youngest clerk,a monk,"
    "the postman,two sisters,a former pirate,the organist,an old nurse,the chess club,a quiet widow",
    "number": "seven,twelve,nineteen,forty,three,sixty-one,eleven,two hundred,twenty-six,five,ninety,thirteen,"
    "thirty-four,eighty-eight",
    "skill": "juggling,playing the harp,baking bread,mending nets,reading maps,wrestling,whistling,carving spoons,"
    "telling lies,counting stars,climbing trees,taming bees,drawing horses,folding paper",
}


class Pattern(NamedTuple):
    """A question with a gap or two, and the list that its answers come from."""

    question: str
    answers: str


PATTERNS = (
    Pattern("What does {person} eat for breakfast?", "food"),
    Pattern("What is {town} famous for cooking?", "food"),
    Pattern("What do the people of {town} drink in winter?", "drink"),
    Pattern("What does {person} order at the inn of {town}?", "drink"),
    Pattern("Which animal guards the {house} of {town}?", "animal"),
    Pattern("What did {person} meet on the road to {town}?", "animal"),
    Pattern("What colour is the door of the {house} in {town}?", "colour"),
    Pattern("Which colour does {person} never wear?", "colour"),
    Pattern("What does {person} keep in a drawer?", "thing"),
    Pattern("What did the {trade} of {town} find in the cellar?", "thing"),
    Pattern("Where does {person} sleep in summer?", "place"),
    Pattern("Where is the key to the {house} of {town} hidden?", "place"),
    Pattern("When does the {house} of {town} open?", "time"),
    Pattern("When does {person} visit the {trade}?", "time"),
    Pattern("How does {person} travel to {town}?", "way"),
    Pattern("How does the {trade} of {town} come home?", "way"),
    Pattern("Why did {person} move to {town}?", "reason"),
    Pattern("Why does the {trade} of {town} sing at work?", "reason"),
    Pattern("Who owns the {house} of {town}?", "person"),
    Pattern("Who taught {person} to read?", "person"),
    Pattern("How many windows has the {house} of {town}?", "number"),
    Pattern("How many letters did {person} write to {town}?", "number"),
    Pattern("What is {person} better at than the {trade}?", "skill"),
    Pattern("What is taught at the school of {town}?", "skill"),
)


def make_rows(count: int = ROWS, seed: int = SEED) -> Iterator[dict[str, object]]:
    """Different questions, patterns in turn; the answers of a list are used equally often."""
    random = Random(seed)
    asked: set[str] = set()
    decks: dict[str, list[str]] = {name: [] for name in LISTS}
    number = 0
    while len(asked) < count:
        pattern = PATTERNS[number % len(PATTERNS)]
        number += 1
        question = _question(pattern, random)
        if question not in asked:
            asked.add(question)
            yield {"anchor": question, "targets": _deal(decks[pattern.answers], LISTS[pattern.answers], random)}


def _question(pattern: Pattern, random: Random) -> str:
    return pattern.question.format(**{gap: random.choice(words.split(",")) for gap, words in GAPS.items()})


def _deal(deck: list[str], words: str, random: Random) -> list[str]:
    """Five different answers from the top of a deck that is shuffled anew when it runs out."""
    dealt: list[str] = []
    while len(dealt) < ANSWERS:
        if not deck:
            deck.extend(words.split(","))
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
        "guidance-data`. Nothing in a question tells its answer.",
        "data": {"rows": f"{len(rows)} ({len(PATTERNS)} patterns, {len(LISTS)} lists of answers)", "seed": SEED},
        "measured": {"share_of_the_commonest_answer": {"value": floor.value, "n": ANSWERS * len(rows)}},
        "made_by": "python -m soft_prompts.zoo build guidance-rows",
        "licence": cards.LICENCE,
    }
    cards.write_card(folder, card)
    return folder
