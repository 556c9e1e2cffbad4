import itertools

import pytest

from appliance.delivery.inspection import combine
from appliance.messages import Reason, VerdictWord

OK = (VerdictWord.OK, Reason.NONE)
NG = (VerdictWord.NG, Reason.NONE)
LATE = (VerdictWord.UNKNOWN, Reason.LATE)
STALE = (VerdictWord.UNKNOWN, Reason.STALE_FRAME)


@pytest.mark.parametrize("answers", list(itertools.permutations([OK, NG, LATE])))
def test_any_ng_view_makes_the_part_ng(answers: tuple[tuple[VerdictWord, Reason], ...]) -> None:
    assert combine(answers) == NG


def test_without_ng_any_unknown_view_makes_the_part_unknown() -> None:
    assert combine([OK, STALE, OK]) == STALE


def test_only_ok_views_make_an_ok_part() -> None:
    assert combine([OK, OK]) == OK


def test_no_view_is_never_ok() -> None:
    assert combine([]) == (VerdictWord.UNKNOWN, Reason.PART_NOT_FOUND)
