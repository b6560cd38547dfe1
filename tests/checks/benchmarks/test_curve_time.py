"""Does a curve count as finished where, and only where, its runs came near the long run's loss?"""

from tests.benchmarks.curve_time import NEAR, reached


def test_runs_are_held_against_the_long_run_of_their_own_token_count() -> None:
    long_run = {1: 1.75, 4: 1.25}
    losses = {(1, 0): 1.75 + NEAR / 2, (1, 1): 1.70, (4, 0): 1.25 + 3 * NEAR, (4, 1): 1.25}
    came = reached(losses, long_run)
    assert (came.runs, came.near) == (4, 3)
    assert came.farthest == round(3 * NEAR, 4)
