"""One story a way, for all tests that read it."""

from __future__ import annotations

import pytest

from tests.helpers.mcp_story import WAYS, Story, story_of


@pytest.fixture(scope="session", params=WAYS)
def story(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """What a measured client and a measured server process have recorded."""
    return story_of(request.param, tmp_path_factory.mktemp(request.param))
