"""Settings shared by all tests."""

import os

from hypothesis import settings

# CI and developers see the same examples; `make explore` looks for new ones.
settings.register_profile("everyday", max_examples=100, deadline=None, derandomize=True, database=None)
settings.register_profile("explore", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("PACKSEAL_HYPOTHESIS", "everyday"))
