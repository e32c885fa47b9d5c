"""What differs between the versions of the SDK that the library supports, found out by looking, not by version number.

Before 1.45 the SDK bounded no stream: it had neither a View's ``aggregation_cardinality_limit`` nor a reader's
``cardinality_limits``. There the limits of the labels (``telemetry.metric.label_values``) are the only ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from time import time_ns
from types import SimpleNamespace
from typing import Any

from opentelemetry.sdk.metrics.view import DefaultAggregation, View

__all__ = [
    "aggregation_in",
    "find_aggregation",
    "is_enabled",
    "keyword_arguments",
    "meter_config",
    "new_view",
    "peek_aggregations",
    "resets_on_collect",
    "storage_arguments",
]

try:
    from opentelemetry.sdk.metrics._internal._view_instrument_match import _ViewInstrumentMatch

    # Only a layout that is known is taken for the older one: with another a wrong key would make a second series.
    _KEYED_BY_FROZENSET = "frozenset" in _ViewInstrumentMatch.consume_measurement.__code__.co_names
except (ImportError, AttributeError):
    _KEYED_BY_FROZENSET = False
try:
    from opentelemetry.sdk.metrics._internal._view_instrument_match import _hash_attributes
except ImportError:
    _hash_attributes = None  # type: ignore[assignment]

_OVERFLOW: Mapping[str, Any] = {"otel.metric.overflow": True}
"""https://opentelemetry.io/docs/specs/otel/metrics/sdk/#overflow-attribute"""
_ENABLED = SimpleNamespace(_config=SimpleNamespace(is_enabled=True))
"""The configuration of a meter of an SDK that cannot switch meters off."""


def keyword_arguments(call: Callable[..., Any], **options: Any) -> dict[str, Any]:
    """Returns the options that ``call`` has a parameter for."""
    known = signature(call).parameters
    return {name: value for name, value in options.items() if name in known}


def new_view(*, aggregation_cardinality_limit: int, **options: Any) -> View:
    """Returns a View, with the limit where the SDK has one."""
    limit = keyword_arguments(View.__init__, aggregation_cardinality_limit=aggregation_cardinality_limit)
    return View(**options, **limit)


def meter_config(instrument: Any) -> Any:
    """Returns what says whether the instrument's meter is switched on.

    Raises:
        AttributeError: The SDK can switch meters off, and a private name is gone.
    """
    return instrument._meter_config if hasattr(instrument, "_is_enabled") else _ENABLED


def is_enabled(instrument: Any) -> bool:
    """Returns whether the instrument's meter is switched on. Raises ``AttributeError`` as ``meter_config``."""
    return bool(instrument._is_enabled()) if hasattr(instrument, "_meter_config") else True


def resets_on_collect(match: Any) -> bool:
    """Returns whether the SDK replaces the aggregations of a View's stream at each collect, as it does for deltas.

    Raises:
        AttributeError: A private name of the SDK is gone.
    """
    return not _KEYED_BY_FROZENSET and bool(match._reset_on_collect)


def find_aggregation(match: Any, attributes: Mapping[str, str], lock: Any) -> Any:
    """Returns the aggregation that a View's stream has for these attributes, made as ``record()`` makes it.

    Args:
        match: The SDK's stream.
        attributes: The series' labels.
        lock: The lock of an aggregation that is new. It has it before other threads can find the aggregation.

    Raises:
        AttributeError: A private name of the SDK is gone.
    """
    with match._lock:
        return aggregation_in(match, attributes, lock)


def aggregation_in(match: Any, attributes: Mapping[str, str], lock: Any) -> Any:
    """Does what ``find_aggregation`` does, for a caller that holds the stream's lock."""
    if not _KEYED_BY_FROZENSET and _hash_attributes is None:
        raise AttributeError("_hash_attributes")
    key = frozenset(attributes.items()) if _KEYED_BY_FROZENSET else _hash_attributes(attributes)
    known = match._attributes_aggregation
    found = known.get(key)
    if found is not None:
        return found
    if not _KEYED_BY_FROZENSET and len(known) >= match._cardinality_limit:
        return match._get_or_create_aggregation(key, attributes)  # the overflow series
    view, instrument = match._view, match._instrument
    factory = view._aggregation
    if isinstance(factory, DefaultAggregation):
        factory = match._instrument_class_aggregation[type(instrument)]
    start = time_ns() if _KEYED_BY_FROZENSET else match._previous_collection_start_nanos or time_ns()
    found = factory._create_aggregation(instrument, attributes, view._exemplar_reservoir_factory, start)
    if hasattr(found, "_lock"):
        found._lock = lock
    known[key] = found
    return found


def peek_aggregations(match: Any, attributes: Mapping[str, str]) -> Sequence[Any]:
    """Returns the aggregations that may stand for these attributes in a View's stream, as far as they exist; takes no lock.

    Raises:
        AttributeError: A private name of the SDK is gone.
    """
    keys = match._view._attribute_keys
    kept = attributes if keys is None else {key: value for key, value in attributes.items() if key in keys}
    known = match._attributes_aggregation
    for given in (kept, _OVERFLOW):
        found = known.get(frozenset(given.items()) if _KEYED_BY_FROZENSET else _hash_attributes(given))
        if found is not None:
            return (found,)
    return ()


def storage_arguments(holder: Any) -> tuple[Any, ...]:
    """Returns what the SDK makes a reader's storage of, beside its configuration, as the reader or another storage has it."""
    limits = getattr(holder, "_instrument_class_cardinality_limit", None)
    arguments = (holder._instrument_class_temporality, holder._instrument_class_aggregation)
    return arguments if limits is None else (*arguments, limits)
