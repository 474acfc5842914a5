"""What the doctor finds at clouds, with the simulated ones in the place of the real."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

from console.clock import SystemClock
from console.doctor import Finding
from console.doctor_clouds import check_clouds
from console.errors import Exit
from providers.clouds.base import Cloud, CloudHost
from providers.registry import cloud as adapter
from providers.simulated.clouds.faults import CloudFaultKind
from providers.simulated.clouds.names import CLOUDS
from providers.simulated.clouds.twin import CloudTwin
from tests.conftest import run


@asynccontextmanager
async def account(twin: CloudTwin, key: str | None = None) -> AsyncIterator[Cloud]:
    made = adapter(twin.name, CloudHost(twin.name, twin.base_url, key or twin.key), SystemClock())
    try:
        yield made
    finally:
        await made.close()


def found(twin: CloudTwin, key: str | None = None, *, limit_s: float = 10.0) -> Finding:
    async def body() -> Finding:
        async with twin, account(twin, key) as cloud:
            (finding,) = await check_clouds([twin.name], lambda _: cloud, limit_s=limit_s)
            return finding

    return run(body())


def test_an_account_that_works_tells_its_machines_and_its_money() -> None:
    finding = found(CLOUDS["vast"]())
    assert finding.state == "ok"
    assert finding.text == "vast lets us in: 0 machines, 0 of them billed in full, $25.00 left."


def test_a_cloud_without_a_balance_says_so() -> None:
    finding = found(CLOUDS["lambda"]())
    assert (finding.state, "does not tell its balance" in finding.text) == ("ok", True)


def test_money_that_is_gone_is_a_warning() -> None:
    finding = found(CLOUDS["vast"](balance_usd=Decimal(0)))
    assert (finding.state, "soon gone" in finding.text) == ("warn", True)


def test_a_wrong_key_is_a_failure_with_its_exit_code_and_not_shown() -> None:
    finding = found(CLOUDS["runpod"](), "rpa_wrong")
    assert (finding.state, finding.exit_code) == ("fail", Exit.SETTINGS)
    assert "rpa_wrong" not in finding.text + (finding.remedy or "")


def test_a_cloud_that_is_silent_fails_in_its_own_time() -> None:
    twin = CLOUDS["tensordock"]()
    twin.faults.always(CloudFaultKind.SILENT)
    finding = found(twin, limit_s=0.5)
    assert (finding.state, finding.exit_code) == ("fail", Exit.TIME_LIMIT)
    assert finding.text == "tensordock did not answer within 0.5 s."


def test_without_accounts_it_says_how_to_get_one() -> None:
    (finding,) = run(check_clouds([], lambda _: (_ for _ in ()).throw(AssertionError)))
    assert (finding.state, finding.remedy) == ("info", "Store a key: hawser key set vast")
