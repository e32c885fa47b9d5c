"""The table of costs in ``docs/scale.md``."""

from __future__ import annotations

from pathlib import Path

from stack.load.blocks import bytes_per_sample
from stack.load.cost import BYTES_PER_SAMPLE, Series, counted, table

GUIDE = Path(__file__).parents[2] / "docs/scale.md"


def test_the_guides_table_is_what_real_expositions_show() -> None:
    """Each number of the table is the one that is counted in the service's own expositions."""
    assert "".join(table()) in GUIDE.read_text()


def test_a_histogram_is_one_native_series() -> None:
    """A histogram counts as its buckets, sum and count, or as one native series; a counter as one in both."""
    text = (
        "# TYPE a counter\na_total 1\n# TYPE h histogram\n"
        'h_bucket{k="x",le="1.0"} 1\nh_bucket{k="x",le="+Inf"} 1\nh_count{k="x"} 1\nh_sum{k="x"} 1\n# EOF\n'
    )
    found = counted(text)
    assert found == Series(plain=1, histograms=1, classic=4)
    assert (found.total, found.native) == (5, 2)


def test_a_sample_takes_the_bytes_that_the_guide_says(promtool: Path) -> None:
    """A block of two hours takes 0.6 to 2.8 bytes a sample, by load and by late scrapes; the table's figure lies between."""
    idle, busy, late = bytes_per_sample(0), bytes_per_sample(15), bytes_per_sample(15, late=5)
    assert [f"{each:.1f}" for each in (idle, busy, late)] == ["0.6", "1.1", "2.8"]
    assert busy < BYTES_PER_SAMPLE < late
