"""Fixtures of unit tests: asyncio in its debug mode, which end-to-end tests under load would be too slow in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def _asyncio_debug(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(request.config.option, "asyncio_debug", True)
        yield
