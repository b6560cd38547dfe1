"""What is said of a model that has its prompts' training samples by heart, and does it hide nothing else?"""

import pytest

from soft_prompts.analysis.checks import NO_PROMPT
from soft_prompts.experiments.evidence.order import _seen
from soft_prompts.results.schema import Metric
from tests.checks.analysis.test_verdicts import absent, only, word
from tests.checks.made.stored_results import save_skill


@pytest.mark.parametrize(
    ("values", "at_training"),
    [({0: (3.0, 0.1)}, 0.02), ({0: (3.0, 0.1), 4: (2.9, 0.1)}, 0.02), ({0: (3.0, 0.1)}, 0.0)],
)
def test_a_model_that_has_the_training_samples_by_heart_teaches_a_prompt_nothing(values, at_training, tmp_path):
    """Fine-tuned on these very answers: no other rate or start has a gradient to follow, and no command tells more."""
    learnt = {"training_loss": Metric(at_training, 0.0, 256, "nats/move")}
    save_skill(tmp_path, values, metrics=learnt, command="soft-prompts run pathfinding --tokens 0")
    reading = only(tmp_path)
    why = f"with nothing in front the training samples are solved ({at_training:.2g} nats/move; 3 on test samples), and"
    assert reading.checks["search"][:3] == ("failed", None, f"{why} teach a prompt nothing")
    assert reading.verdict.why == f"search: {why} teach a prompt nothing"
    assert (reading.verdict.word, reading.verdict.next_command) == ("UNDECIDED", None)


@pytest.mark.parametrize(("test", "training"), [(3.0, 0.021), (17.0, 0.34), (0.5, 0.011)])
def test_a_training_loss_of_more_than_that_can_teach(test, training, tmp_path):
    """A fiftieth of a nat, and of the test loss: .34 nats a move are a move in three that is not known."""
    learnt = {"training_loss": Metric(training, 0.0, 256, "nats/move")}
    save_skill(tmp_path, {0: (test, 0.1)}, metrics=learnt)
    assert only(tmp_path).verdict.why == NO_PROMPT


@pytest.mark.parametrize(
    ("values", "expected", "why"),
    [
        ({0: (3.0, 0.95), 4: (2.9, 0.95)}, "PRESENT", None),
        ({0: (3.0, 0.5), 4: (2.9, 0.5)}, "UNDECIDED", "the interval at 0, 4 tokens holds the mark: more test items"),
        (
            {0: (3.0, 0.0), 1: (2.9, 0.1), 4: (2.8, 0.3)},
            "UNDECIDED",
            "the share still rises by 0.20 from 1 to 4 tokens",
        ),
        ({0: (3.0, 0.0), 1: (2.9, 0.3), 4: (2.8, 0.0)}, "UNDECIDED", "search: a prompt of 1 token has .30, and none"),
    ],
)
def test_learnt_by_heart_hides_nothing_that_prompts_do_all_the_same(values, expected, why, tmp_path):
    """What is there is there, what is in doubt may be shown, and where prompts gained others may gain more."""
    learnt = {"training_loss": Metric(0.0, 0.0, 256, "nats/move")}
    save_skill(tmp_path, values, metrics=learnt, command="soft-prompts run pathfinding --tokens 1 --seeds 0")
    reading = only(tmp_path)
    assert (reading.verdict.word, (reading.verdict.why or "")[: len(why or "")]) == (expected, why or "")
    assert (reading.verdict.next_command is None) == (expected == "PRESENT")
    assert not _seen(reading).is_final  # full evidence goes on


def test_learnt_by_heart_is_no_more_said_where_the_search_is_known_to_suffice(tmp_path):
    absent(tmp_path)
    learnt = {"training_loss": Metric(0.0, 0.0, 256, "nats/move")}
    save_skill(tmp_path, {0: (3.0, 0.0)}, metrics=learnt, finished="2027-01-01T00:00:00Z")
    assert word(tmp_path) == ("NOT FOUND", None)


def test_full_evidence_ends_where_training_samples_teach_nothing(tmp_path):
    learnt = {"training_loss": Metric(0.0, 0.0, 256, "nats/move")}
    save_skill(tmp_path, {0: (3.0, 0.1), 4: (2.9, 0.1)}, metrics=learnt)
    assert _seen(only(tmp_path)).is_final
