"""Whatever a document holds, its reader reads it or says in one line what is wrong."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.reliability.readers import READERS, Reader, tried

CASES = 2_000
_ALL = sum(reader.share for reader in READERS)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_garbage_is_read_or_refused_in_one_line(reader: Reader, tmp_path: Path) -> None:
    # no phase that shrinks: a smaller seed is no simpler document
    @settings(
        max_examples=-(-CASES * reader.share // _ALL),
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(seed=st.integers(0, 2**32))
    def check(seed: int) -> None:
        assert tried(tmp_path, seed, reader) == ""

    check()
