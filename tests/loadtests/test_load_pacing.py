import itertools
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests import corpus, operations, pacing

RATES = st.floats(0, 200)
DURATIONS = st.floats(0.05, 10)
FEW = settings(max_examples=40, deadline=None)
PROFILES = st.lists(
    st.tuples(DURATIONS, RATES, RATES)
    .filter(lambda told: told[1] + told[2] > 0.1)
    .map(lambda told: pacing.Segment(*told)),
    min_size=1,
    max_size=4,
).map(tuple)


@FEW
@given(PROFILES)
def test_constant_arrivals_are_as_many_as_the_profile_expects(profile: tuple[pacing.Segment, ...]) -> None:
    moments = list(pacing.arrivals(profile, "constant", random.Random(0)))
    assert abs(len(moments) - pacing.expected(profile)) <= 1
    assert moments == sorted(moments)
    assert all(0 <= moment <= sum(segment.duration for segment in profile) for moment in moments)


@FEW
@given(st.floats(1, 200), st.floats(0.5, 10))
def test_a_constant_rate_is_evenly_spaced(rate: float, duration: float) -> None:
    moments = list(pacing.arrivals(pacing.steady(rate, duration), "constant", random.Random(0)))
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert gaps == pytest.approx([1 / rate] * len(gaps), rel=1e-6)


@FEW
@given(st.integers(0, 2**32), st.floats(20, 100), st.floats(0, 100))
def test_poisson_arrivals_keep_the_rate_and_repeat_with_their_seed(
    seed: int, start: float, end: float
) -> None:
    profile = pacing.ramp(start, end, 20)
    moments = list(pacing.arrivals(profile, "poisson", random.Random(seed)))
    # Six standard deviations of a Poisson count: never by chance.
    assert abs(len(moments) - pacing.expected(profile)) < 6 * pacing.expected(profile) ** 0.5
    assert moments == list(pacing.arrivals(profile, "poisson", random.Random(seed)))
    assert moments == sorted(moments)


def test_poisson_gaps_vary_as_much_as_they_last() -> None:
    moments = list(pacing.arrivals(pacing.steady(200, 50), "poisson", random.Random(3)))
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    mean = sum(gaps) / len(gaps)
    spread = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert spread == pytest.approx(mean, rel=0.05)


def test_a_spike_asks_for_more_in_its_middle() -> None:
    moments = list(
        pacing.arrivals(pacing.spike(10, 100, before=2, peak=1, after=2), "constant", random.Random(0))
    )
    assert Counter(min(int(moment), 3) if moment < 3 else 3 for moment in moments) == {
        0: 10,
        1: 10,
        2: 100,
        3: 20,
    }


def test_a_ramp_has_three_quarters_of_its_requests_in_the_second_half() -> None:
    moments = list(pacing.arrivals(pacing.ramp(0, 100, 10), "constant", random.Random(0)))
    assert len(moments) == 500
    assert sum(moment > 5 for moment in moments) == 375


@pytest.mark.parametrize(
    "told", [(0, 1, 1), (-1, 1, 1), (float("nan"), 1, 1), (1, -1, 5), (1, float("inf"), 1), (1, 0, 0)]
)
def test_impossible_segments_are_refused(told: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match=r"duration|rate"):
        pacing.Segment(*told)


def test_unknown_arrivals_are_refused() -> None:
    with pytest.raises(ValueError, match="use one of constant, poisson"):
        pacing.arrivals(pacing.steady(1, 1), "bursty", random.Random(0))


MIX = {"search": 6, "profile": 3, "health": 1}


@FEW
@given(st.integers(0, 1000), st.integers(1, 12))
def test_every_block_of_the_mix_has_its_exact_shares(seed: int, blocks: int) -> None:
    names = list(itertools.islice(operations.sequence(MIX, random.Random(seed)), 10 * blocks))
    for start in range(0, len(names), 10):
        assert Counter(names[start : start + 10]) == MIX
    assert set(names[:3]) == set(MIX)


def test_words_are_asked_for_by_zipfs_law() -> None:
    rng = random.Random(5)
    seen = Counter(corpus.word(rng) for _ in range(60_000))
    words = corpus.words()
    assert seen[words[0]] == pytest.approx(2 * seen[words[1]], rel=0.1)
    assert seen[words[0]] == pytest.approx(10 * seen[words[9]], rel=0.2)
    assert len(words) == len(set(words)) == 400


def test_queries_are_one_to_three_different_words() -> None:
    rng = random.Random(6)
    lengths = Counter()
    for _ in range(2000):
        query = corpus.query(rng).split()
        assert len(query) == len(set(query))
        lengths[len(query)] += 1
    assert set(lengths) == {1, 2, 3}
    assert lengths[1] > lengths[2] > lengths[3]
