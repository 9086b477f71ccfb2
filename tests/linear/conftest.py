"""Real hubs for histories: the fixtures of the end-to-end tests."""

from tests.e2e.conftest import quick_hub, start_hub, start_shared_hub, variant

__all__ = ["quick_hub", "start_hub", "start_shared_hub", "variant"]
