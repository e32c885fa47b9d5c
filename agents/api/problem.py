"""Errors as JSON: a code for programs and a sentence for people, without anything that the caller sent."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

__all__ = ["add_problem_handlers", "problem"]

_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    500: "internal",
}


def problem(status: int, error: str, reason: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Returns an error answer: ``error`` is the code for programs, ``reason`` the sentence for people."""
    return JSONResponse({"error": error, "reason": reason}, status, headers)


def add_problem_handlers(app: FastAPI) -> None:
    """Makes the app answer all errors in this form."""

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        code = _CODES.get(error.status_code, "refused")
        return problem(error.status_code, code, str(error.detail), dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        found = error.errors()
        if any(detail["type"] == "json_invalid" for detail in found):
            return problem(400, "bad_json", "the body is no JSON")
        # Pydantic's place and message of each error, but not the input, which may be a secret or a megabyte. Names that the
        # caller made up are input too.
        reasons = [f"{_place(detail['loc'])}: {detail['msg']}" for detail in found[:3]]
        return problem(422, "bad_shape", "; ".join(reasons))

    @app.exception_handler(Exception)
    async def failed(_: Request, __: Exception) -> JSONResponse:
        return problem(500, "internal", "the service failed; its log has the reason")


def _place(location: tuple[int | str, ...]) -> str:
    known = {"body", "input", "operation", "path", "agent", "header"}
    return ".".join(str(part) if part in known else "?" for part in location)
