"""Which figures show what an intervention changed? Tokens by their excess, kinds of answers, and the probe's curve."""

from collections.abc import Sequence
from typing import Any

from soft_prompts.report.drawing.axes import (
    NAME_ROOM,
    Frame,
    Tick,
    along_ticks,
    down_ticks,
    left_room,
    padded,
    value_ticks,
)
from soft_prompts.report.drawing.letters import text_width
from soft_prompts.report.drawing.panels import NAMES, RIGHT, TOP
from soft_prompts.report.drawing.scene import Area, Cloud, Label, Mark, Scene, Shape, Stroke

WIDTH, HEIGHT = 360.0, 262.0
WIDE = 740.0
SIZE, LINE = 11.0, 19.0  # of a text's letters and lines
DARKEST = 0.75  # of the token that differs most
TARGET, CONTROLS, REFINED = "series-2", "series-1", "series-3"


def heat_scene(name: str, heat: Sequence[dict[str, Any]]) -> Scene:
    """Texts token by token: the darker, the more target and base differ beyond the controls."""
    most = max((value for one in heat for value in one["excess"]), default=0.0)
    shapes, y = list[Shape](), LINE
    for one in heat:
        x = 4.0
        for token, value in zip(one["tokens"], one["excess"], strict=True):
            for at, piece in enumerate(token.split("\n")):
                shown = piece.replace("\t", " ")
                wide = text_width(shown, SIZE)
                if at or x + wide > WIDE - 4:
                    x, y = 4.0, y + LINE
                if value > 0 and most > 0 and wide:
                    corners = [(x, y - 13), (x + wide, y - 13), (x + wide, y + 4), (x, y + 4)]
                    shapes.append(Area(corners, TARGET, round(DARKEST * value / most, 3)))
                if shown.strip():
                    shapes.append(Label((x, y), shown, "ink", SIZE))
                x += wide
        y += 1.6 * LINE
    title = "Texts, each token the darker, the more target and base differ behind it beyond the controls"
    return Scene(name, title, WIDE, max(y - LINE, LINE), shapes)


def clusters_scene(name: str, points: dict[str, Any], target: str) -> Scene:
    """Every sample in the plane of its two largest directions."""
    places, owners = points["at"], points["model"]
    ends = [padded([place[axis] for place in places], 0.05) for axis in (0, 1)]
    across, up = (end if end[0] < end[1] else (end[0] - 1, end[1] + 1) for end in ends)
    frame = Frame(12, WIDTH - RIGHT, TOP, HEIGHT - 12, (across[0], up[0]), (across[1], up[1]))
    shapes = list[Shape]()
    for is_target, role in ((False, CONTROLS), (True, TARGET)):
        own = [
            frame.place(x, y) for (x, y), owner in zip(places, owners, strict=True) if (owner == target) == is_target
        ]
        shapes.append(Cloud(own, role, 2.0, 0.5))
    shapes += _key([("target", TARGET), ("controls", CONTROLS)])
    return Scene(name, "Samples by what they hold: the target's and the controls'", WIDTH, HEIGHT, shapes)


def probe_scene(name: str, lengths: Sequence[dict[str, Any]]) -> Scene:
    """Excess over the length of the prompt, with two standard errors, and the largest placebo of each length."""
    plain = [one for one in lengths if not one["refined"]]
    refined = [one for one in lengths if one["refined"]]
    values = [one["excess"] + sign * 1.96 * one["stderr"] for one in lengths for sign in (-1, 1)]
    values += [value for one in lengths for value in one["placebos"]]
    least, most = padded([0.0, *values])
    ticks, counts = value_ticks(least, most), [one["tokens"] for one in plain]
    frame = Frame(left_room(ticks), WIDTH - RIGHT, TOP, HEIGHT - NAME_ROOM, (0.7, least), (max(counts) + 0.3, most))
    shapes: list[Shape] = [Label((4, TOP - 10), "excess, nats a token", size=NAMES), *down_ticks(frame, ticks)]
    shapes += along_ticks(frame, [Tick(count, str(count)) for count in counts], "probe tokens")
    for each, role in ((plain, TARGET), (refined, REFINED)):
        shapes += _curve(frame, each, role)
    if plain:
        placebos = [frame.place(one["tokens"], max(one["placebos"])) for one in plain]
        shapes.append(Stroke(placebos, CONTROLS, 1.5, (4, 3)))
    shapes += _key([("tokens", TARGET), ("refined", REFINED), ("largest placebo", CONTROLS)])
    return Scene(name, "How much a probe of so many tokens reveals", WIDTH, HEIGHT, shapes)


def _curve(frame: Frame, lengths: Sequence[dict[str, Any]], role: str) -> list[Shape]:
    shapes: list[Shape] = [Stroke([frame.place(one["tokens"], one["excess"]) for one in lengths], role, 2)]
    for one in lengths:
        low, high = (one["excess"] + sign * 1.96 * one["stderr"] for sign in (-1, 1))
        shapes.append(Stroke([frame.place(one["tokens"], low), frame.place(one["tokens"], high)], role, 1.2))
        title = f"{one['text']!r}: {one['excess']:+.3f}"
        shapes.append(Mark(frame.place(one["tokens"], one["excess"]), role, filled=one["reveals"], title=title))
    return shapes if lengths else []


def _key(names: Sequence[tuple[str, str]]) -> list[Shape]:
    shapes, x = list[Shape](), 150.0 if len(names) > 2 else 220.0
    for name, role in names:
        shapes += [Mark((x, TOP - 14), role), Label((x + 7, TOP - 10), name, "ink", 10.5)]
        x += 20 + text_width(name, 10.5)
    return shapes
