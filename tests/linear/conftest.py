"""Real hubs for histories: the fixtures of the end-to-end tests."""

from tests.e2e.conftest import mode, quick_hub, start_hub, start_shared_hub

__all__ = ["mode", "quick_hub", "start_hub", "start_shared_hub"]
