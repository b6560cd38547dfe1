"""Which figures show what a change inside a model did beside its controls? Arms of a vector; models with an association
edited in, without and with steering."""

from collections.abc import Mapping
from typing import Any

from soft_prompts.report.drawing.dots import SMALL, WIDTH, Dot, Row, dots_scene
from soft_prompts.report.drawing.layout import stacked
from soft_prompts.report.drawing.letters import text_width
from soft_prompts.report.drawing.panels import Look, legend
from soft_prompts.report.drawing.scene import SERIES, Scene
from soft_prompts.report.text import interval_text, share_text

ARMS = {  # in the order of the picture
    "vector": SERIES[0],
    "prompt": SERIES[4],
    "none": "muted",
    "random": SERIES[1],
    "shuffled labels": SERIES[2],
    "wrong class": SERIES[3],
}
NICKNAME, FUNCTION, OTHERS = (
    Look(role, marker, ()) for role, marker in zip(SERIES, ("circle", "square", "triangle"), strict=False)
)


def arms_scene(name: str, figures: Mapping[str, Any]) -> Scene | None:
    """Accuracy of every arm on the test items of all classes, each class small beneath it; None without arms."""
    together, classes = figures["together"], figures["classes"]
    rows = []
    for arm, role in ARMS.items():
        if arm in together:
            value, low, high = found = together[arm]["accuracy"]
            parts = [one["arms"][arm]["accuracy"][0] for one in classes if arm in one["arms"]]
            dot = Dot(value, low, high, role, title=f"{arm}: {interval_text(found)}")
            rows.append(Row(arm, (dot,), interval_text(found), tuple(parts) if len(parts) > 1 else ()))
    if not rows:
        return None
    several = len(classes) > 1
    of = f"{len(classes)} classes" if several else classes[0]["class"]
    along = "accuracy; small: single classes" if several else "accuracy"
    title = "Accuracy of the vector, its controls and the prompt on test items"
    return dots_scene(name, title, rows, f"accuracy on test items of {of}, 95 % intervals", along)


def edited_scene(name: str, figures: Mapping[str, Any]) -> Scene | None:
    """What nickname, function and the other functions answer in each model, and where steering leads them; None for
    what is no edit."""
    if "nickname" not in figures:
        return None
    nickname, function, elsewhere = (figures[part] for part in ("nickname", "function", "elsewhere"))
    models = figures["models"]
    names = legend([(nickname, NICKNAME), (function, FUNCTION), ("other functions", OTHERS)], WIDTH)
    cosines = [f"cosine {share_text(one['cosine'])}" for one in models]
    answers = dots_scene(
        name,
        "",
        [
            _row(one, one["answers_as_function"], one["others_answer"], words)
            for one, words in zip(models, cosines, strict=True)
        ],
        f"without steering: as {function}; others: as themselves",
        f"accuracy; cosine of {nickname} with {function}",
    )
    led = dots_scene(
        name,
        "",
        [_row(one, one["led_elsewhere"], one["others_led"]) for one in models],
        f"led from {function} to {elsewhere} at layer {figures['layer']}, strength {figures['strength']:g}",
        f"share that answers as {elsewhere}",
        max(text_width(words, SMALL) for words in cosines),
    )
    whole = stacked([names, answers, led], 4)
    title = f"What {nickname} answers before and after the edit, and where steering leads it"
    return Scene(name, title, whole.width, whole.height, whole.shapes)


def _row(model: Mapping[str, Any], shares: Mapping[str, Any], others: float, words: str = "") -> Row:
    """Of the others there is a mean alone."""
    dots = list[Dot]()
    for who, look in (("nickname", NICKNAME), ("function", FUNCTION)):
        value, low, high = found = shares[who]
        dots.append(Dot(value, low, high, look.role, look.marker, f"{model['model']}: {interval_text(found)}"))
    dots.append(Dot(others, None, None, OTHERS.role, OTHERS.marker, f"{model['model']}: {share_text(others)}"))
    return Row(model["model"], tuple(dots), words)
