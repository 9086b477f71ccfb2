"""Real hubs for the crash suite: the fixtures of the end-to-end tests."""

from tests.e2e.conftest import mode, start_hub

__all__ = ["mode", "start_hub"]
