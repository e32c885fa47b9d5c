"""An agent's answer, put together from its artifacts and messages by the rules of A2A.

The rules (A2A 1.0, sections 3.7, 4.1.6, 4.1.7 and 4.2.2) and what this module decides where they leave a choice:

- Artifacts are told apart by their id and stand in the order of their first appearance, one line apart. Artifacts without an id
  are told apart by their order.
- An update with ``append`` continues its artifact, or begins it if it is not known; one without replaces it. ``lastChunk`` is
  not needed.
- A task replaces the artifacts that it holds. When it has ended, it holds all of them: others are dropped.
- Text parts of an artifact follow each other as they are, since a stream cuts text anywhere; those of a message are one line
  apart. A data part is its JSON, and a file part its name, media type and address or size, each on a line of its own.
- A message in place of a task is the whole answer. The message of a task's status is the answer of a completed task without
  text in artifacts, and the last line of a task that waits for input or authorization.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from math import isfinite
from typing import Any

from a2a.types.a2a_pb2 import Artifact, Part, Task, TaskArtifactUpdateEvent

from agents.gateway.failure import RunFailure
from telemetry._base.printable import printable

__all__ = ["Answer", "text_of"]

_ARTIFACTS = 1000
"""Artifacts an answer may have."""
_NAME_CHARACTERS = 200
"""Characters of a file's name, media type and address each."""
_Key = tuple[str, int]
"""An artifact's id, and how many artifacts of the same id stand before it."""


class Answer:
    """The text of an answer while it grows.

    Its methods return the text that is new since the last call. That is only possible while new text follows the old one: when
    an agent changes text before, ``replaced`` is set, and they return "" from then on.
    """

    def __init__(self) -> None:
        self.replaced = False
        """Whether the texts returned so far are no longer the beginning of the answer."""
        self._artifacts: dict[_Key, _Text] = {}
        self._unnamed = 0
        """How many artifacts have no id."""
        self._last = -1
        """Position of the last artifact with text, while ``replaced`` is not set."""
        self._closing = ""
        """The text of a message, which follows all artifacts."""

    @property
    def text(self) -> str:
        """The whole answer so far."""
        return "\n".join(text for text in (*(one.join() for one in self._artifacts.values()), self._closing) if text)

    def update(self, event: TaskArtifactUpdateEvent) -> str:
        """Adds an artifact, or a piece of one. Raises ``RunFailure`` for too many artifacts."""
        name = event.artifact.artifact_id
        # Without an id nothing can be replaced, and only the newest one be continued.
        number = 0 if name else max(0, self._unnamed - 1) if event.append else self._unnamed
        one = self._artifact((name, number))
        return self._append(one, event.artifact.parts) if event.append else self._replace(one, event.artifact.parts)

    def snapshot(self, task: Task, *, ended: bool) -> str:
        """Takes the artifacts of a task. Raises ``RunFailure`` for too many artifacts."""
        keys = _keys(task.artifacts)
        held = zip(keys, task.artifacts, strict=True)
        new = "".join([self._replace(self._artifact(key), found.parts) for key, found in held])
        if ended and keys:
            for key in self._artifacts.keys() - set(keys):
                self.replaced |= bool(self._artifacts.pop(key).chunks)
        return self._fresh(new)

    def message(self, parts: Iterable[Part]) -> str:
        """Takes a message in place of a task: with text in it, it is the whole answer."""
        text = text_of(parts, between="\n")
        if text and self._has_text():
            self.replaced = True
            self._artifacts.clear()
        return self._close(text)

    def status(self, parts: Iterable[Part], *, completed: bool) -> str:
        """Takes the message of the last status of a task."""
        return "" if completed and self._has_text() else self._close(text_of(parts, between="\n"))

    def _has_text(self) -> bool:
        return any(one.chunks for one in self._artifacts.values())

    def _close(self, text: str) -> str:
        self._closing = text
        return self._fresh(f"\n{text}" if text and self._last >= 0 else text)

    def _artifact(self, key: _Key) -> _Text:
        one = self._artifacts.get(key)
        if one is None:
            if len(self._artifacts) == _ARTIFACTS:
                raise RunFailure("protocol", f"the agent sends more than {_ARTIFACTS} artifacts")
            one = self._artifacts[key] = _Text(len(self._artifacts))
            self._unnamed += not key[0]
        return one

    def _append(self, one: _Text, parts: Iterable[Part]) -> str:
        before = "\n" if not one.chunks and self._last >= 0 else ""
        new = one.append(parts)
        return self._moved(one, before + new) if new else ""

    def _replace(self, one: _Text, parts: Iterable[Part]) -> str:
        old = one.join()
        text = one.replace(parts)
        if text == old:
            return ""
        if not text.startswith(old):
            self.replaced = True
        before = "\n" if not old and self._last >= 0 else ""
        return self._moved(one, before + text[len(old) :])

    def _moved(self, one: _Text, new: str) -> str:
        if one.position < self._last:
            self.replaced = True
        self._last = one.position
        return self._fresh(new)

    def _fresh(self, new: str) -> str:
        return "" if self.replaced else new


class _Text:
    """The text of one artifact, in the pieces that it came in."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.chunks: list[str] = []
        self._inline = True

    def join(self) -> str:
        if len(self.chunks) > 1:
            self.chunks = ["".join(self.chunks)]
        return self.chunks[0] if self.chunks else ""

    def append(self, parts: Iterable[Part]) -> str:
        new, self._inline = _joined(parts, "", self.chunks[-1] if self.chunks else "", self._inline)
        if new:
            self.chunks.append(new)
        return new

    def replace(self, parts: Iterable[Part]) -> str:
        self.chunks, self._inline = [], True
        return self.append(parts)


def _keys(artifacts: Iterable[Artifact]) -> list[_Key]:
    seen: dict[str, int] = {}
    keys = []
    for one in artifacts:
        number = seen.get(one.artifact_id, 0)
        seen[one.artifact_id] = number + 1
        keys.append((one.artifact_id, number))
    return keys


def text_of(parts: Iterable[Part], *, between: str) -> str:
    """Returns the text of a message's parts, with ``between`` between two text parts."""
    return _joined(parts, between, "", True)[0]


def _joined(parts: Iterable[Part], between: str, last: str, inline: bool) -> tuple[str, bool]:
    """The text of parts that follow the text ``last``, and whether text may follow it in the same line."""
    pieces: list[str] = []
    for part in parts:
        is_text = part.WhichOneof("content") in ("text", None)
        text = part.text if is_text else _described(part)
        if not text:
            continue
        if last:
            new_line = "" if last.endswith("\n") else "\n"
            pieces.append(between if inline and is_text else new_line)
        pieces.append(text)
        last, inline = text, is_text
    return "".join(pieces), inline


def _described(part: Part) -> str:
    if part.HasField("data"):
        return json.dumps(_plain(part.data), ensure_ascii=False, separators=(",", ":"))
    where = part.url or f"{len(part.raw)} bytes"
    named = (printable(one, _NAME_CHARACTERS) for one in (part.filename, part.media_type, where) if one)
    return f"[file: {', '.join(named)}]"


def _plain(value: Any) -> Any:
    """A ``google.protobuf.Value`` as JSON: whole numbers as such, though the type has floating-point numbers alone."""
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return {key: _plain(one) for key, one in value.struct_value.fields.items()}
    if kind == "list_value":
        return [_plain(one) for one in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        if not isfinite(number):
            return None
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    return None if kind in ("null_value", None) else getattr(value, kind)
