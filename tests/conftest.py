"""Settings of all tests; a conftest here also lets them import the helpers beside it."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("tests", deadline=None, derandomize=True)
settings.load_profile("tests")
