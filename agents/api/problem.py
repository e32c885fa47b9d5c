"""Errors as JSON: a word for programs, a sentence for people, nothing of what the caller sent."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

__all__ = ["add_problem_handlers", "problem"]

_WORDS = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    500: "internal",
}


def problem(status: int, error: str, reason: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """One error answer."""
    return JSONResponse({"error": error, "reason": reason}, status, headers)


def add_problem_handlers(app: FastAPI) -> None:
    """Makes all errors of the app answer in this form."""

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        word = _WORDS.get(error.status_code, "refused")
        return problem(error.status_code, word, str(error.detail), dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        found = error.errors()
        if any(one["type"] == "json_invalid" for one in found):
            return problem(400, "bad_json", "the body is no JSON")
        # Where it is wrong and why, as pydantic says it; not the input, which may be a secret or a megabyte. Names that the
        # caller made up are input too.
        reasons = [f"{_place(one['loc'])}: {one['msg']}" for one in found[:3]]
        return problem(422, "bad_shape", "; ".join(reasons))

    @app.exception_handler(Exception)
    async def failed(_: Request, __: Exception) -> JSONResponse:
        return problem(500, "internal", "the service failed; its log has the reason")


def _place(location: tuple[int | str, ...]) -> str:
    known = {"body", "input", "operation", "path", "agent", "header"}
    return ".".join(str(part) if part in known else "?" for part in location)
