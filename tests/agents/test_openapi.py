"""Requests that schemathesis makes from the OpenAPI document get answers of the document, and make no series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.schemas import APIOperation

from agents.settings import Settings
from tests.helpers.service import RunningService, running_service

OPERATIONS = [("post", "/agents/{agent}/runs"), ("get", "/agents"), ("get", "/health/live"), ("get", "/health/ready")]
QUICK = {"providers": {"quick": {"latency": 0.001}}, "rate_limit": "off", "client_rate_limit": "off"}


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    with running_service(Settings(**QUICK)) as running:
        for agent in ("navi", "herald"):
            assert running.run(agent).status_code == 200
        yield running


def series(service: RunningService) -> set[str]:
    """Every sample's name and labels."""
    return {line.rpartition(" ")[0] for line in service.client.get("/metrics").text.splitlines() if line[0] != "#"}


def of(service: RunningService, method: str, path: str) -> APIOperation:
    """One operation of the document."""
    document = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    return document[path][method]


def test_the_document_has_these_operations(service: RunningService) -> None:
    """The tests below cover all operations of the document."""
    paths = service.client.get("/openapi.json").json()["paths"]
    assert [(method, path) for path, methods in paths.items() for method in methods] == OPERATIONS


@pytest.mark.parametrize(
    ("method", "path", "mode"),
    # A GET without parameters has no wrong form.
    [(*OPERATIONS[0], GenerationMode.NEGATIVE), *((*operation, GenerationMode.POSITIVE) for operation in OPERATIONS)],
)
def test_answers_are_as_the_document_says(service: RunningService, method: str, path: str, mode: GenerationMode) -> None:
    """Good and bad requests made from the document get answers that are in it, never a 5xx, and make no series."""
    before = series(service)
    statuses: Counter[int] = Counter()

    @settings(max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(of(service, method, path).as_strategy(generation_mode=mode), st.sampled_from(["navi", "herald", None]))
    def answered(case: schemathesis.Case, agent: str | None) -> None:
        if case.path_parameters and agent is not None:
            case.path_parameters["agent"] = agent
            if mode is GenerationMode.POSITIVE:  # the operations are on the agents' cards, not in the document
                case.body["operation"] = "query"
        statuses[case.call_and_validate().status_code] += 1

    answered()
    print(method, path, mode.value, dict(statuses))
    assert max(statuses) < 500
    assert series(service) == before
