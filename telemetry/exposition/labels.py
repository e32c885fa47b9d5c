"""Label sets: attributes, scope and resource as sorted, sanitised pairs, and as escaped text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from json import dumps

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from telemetry.metric.naming import Escaping, is_plain, label_key

__all__ = ["Pairs", "escape", "label_text", "pairs_of", "quoted", "resource_items", "scope_items", "value_text"]

Pairs = Sequence[tuple[str, str]]


def value_text(value: object) -> str:
    """An attribute's value as a label value: strings as they are, others as JSON; ``?`` for what UTF-8 cannot encode."""
    text = str.__str__(value) if isinstance(value, str) else dumps(value, default=str)
    if text.isascii():
        return text.replace("\0", "?") if "\0" in text else text
    return text.encode("utf-8", "replace").decode().replace("\0", "?")


def escape(value: str) -> str:
    """Escapes a label value, the same in both formats."""
    if "\\" in value:
        value = value.replace("\\", "\\\\")
    if '"' in value:
        value = value.replace('"', '\\"')
    return value.replace("\n", "\\n") if "\n" in value else value


def quoted(name: str) -> str:
    """A UTF-8 name in quotes."""
    return f'"{escape(name)}"'


def pairs_of(items: Iterable[tuple[str, object]], escaping: Escaping = Escaping.UNDERSCORES) -> Pairs:
    """Returns sorted label pairs. The last value of a key counts; values of keys that become equal are joined by ``;``.

    https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/#metric-attributes
    """
    originals = dict(items)
    keys = {key: label_key(str(key), escaping=escaping) for key in originals}
    if len(set(keys.values())) == len(keys):
        return sorted((keys[key], value_text(value)) for key, value in originals.items())
    joined: dict[str, list[str]] = {}
    for key in sorted(originals, key=str):
        joined.setdefault(keys[key], []).append(value_text(originals[key]))
    return sorted((key, ";".join(values)) for key, values in joined.items())


def label_text(pairs: Pairs) -> str:
    """Returns ``a="1",b="2"``, without the braces."""
    return ",".join(f'{key if is_plain(key, label=True) else quoted(key)}="{escape(value)}"' for key, value in pairs)


def scope_items(scope: InstrumentationScope) -> list[tuple[str, object]]:
    """Returns the ``otel_scope_*`` labels, in the parent reader's spelling."""
    attributes: Mapping[str, object] = scope.attributes or {}
    return [
        *((f"otel_scope_{key}", value) for key, value in attributes.items()),
        ("otel_scope_name", scope.name or ""),
        ("otel_scope_version", scope.version or ""),
        ("otel_scope_schema_url", scope.schema_url or ""),
    ]


def resource_items(resource: Resource | None, selected: Callable[[str], bool] | None) -> list[tuple[str, object]]:
    """Returns the resource attributes that the filter selects; all of them without a filter."""
    attributes: Mapping[str, object] = resource.attributes if resource is not None else {}
    return [(key, value) for key, value in attributes.items() if selected is None or selected(key)]
