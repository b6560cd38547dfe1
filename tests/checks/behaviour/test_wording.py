"""Are words found that are there, none that are not, and by the half of the prompts that has not proposed them?"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from soft_prompts.behaviour.comparison import settings
from soft_prompts.behaviour.comparison.asked import Asked
from soft_prompts.behaviour.comparison.compare import judge
from soft_prompts.behaviour.sampling.samples import Written, distinct_bigrams
from soft_prompts.behaviour.wording import clusters, labels
from soft_prompts.behaviour.wording.clusters import cluster_texts
from soft_prompts.behaviour.wording.features import read_vocabulary, tf_idf
from soft_prompts.behaviour.wording.labels import find_labels, label_samples
from soft_prompts.behaviour.wording.phrases import Phrases, phrases_of
from soft_prompts.behaviour.wording.two_sample import differences, tell_beyond
from soft_prompts.commands import main as cli
from soft_prompts.common.errors import UsageError
from soft_prompts.data.texts.words import words_of
from soft_prompts.stats.proportions import least_error

WORDS = [f"w{number}" for number in range(60)]


def samples(seed: int, count: int = 200, planted: float = 0.0, word: str = "zebra crossing") -> list[Written]:
    """Random words, and in a share of the texts something planted."""
    draw = random.Random(seed)
    found = []
    for place in range(count):
        words = draw.choices(WORDS, k=12)
        if draw.random() < planted:
            words.insert(draw.randrange(12), word)
        found.append(Written(f"p{place}", "", " ".join(words)))
    return found


def test_phrases_are_runs_of_words_as_they_are_written() -> None:
    assert phrases_of("Say it!") == {"Say", "it", "Say it", "it !", "Say it !"}
    assert phrases_of("?! ...") == frozenset()


def test_words_are_those_of_their_script() -> None:
    """Some scripts have no spaces; a vowel sign or an accent stays with its letter."""
    assert words_of("我想要猫,谢谢") == ["我", "想", "要", "猫", ",", "谢", "谢"]
    assert words_of("これはペン") == list("これはペン")
    assert words_of("नमस्ते दुनिया") == ["नमस्ते", "दुनिया"]
    assert words_of("nai\u0308ve x² a_b 12.5") == ["nai\u0308ve", "x²", "a", "_", "b", "12", ".", "5"]
    assert words_of("Привет, 한국어 문장") == ["Привет", ",", "한국어", "문장"]
    assert words_of("ที่") == ["ที่"]
    assert phrases_of("人々") == {"人", "々", "人々"}
    assert phrases_of("想要猫") == {"想", "要", "猫", "想要", "要猫", "想要猫"}
    assert "see 猫" in phrases_of("we see 猫")
    assert distinct_bigrams(["我想要猫", "我想要书"]) == 4 / 6


def test_what_is_planted_is_found_in_a_script_without_spaces() -> None:
    def chinese(seed: int, planted: float = 0.0) -> list[Written]:
        draw, found = random.Random(seed), []
        for place in range(300):
            words = draw.choices("我想要书的那本你他看大小上下来去说话人天", k=12)
            if draw.random() < planted:
                words.insert(draw.randrange(12), "猫")
            found.append(Written(f"p{place}", "", "".join(words)))
        return found

    labels = label_samples(chinese(0, 0.3), [chinese(1), chinese(2)], Phrases(), 20)
    assert labels[0].text == "猫"
    assert labels[0].adjusted_p < 1e-3
    assert all("猫" in text for text in labels[0].examples)


def test_what_is_planted_is_proposed_and_found() -> None:
    labels = label_samples(samples(0, planted=0.2), [samples(1), samples(2)], Phrases(), 20)
    first = labels[0]
    assert first.text in ("zebra", "crossing", "zebra crossing")
    assert first.adjusted_p < 1e-3
    assert first.control_rate == 0
    assert 0.1 < first.rate < 0.3
    assert first.area == pytest.approx(0.5 + first.rate / 2)
    assert all("zebra" in text for text in first.examples)
    assert sum(one.adjusted_p <= 0.05 for one in labels) <= 3


def test_nothing_planted_is_hardly_ever_found() -> None:
    false = 0
    for seed in range(40):
        labels = label_samples(samples(3 * seed, 100), [samples(3 * seed + k, 100) for k in (1, 2)], Phrases(), 20)
        false += any(one.adjusted_p <= 0.05 for one in labels)
    assert false <= 4  # of .05, 40 draws: more than 4 in one of a hundred


def test_a_label_that_one_control_has_too_is_none() -> None:
    own, with_it = samples(0, planted=0.3), samples(9, planted=0.3)
    assert label_samples(own, [samples(1), samples(2)], Phrases(), 20)[0].adjusted_p < 0.01
    found = label_samples(own, [samples(1), with_it], Phrases(), 20)
    assert all(one.adjusted_p > 0.05 for one in found if "zebra" in one.text)


def test_the_half_that_tests_has_not_proposed() -> None:
    """A labeller that learns its texts by heart gains nothing."""

    class ByHeart:
        name = "by heart"

        def propose(self, others: Sequence[str], own: Sequence[str], most: int) -> list[str]:
            self.seen = set(own)
            return ["seen before"]

        def score(self, predicate: str, text: str) -> float:
            return float(text in self.seen)

    (found,) = label_samples(samples(0), [samples(1)], ByHeart(), 20)
    assert (found.rate, found.p) == (0.0, 1.0)


def test_labels_need_a_control_beside_the_reference(make_asked: Callable[..., Asked]) -> None:
    found = find_labels(make_asked(controls=1))
    assert found.verdict == "untested"
    assert found.p is None
    assert "0 controls" not in " ".join(found.warnings)


class Proposes:
    """So many labels that the target has in every sample, and no control in any."""

    name = "proposes"

    def __init__(self, count: int) -> None:
        self.count = count

    def propose(self, others: Sequence[str], own: Sequence[str], most: int) -> list[str]:
        return [f"label {number}" for number in range(self.count)]

    def score(self, predicate: str, text: str) -> float:
        return float("zebra" in text)


def test_labels_of_which_none_could_stand_are_untested(
    make_asked: Callable[..., Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven prompts test: one label, or six, stand at .05 after Holm over them; seven cannot, and none is no label."""
    asked, count = make_asked(), 11
    while len(labels._half(samples(0, count), 1)) != 7:
        count += 1

    def written(asked: Asked, name: str) -> list[Written]:
        return samples(0, count, planted=float(name == asked.family.target), word="zebra")

    monkeypatch.setattr(labels, "contrastive_samples", written)
    for proposed in (1, 6):
        found = find_labels(asked, Proposes(proposed))
        assert (found.verdict, found.n, len(found.examples)) == ("not shown", 7, proposed)
        assert found.p == found.smallest_p == proposed * 2.0**-7
    assert found.details["least_rate"] == 1.0  # every sample must have it
    for proposed, why in ((7, "7 prompts test 7 labels: none could stand"), (0, "no label is proposed")):
        found = find_labels(asked, Proposes(proposed))
        assert (found.verdict, found.p, found.warnings) == ("untested", None, ())
        assert found.sentence.startswith(why)


class Silent(Proposes):
    """Says nothing of the texts that it is asked of first."""

    def __init__(self, most: int) -> None:
        super().__init__(1)
        self.most = most

    def score(self, predicate: str, text: str) -> float:
        if self.most > 0:
            self.most -= 1
            return math.nan
        return super().score(predicate, text)


@pytest.mark.parametrize(
    ("silent", "planted", "verdict", "unanswered"),
    [
        (0, 0.0, "not shown", 0),
        (2, 0.0, "not shown", 2),  # had the target what they ask, two more of its samples would be chance
        (20, 0.0, "untested", 20),
        (10**6, 0.0, "untested", 0),
        (10**6, 1.0, "untested", 0),
        (2, 1.0, "changed", 2),  # whatever they hold, the others show it
        (20, 1.0, "changed", 20),
    ],
)
def test_what_the_labeller_does_not_answer_is_neither_yes_nor_no(
    make_asked: Callable[..., Asked],
    monkeypatch: pytest.MonkeyPatch,
    silent: int,
    planted: float,
    verdict: str,
    unanswered: int,
) -> None:
    asked = make_asked()

    def written(asked: Asked, name: str) -> list[Written]:
        return samples(0, 60, planted=planted * (name == asked.family.target), word="zebra")

    monkeypatch.setattr(labels, "contrastive_samples", written)
    (found,) = judge([find_labels(asked, Silent(silent))], 0.05)
    assert found.verdict == verdict, found
    questions = 4 * found.n  # the target's and those of three spare controls
    count = unanswered or (questions if silent else 0)
    assert found.details.get("unanswered", 0) == count
    if count:
        assert f"neither yes nor no to 'label 0' {count} of {questions}" in found.sentence
    assert found.sentence.endswith("answered, they could show a change") == (verdict == "untested")
    assert (found.p is None) == (verdict == "untested")


def test_what_is_not_answered_is_judged_over_all_parts(make_asked: Callable[..., Asked]) -> None:
    """Shown by one part alone, not among four: as little as what is not answered could show it."""
    some = make_asked().described(
        "labels", "s", verdict="not shown", p=0.04, details={"unanswered": 1, "least_p": 0.001}
    )
    others = [replace(some, part=part, p=0.5, details={}) for part in ("divergence", "two-sample", "probe")]
    assert [one.verdict for one in judge([some], 0.05)] == ["changed"]
    assert [one.verdict for one in judge([some, *others], 0.05)] == ["untested", *["not shown"] * 3]
    sure = replace(some, details={"unanswered": 1, "least_p": 0.03})
    assert [one.verdict for one in judge([sure, *others], 0.05)] == ["not shown"] * 4


def test_a_labeller_that_proposes_nothing_has_not_answered(
    make_asked: Callable[..., Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labels, "contrastive_samples", lambda asked, name: samples(0, 60))
    labeller = Proposes(1)
    monkeypatch.setattr(labeller, "propose", lambda *given: None)
    found = find_labels(make_asked(), labeller)
    assert (found.verdict, found.details["unanswered"]) == ("untested", 1)
    assert "1 of 1 questions unanswered" in found.sentence
    assert label_samples(samples(0), [samples(1)], labeller, 3) == []


def test_samples_that_differ_are_told_apart_and_others_are_not() -> None:
    told, *_ = tell_beyond(samples(0, planted=0.5), samples(1), [])
    assert told.accuracy > 0.65
    assert told.p < 1e-3
    null = [tell_beyond(samples(2 * seed), samples(2 * seed + 1), [])[0] for seed in range(5, 25)]
    assert abs(np.mean([one.accuracy for one in null]) - 0.5) < 0.05
    assert sum(one.p <= 0.05 for one in null) <= 4
    assert tell_beyond(samples(0), samples(0), [])[0].accuracy == 0.5


def test_the_excess_of_what_is_told_apart_pairs_the_prompts() -> None:
    """By hand: the spread of prompts, target less the mean of controls, and of the controls."""
    own, reference, spare = samples(0, planted=0.5), samples(1), [samples(2), samples(3), samples(4)]
    told, others, lead = tell_beyond(own, reference, spare)
    sides = [np.sign(differences(one, reference)) / 2 + 0.5 for one in (own, *spare)]
    gains = sides[0] - np.mean(sides[1:], axis=0)
    assert [told.accuracy, *(one.accuracy for one in others)] == pytest.approx([one.mean() for one in sides])
    assert lead.value == pytest.approx(gains.mean())
    spread = np.var([one.accuracy for one in others], ddof=1) * 4 / 3
    assert lead.stderr == pytest.approx(np.sqrt(gains.var(ddof=1) / len(gains) + spread))


def test_few_prompts_that_all_differ_have_no_p_of_nothing() -> None:
    """Ten pairs, all told apart, and controls like their reference: Agresti and Coull's error of 10 of 10."""
    assert least_error(10) == pytest.approx(stats.binom.std(1, 11.9207 / 13.8415) / np.sqrt(13.8415), rel=1e-4)

    def written(text: str) -> list[Written]:
        return [Written(f"p{n}", "", text) for n in range(20)]

    told, _, lead = tell_beyond(written("class class"), written("of and the"), [written("of and the")] * 3)
    assert (told.accuracy, lead.value) == (1.0, 0.5)
    assert lead.stderr == pytest.approx(least_error(told.n))
    assert lead.p is not None
    assert lead.p > 0.5**told.n  # the exact test of the signs


def test_features_are_those_of_the_formula() -> None:
    texts = ["a b", "a c", "a b d"]
    vocabulary = read_vocabulary(texts)
    assert list(vocabulary.places) == ["a", "a b", "b"]  # in two texts or more
    weights = np.log(4 / np.array([4, 3, 3])) + 1
    np.testing.assert_allclose(
        tf_idf(["b b a z"], vocabulary).toarray()[0],
        [w / np.linalg.norm(weights * [1, 0, 2]) for w in weights * [1, 0, 2]],
    )


def test_the_largest_directions_are_those_of_the_whole_decomposition() -> None:
    """Products of all texts from the sparse decomposition and from numpy's dense one; twice the same."""
    draw = random.Random(0)
    texts = [" ".join(draw.choices("abcdefghijklmno", k=12)) for _ in range(60)]
    features = tf_idf(texts, read_vocabulary(texts))
    places = clusters._largest_directions(features)
    left, values, _ = np.linalg.svd(features.toarray())
    whole = left[:, : clusters.DIRECTIONS] * values[: clusters.DIRECTIONS]
    assert places.shape == whole.shape == (60, clusters.DIRECTIONS)
    assert np.allclose(places @ places.T, whole @ whole.T)
    assert np.allclose(np.abs(places), np.abs(whole))
    assert np.array_equal(places, clusters._largest_directions(features))


def test_two_kinds_of_texts_are_two_clusters(make_asked: Callable[..., Asked]) -> None:
    texts = [one.text for one in samples(0, 30)] + ["red green blue red green"] * 20
    places, kinds = cluster_texts(texts, "kmeans", make_asked())
    assert places.shape[0] == 50
    assert len(set(kinds[30:].tolist())) == 1
    again, same = cluster_texts(texts, "kmeans", make_asked())
    np.testing.assert_array_equal(kinds, same)
    np.testing.assert_allclose(places, again)


def test_hdbscan_says_what_to_install(
    make_asked: Callable[..., Asked], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In Python where it is called, in a command before a model is opened."""
    monkeypatch.setattr(settings, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"install soft_prompts\[clusters\]"):
        cluster_texts(["a b"] * 9 + ["c d"] * 9 + ["e f a"] * 4, "hdbscan", make_asked())
    words = ["--documents=d.jsonl", "--clusters-by=hdbscan"]
    for command in (["behaviour", "clusters", "--base=a", "--target=b", *words], ["gate", "a", "b", *words]):
        with pytest.raises(SystemExit) as ended:
            cli.main(command)
        said = capsys.readouterr().err
        assert (ended.value.code, said.count("\n")) == (2, 1), said
        assert "install soft_prompts[clusters], or give kmeans" in said
