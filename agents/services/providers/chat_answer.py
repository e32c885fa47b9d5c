"""Reads answers of the chat-completions protocol as servers really send them: whole or streamed, whichever was asked for.

The protocol: https://platform.openai.com/docs/api-reference/chat. Servers that speak it differ in shape, so that each field is
read where it has the form that is needed and skipped where it has not. What makes an answer fail is listed in
``docs/models.md``.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from functools import partial
from typing import Any

from agents.outgoing import event_lines
from agents.outgoing.json_values import MOST_VALUES, count_values
from agents.services.providers.base import ProviderError
from telemetry._base.printable import printable
from telemetry.agentos.errors import reason_of_status
from telemetry.agentos.tokens import Tokens
from telemetry.agentos.usage import Usage

__all__ = ["ChatAnswer", "error_of", "well_formed"]

_BLANK = b"\xef\xbb\xbf \t\r\n"
"""White space and the bytes of a byte-order mark."""
_EVENT_CHARACTERS = 2**20
"""Characters of one event: while an event is parsed, the event loop serves nothing else."""
_REST_SECONDS = 2.0
"""How long the usage may come after the finish_reason."""
_DRAIN_SECONDS = 0.1
_DIGITS = 20
_MODEL_LENGTH = 128
_WORD = re.compile(r"[A-Za-z0-9_.]{1,64}")
_FIRST = (0, None, "0", "")
"""The index of the first choice, as servers spell it."""
_PARTS = {"text": "text", "output_text": "text", "refusal": "refusal"}
"""Type of a part of a content -> the field that has its text."""


class ChatAnswer:
    """One answer while it is read.

    Args:
        key: The key that the server got, which must not be told on; empty for none.

    Attributes:
        finished: Whether the server has said that the answer is complete: by a ``finish_reason`` or ``[DONE]``.
    """

    def __init__(self, key: str = "") -> None:
        self._key = key
        self.finished = False
        self._done = False
        self._deadline: float | None = None
        self._usage = Usage()
        self._model: str | None = None
        self._has_deltas = False
        # Holds back the first half of a surrogate pair until the second one comes.
        self._text = codecs.getincrementaldecoder("utf-16-le")("replace")

    async def read(self, body: AsyncIterator[bytes]) -> AsyncGenerator[str | Tokens, None]:
        """Yields the answer's text piece by piece ("" for a chunk without text) and the usage so far.

        Raises:
            ProviderError: The body is no answer, an error, or cut off before the answer is complete.
        """
        more = partial(self._next, body)
        head = b""
        while not head and (data := await more()) is not None:
            head = data.lstrip(_BLANK)
        if head.startswith(b"{"):
            whole = bytearray(head)
            while (data := await more()) is not None:
                whole += data
            for piece in self._whole(bytes(whole)):
                yield piece
            return
        begun = False
        async with aclosing(_events(head, more)) as events:
            async for event in events:
                begun = True
                for piece in self._event(event):
                    yield piece
                if self._done:
                    break
        if not begun:  # such as a proxy's page
            raise ProviderError("the answer is no stream of chunks", "protocol")
        if not self.finished:
            raise ProviderError("the answer ends before it is complete", "protocol")
        if rest := self._text.decode(b"", final=True):
            yield rest
        if self._done:  # the connection can be used again only when it has been read to its end
            self._deadline = asyncio.get_running_loop().time() + _DRAIN_SECONDS
            while await more() is not None:
                pass

    async def _next(self, body: AsyncIterator[bytes]) -> bytes | None:
        """The next piece of the body, None at its end. Some servers leave the connection open when the answer is complete."""
        if self.finished and self._deadline is None:
            self._deadline = asyncio.get_running_loop().time() + _REST_SECONDS
        try:
            async with asyncio.timeout_at(self._deadline) as limit:
                return await anext(body, None)
        except TimeoutError:
            if limit.expired():
                return None
            raise

    def _event(self, data: str) -> Iterator[str | Tokens]:
        if data.startswith("[DONE]"):
            self.finished = self._done = True
            return
        yield from self._chunk(_parsed(data))

    def _whole(self, data: bytes) -> Iterator[str | Tokens]:
        found = _parsed(data.decode("utf-8", "replace"))
        choice = _first_choice(found)
        if choice is None or not (isinstance(choice.get("message"), dict) or isinstance(choice.get("text"), str)):
            _raise_error_in(found, self._key)
            raise ProviderError("the answer has no message", "protocol")
        yield from self._chunk(found)
        self.finished = True
        if rest := self._text.decode(b"", final=True):
            yield rest

    def _chunk(self, found: dict[str, Any]) -> Iterator[str | Tokens]:
        _raise_error_in(found, self._key)
        choice = _first_choice(found)
        if (tokens := self._tokens(found, choice)) is not None:
            yield tokens
        if choice is None:
            return
        finish = choice.get("finish_reason")
        if isinstance(finish, str) and finish not in ("", "null"):
            if finish.lower() == "content_filter":
                raise ProviderError("the provider's filter has withheld the answer", "client")
            if finish.lower() == "error":
                raise ProviderError("the provider reports an error at the answer's end", "server")
            self.finished = True
        yield self._text.decode(self._text_of(choice).encode("utf-16-le", "surrogatepass"))

    def _text_of(self, choice: dict[str, Any]) -> str:
        delta, message = choice.get("delta"), choice.get("message")
        if isinstance(delta, dict):
            self._has_deltas = True
            return _text(delta.get("content")) or _text(delta.get("refusal"))
        if isinstance(message, dict):  # beside deltas it repeats their text
            return "" if self._has_deltas else _text(message.get("content")) or _text(message.get("refusal"))
        return _text(choice.get("text"))

    def _tokens(self, found: dict[str, Any], choice: dict[str, Any] | None) -> Tokens | None:
        """The usage so far, None for a chunk that reports none."""
        if isinstance(model := found.get("model"), str) and model.strip():
            self._model = printable(model, _MODEL_LENGTH)
        groq = found.get("x_groq")
        places = [found, groq if isinstance(groq, dict) else {}, choice or {}]  # the last one: Moonshot
        reports = [report for place in places if isinstance(report := place.get("usage"), dict)]
        is_known = [self._usage.add(report) for report in reports]
        return self._usage.tokens(self._model) if any(is_known) else None


def error_of(body: object, key: str = "") -> tuple[str, str, object]:
    """Returns what an error body says: its type and code as words for a log, its message, and the bare code.

    Messages quote prompts, and keys: the message is without this ``key``, and a word that contains it is left out.
    """
    if isinstance(body, list) and body and isinstance(body[0], dict):  # Gemini
        body = body[0].get("error")
    found = body if isinstance(body, dict) else {}
    named = [str(one) for name in ("type", "code") if isinstance(one := found.get(name), str | int)]
    words = [word for word in named if _WORD.fullmatch(word)]
    message = found.get("message", body)
    told = message if isinstance(message, str) else ""
    if key:
        words = [word for word in words if key not in word]
        told = told.replace(key, "...")
    return ", ".join(words), told, found.get("code")


def well_formed(text: str) -> str:
    """Returns the text with U+FFFD for halves of surrogate pairs, which no encoding can express."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


async def _events(head: bytes, more: Callable[[], Awaitable[bytes | None]]) -> AsyncGenerator[str, None]:
    """Yields the data of each event of a stream, the last one also without the blank line after it.

    https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
    """
    data: list[str] = []
    async for line in event_lines(_texts(head, more)):
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line:
            if event := _joined(data):
                yield event
            data = []
    if event := _joined(data):
        yield event


async def _texts(head: bytes, more: Callable[[], Awaitable[bytes | None]]) -> AsyncIterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    read: bytes | None = head
    while read is not None:
        yield decoder.decode(read)
        read = await more()
    yield decoder.decode(b"", final=True)


def _joined(data: list[str]) -> str:
    event = "\n".join(data).strip()
    if len(event) > _EVENT_CHARACTERS:
        raise ProviderError(f"an event of the answer has more than {_EVENT_CHARACTERS} characters", "protocol")
    return event


def _parsed(text: str) -> dict[str, Any]:
    if count_values(text) > MOST_VALUES:
        raise ProviderError(f"the answer has JSON of more than {MOST_VALUES} values at once", "protocol")
    try:
        found = json.loads(text, parse_int=_integer)
    except (ValueError, RecursionError):  # no JSON, or too deep
        raise ProviderError("the answer is no JSON", "protocol") from None
    if not isinstance(found, dict):
        raise ProviderError("the answer is no JSON object", "protocol")
    return found


def _integer(digits: str) -> int | None:
    """The number, None for one of so many digits that nothing here needs it: their conversion takes quadratic time."""
    return int(digits) if len(digits) < _DIGITS else None


def _raise_error_in(found: dict[str, Any], key: str) -> None:
    """Raises the error that a server reports in place of an answer or of a chunk, under status 200."""
    error = found.get("error") or (found if found.get("object") == "error" else None)
    if not error:
        return
    words, message, code = error_of(error, key)
    status = int(code) if isinstance(code, str | int) and re.fullmatch(r"[45][0-9]{2}", str(code)) else 500
    said = f" ({words})" if words else ""
    raise ProviderError(f"the provider reports an error in its answer{said}", reason_of_status(status), detail=message)


def _first_choice(found: dict[str, Any]) -> dict[str, Any] | None:
    choices = found.get("choices")
    if not isinstance(choices, list):
        return None
    return next((one for one in choices if isinstance(one, dict) and one.get("index") in _FIRST), None)


def _text(content: object) -> str:
    """The text of a content: a string, or a list of parts, of which those that are no text are skipped."""
    if isinstance(content, str):
        return content
    return "".join(_part(part) for part in (content if isinstance(content, list) else [content]))


def _part(part: object) -> str:
    kind = (part.get("type") or "text") if isinstance(part, dict) else None
    text = part.get(_PARTS.get(kind)) if isinstance(part, dict) and isinstance(kind, str) else part
    return text if isinstance(text, str) else ""
