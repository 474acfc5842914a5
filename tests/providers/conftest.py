"""What the machine that runs the tests trusts is not what the tests trust."""

from __future__ import annotations

import pytest
from hypothesis import settings

from providers.http import CA_FILES


@pytest.fixture(autouse=True)
def _no_authorities_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*CA_FILES, "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


settings.register_profile("tests", deadline=None)  # a busy machine is not a failure
settings.load_profile("tests")
