import math

import pytest

from trm_cli.solving.statistics import mcnemar, student_p, t_interval, two_shares, welch, wilson


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17, table I: score method without correction
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_is_wilson_s(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


def test_nothing_tried_says_nothing_and_the_interval_stays_within_0_and_1() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(7, 7)[1] == 1.0
    assert wilson(0, 7)[0] == 0.0


def test_mcnemar_is_the_two_sided_binomial_test() -> None:
    assert mcnemar(5, 0) == pytest.approx(2 / 2**5)
    assert mcnemar(1, 7) == pytest.approx(2 * (1 + 8) / 2**8)
    assert mcnemar(4, 4) == mcnemar(0, 0) == 1.0
    assert mcnemar(7, 1) == mcnemar(1, 7)
    by_hand = 2 * sum(math.comb(2000, k) for k in range(901)) / 2**2000
    assert mcnemar(1100, 900) == pytest.approx(by_hand, rel=1e-6)


def test_student_s_distribution_is_that_of_the_tables() -> None:
    for t, freedom, p in ((12.7062, 1, 0.05), (4.30265, 2, 0.05), (2.77645, 4, 0.05), (3.49948, 7, 0.01)):
        assert student_p(t, freedom) == pytest.approx(p, rel=1e-3)
    assert student_p(0.0, 3) == pytest.approx(1.0)
    assert student_p(1.95996, 1e6) == pytest.approx(0.05, rel=1e-3)


def test_intervals_and_tests_are_those_of_a_textbook() -> None:
    half = 4.30265 * 0.1 / 3**0.5
    assert list(t_interval([0.4, 0.5, 0.6])) == pytest.approx([0.5 - half, 0.5 + half], abs=1e-4)
    assert t_interval([0.0, 0.0]) == (0.0, 0.0)
    assert welch([0, 1, 2], [3, 4, 5]) == pytest.approx(0.02131, rel=1e-3)
    assert welch([0.1, 0.1], [0.1, 0.1]) == 1.0
    assert welch([0.1, 0.1], [0.2, 0.2]) == 0.0
    assert two_shares(45, 100, 30, 100) == pytest.approx(0.0285, abs=2e-4)
    assert two_shares(0, 10, 0, 20) == 1.0
