"""Which cardinality limit the SDK applies to an instrument."""

from __future__ import annotations

from typing import Any

__all__ = ["least_cardinality_limit"]


def least_cardinality_limit(instrument: Any) -> int | None:
    """Returns how many series the readers of an instrument's provider keep apart, the least of them.

    None where there is no reader yet, where the SDK has no limit or other private names, and where a View raises.
    """
    try:
        storages = instrument._measurement_consumer._reader_storages.values()
        matches = [match for each in storages for match in each._get_or_init_view_instrument_match(instrument)]
        return int(min(match._cardinality_limit for match in matches))
    except Exception:  # no reader, another name, or a View of the host that raises, as it would for each measurement
        return None
