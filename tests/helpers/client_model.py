"""Protobuf bodies as the classes read them that ``protoc`` generates from the published ``metrics.proto``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import grpc_tools  # type: ignore[import-untyped]  # no types there
from google.protobuf import text_format  # type: ignore[import-untyped]  # no types there
from grpc_tools import protoc

from tests.helpers.providers import Samples, plain

__all__ = ["PROTOBUF", "buckets", "client_model", "decode", "nanoseconds", "samples", "text"]

PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
_FOLDER = Path(__file__).parents[1] / "telemetry" / "exposition" / "client_model"


@cache
def client_model() -> ModuleType:
    """Returns the generated module."""
    included = Path(grpc_tools.__file__).parent / "_proto"
    with TemporaryDirectory() as folder:
        arguments = ["protoc", f"-I{_FOLDER}", f"-I{included}", f"--python_out={folder}", "metrics.proto"]
        assert protoc.main(arguments) == 0
        spec = spec_from_file_location("metrics_pb2", Path(folder) / "metrics_pb2.py")
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def decode(body: bytes, *, split: bool = False) -> list[Any]:
    """Returns the ``MetricFamily`` messages of a body; each name is there once, unless ``split``, and no field is unknown."""
    families = list(_messages(body))
    names = [family.name for family in families]
    assert split or len(set(names)) == len(names)
    return families


def _messages(body: bytes) -> Iterator[Any]:
    position = 0
    while position < len(body):
        length = shift = 0
        more = True
        while more:
            length |= (body[position] & 0x7F) << shift
            more = body[position] > 0x7F
            shift += 7
            position += 1
        family = client_model().MetricFamily()
        assert position + length <= len(body)
        family.ParseFromString(body[position : position + length])
        known = family.ByteSize()
        family.DiscardUnknownFields()
        assert family.ByteSize() == known
        position += length
        yield family


def text(body: bytes) -> str:
    """Returns the messages in protobuf's text form."""
    return "\n".join(text_format.MessageToString(family) for family in decode(body))


def nanoseconds(time: Any) -> int:
    """Returns a ``Timestamp`` as Unix nanoseconds."""
    assert 0 <= time.nanos < 1_000_000_000
    return int(time.seconds * 1_000_000_000 + time.nanos)


def buckets(spans: Sequence[Any], deltas: Sequence[int]) -> dict[int, int]:
    """Returns the counts of the filled buckets of one side of a native histogram by their index."""
    found: dict[int, int] = {}
    counts = accumulate(deltas)
    index = 0
    for span in spans:
        index += span.offset
        for _ in range(span.length):
            found[index] = next(counts)
            index += 1
    assert next(counts, None) is None
    return {index: count for index, count in found.items() if count}


def samples(families: Sequence[Any]) -> Samples:
    """Returns the classic samples that Prometheus makes of the messages: by name and labels, ``le`` as a number."""
    found: Samples = {}
    for family in families:
        for metric in family.metric:
            labels = {pair.name: pair.value for pair in metric.label}
            for suffix, more, value in _values(metric):
                shown = {key: value for key, value in {**labels, **more}.items() if value != ""}
                key: Any = (family.name + suffix, frozenset(shown.items()))
                assert key not in found
                found[key] = plain(value)
    return found


def _values(metric: Any) -> Iterator[tuple[str, dict[str, Any], float]]:
    if not metric.HasField("histogram"):
        kinds = [kind for kind in ("counter", "gauge", "untyped") if metric.HasField(kind)]
        assert len(kinds) == 1
        yield "", {}, getattr(metric, kinds[0]).value
        return
    histogram = metric.histogram
    bounds = [bucket.upper_bound for bucket in histogram.bucket]
    assert bounds == sorted(set(bounds))
    for bucket in histogram.bucket:
        yield "_bucket", {"le": bucket.upper_bound}, bucket.cumulative_count
    if float("inf") not in bounds:
        yield "_bucket", {"le": float("inf")}, histogram.sample_count
    yield "_count", {}, histogram.sample_count
    yield "_sum", {}, histogram.sample_sum
