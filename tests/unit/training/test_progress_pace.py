"""How long the rest of a training takes."""

import pytest

from seq2seq.training.progress import Pace, duration


class Clock:
    """Tells the seconds that it is set to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_rest_is_so_many_updates_and_validations() -> None:
    clock = Clock()
    pace = Pace(clock)
    for seconds in (50, 30, 1, 3, 2):  # the first two are warming up
        clock.now += seconds
        pace.updated()
    assert pace.updates == 3
    assert pace.seconds(10, 4) == pytest.approx(10 * 2)  # no validation was seen yet
    clock.now += 7
    pace.validated()
    clock.now += 4
    pace.updated()
    clock.now += 9
    pace.validated()
    assert pace.seconds(10, 4) == pytest.approx(10 * 10 / 4 + 4 * 8)


def test_nothing_is_known_at_first() -> None:
    pace = Pace(Clock())
    assert pace.seconds(10, 0) is None
    pace.updated()
    assert pace.seconds(10, 0) is None
    assert pace.updates == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3569, "59 min"),
        (3590, "1 h 0 min"),
        (9000, "2 h 30 min"),
        (86_399, "1 d 0 h"),
        (270_000, "3 d 3 h"),
    ],
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
