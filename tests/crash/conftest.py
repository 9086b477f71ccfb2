"""Real hubs for the crash suite: the fixtures of the end-to-end tests."""

from tests.e2e.conftest import start_hub, variant

__all__ = ["start_hub", "variant"]
