"""The simulated world as one: in the process, and as `python -m providers.simulated`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from providers.simulated.__main__ import main
from providers.simulated.clouds.faults import CloudFaultKind
from providers.simulated.clouds.names import CLOUDS
from providers.simulated.machine_faults import MachineFaultKind
from providers.simulated.services import (
    DEFAULT_ENDPOINTS,
    ENDPOINTS,
    Fault,
    FaultKind,
    MachineFault,
    MachineSpec,
    SimulatedOllama,
    World,
    WorldOptions,
)
from tests.conftest import run
from tests.providers.simulated_clients import http_client

ROOT = Path(__file__).parents[2]


@contextmanager
def running(*options: str) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """The module as a process of its own, with the line it prints."""
    with subprocess.Popen(
        [sys.executable, "-m", "providers.simulated", *options],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def test_world_holds_what_was_asked_with_keys_of_its_own() -> None:
    async def body() -> None:
        async with World() as one, World() as other:
            endpoints = one.description()["endpoints"]
            keys = {endpoint["key"] for world in (one, other) for endpoint in world.description()["endpoints"]}
            wires = {endpoint["name"]: endpoint["wire"] for endpoint in endpoints}

            assert tuple(wires) == DEFAULT_ENDPOINTS
            assert set(wires.values()) == {"ollama", "openai", "anthropic"}
            assert len(keys - {None}) == 6
            assert len({endpoint["base_url"] for endpoint in endpoints}) == len(endpoints)

    run(body())


def test_every_endpoint_lists_models_under_its_base_url() -> None:
    async def body() -> None:
        async with World(WorldOptions(endpoints=tuple(ENDPOINTS))) as world:
            for service in world.services.values():
                path = {"ollama": "/api/tags", "anthropic": "/v1/models"}.get(service.wire, "/models")
                async with http_client(service) as client:
                    answer = await client.get(path)

                assert answer.status_code == 200
                assert answer.json().get("models") or answer.json()["data"]

    run(body())


def test_ollama_hosts_have_different_models() -> None:
    async def body() -> None:
        async with World() as world:
            inference, workstation = world["inference"], world["workstation"]

            assert isinstance(inference, SimulatedOllama)
            assert isinstance(workstation, SimulatedOllama)
            assert "qwen3:32b" in workstation.installed
            assert "qwen3:32b" not in inference.installed
            assert {"llama3.1:8b"} == set(workstation.installed) & set(inference.installed)

    run(body())


def test_world_that_cannot_start_closes_what_it_opened() -> None:
    async def body() -> None:
        async with SimulatedOllama() as holder:
            world = World(WorldOptions(endpoints=("inference", "openai"), ports={"openai": holder.port}))
            with pytest.raises(OSError, match="in use"):
                await world.__aenter__()

            assert world["inference"].connections == 0
            with pytest.raises(AssertionError):
                _ = world["inference"].port

    run(body())


def test_faults_and_seed_reach_the_services() -> None:
    async def body() -> None:
        options = WorldOptions(("openai",), faults={"openai": [Fault(FaultKind.STATUS, 503)]}, seed=4, answer_tokens=3)
        async with World(options) as world:
            service = world["openai"]

            assert [fault.kind for fault in service.faults] == [FaultKind.STATUS]
            assert (service.answers.seed, service.answers.length) == (4, 3)

    run(body())


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_module_prints_one_line_serves_and_ends_cleanly(sent: signal.Signals, code: int) -> None:
    with running("--endpoints", "inference,anthropic", "--answer-tokens", "4") as (process, world):
        endpoint = world["endpoints"][0]
        request = {"model": "mistral:7b", "messages": [{"role": "user", "content": "hello there"}], "stream": False}
        answer = httpx.post(f"{endpoint['base_url']}/api/chat", json=request, trust_env=False).json()
        process.send_signal(sent)
        output, errors = process.communicate(timeout=10)

        assert set(world) == {"schema", "clouds", "endpoints", "comfyui", "machines"}
        assert (world["schema"], world["clouds"], world["comfyui"], world["machines"]) == (1, [], [], [])
        assert [list(endpoint) for endpoint in world["endpoints"]] == [["name", "wire", "base_url", "key"]] * 2
        assert world["endpoints"][0]["key"] is None
        assert world["endpoints"][1]["key"].startswith("sk-ant-")
        assert answer["eval_count"] == 4
        assert (process.returncode, output, errors) == (code, b"", b"")


def test_module_ends_in_the_middle_of_an_answer() -> None:
    with running("--endpoints", "inference", "--fault", "inference=endless") as (process, world):
        request = {"model": "mistral:7b", "messages": [{"role": "user", "content": "go on"}]}
        with httpx.Client(trust_env=False) as client:
            url = f"{world['endpoints'][0]['base_url']}/api/chat"
            with client.stream("POST", url, json=request) as answer:
                next(answer.iter_raw())
                process.terminate()
                _, errors = process.communicate(timeout=10)

        assert (process.returncode, errors) == (0, b"")


def test_module_misbehaves_as_told() -> None:
    with running("--endpoints", "openai", "--fault", "openai=status:429*1") as (_, world):
        endpoint = world["endpoints"][0]
        request = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi"}]}
        headers = {"authorization": f"Bearer {endpoint['key']}"}
        url = f"{endpoint['base_url']}/chat/completions"
        statuses = [httpx.post(url, json=request, headers=headers, trust_env=False).status_code for _ in range(2)]

        assert statuses == [429, 200]


RENT = {"image": "ollama/ollama", "disk": 20, "runtype": "ssh_direc ssh_proxy"}
SSH = ("ssh", "-F", "/dev/null", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes")


def test_default_world_has_a_machine_with_a_service_behind_it(tmp_path: Path) -> None:
    with running() as (_, world):
        (machine,) = world["machines"]
        known_hosts = tmp_path / "known_hosts"
        known_hosts.write_text(f"[{machine['host']}]:{machine['port']} {machine['host_key']}\n")
        options = ["-o", f"UserKnownHostsFile={known_hosts}", "-i", machine["key_file"], "-p", str(machine["port"])]
        where = f"{machine['user']}@{machine['host']}"
        request = b"GET /api/tags HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        answer = subprocess.run(
            [*SSH, *options, "-W", "127.0.0.1:11434", where],
            input=request,
            capture_output=True,
            timeout=20,
            check=False,
        )
        named = subprocess.run([*SSH, *options, where, "hostname"], capture_output=True, timeout=20, check=False)

    fields = ["name", "cloud", "id", "host", "port", "user", "key_file", "host_key"]
    assert list(machine) == fields
    assert (machine["name"], machine["cloud"]) == ("berth", "ssh")
    assert named.stdout == b"berth\n"
    assert b"llama3.1:8b" in answer.stdout


def test_module_leaves_no_key_behind() -> None:
    with running() as (process, world):
        key_file = Path(world["machines"][0]["key_file"])
        assert key_file.exists()
        process.terminate()
        process.communicate(timeout=10)

    assert not key_file.parent.parent.exists()


def test_machines_and_their_services_are_as_asked() -> None:
    async def body() -> None:
        endpoints = ("inference", "vllm", "workstation")
        spec = MachineSpec("one", {11434: "inference", 11435: "workstation", 8000: "vllm"})
        faults = {"two": [MachineFault(MachineFaultKind.REJECT_LOGIN)]}
        options = WorldOptions(endpoints, machines=(spec, MachineSpec("two", {})), machine_faults=faults)
        async with World(options) as world:
            one, two = world.machines["one"], world.machines["two"]

            assert one.services == {port: ("127.0.0.1", world[name].port) for port, name in spec.services.items()}
            assert two.services == {}
            assert (one.login_rejected, two.login_rejected) == (False, True)
            assert [machine["name"] for machine in world.description()["machines"]] == ["one", "two"]

    run(body())


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("--endpoints", "inference"), []),
        (("--machines",), []),
        (("--machines", "one", "two=", "--endpoints", "vllm"), ["one", "two"]),
        (("--clouds", "vast"), ["berth"]),
        (("--machines", "one=inference,workstation:5000", "--machine-fault", "one=refuse", "--real-shell"), ["one"]),
    ],
)
def test_module_runs_the_machines_it_is_told(arguments: tuple[str, ...], names: list[str]) -> None:
    with running(*arguments) as (_, world):
        assert [machine["name"] for machine in world["machines"]] == names


def test_module_says_when_a_port_is_taken() -> None:
    with running("--endpoints", "inference") as (_, world):
        port = world["endpoints"][0]["base_url"].rpartition(":")[2]
        other = subprocess.run(
            [sys.executable, "-m", "providers.simulated", "--endpoints", "openai", "--port", f"openai={port}"],
            cwd=ROOT,
            capture_output=True,
            timeout=20,
            check=False,
            env={**os.environ, "PYTHONWARNINGS": "error"},
        )

        assert other.returncode == 1
        assert b"cannot listen" in other.stderr
        assert b"Traceback" not in other.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--endpoints", "nowhere"],
        ["--endpoints", ","],
        ["--tokens-per-second", "-1"],
        ["--tokens-per-second", "nan"],
        ["--answer-tokens", "-1"],
        ["--fault", "inference"],
        ["--fault", "inference=nonsense"],
        ["--fault", "vllm=cut"],
        ["--port", "inference=0"],
        ["--port", "inference=x"],
        ["--port", "vllm=8000"],
        ["--machines", "bad name"],
        ["--machines", "one", "one"],
        ["--machines", "openai"],
        ["--machines", "one=vllm"],
        ["--machines", "one=inference:0"],
        ["--machines", "one=inference:7,workstation:7"],
        ["--machine-fault", "berth"],
        ["--machine-fault", "berth=nonsense"],
        ["--machine-fault", "other=drop"],
        ["--clouds", "nowhere"],
        ["--clouds", "vast", "vast"],
        ["--clouds", "vast", "--machines", "vast"],
        ["--boot-seconds", "-1"],
        ["--stock", "some"],
        ["--cloud-fault", "vast"],
        ["--cloud-fault", "vast=nonsense"],
        ["--cloud-fault", "vast=down@nowhere"],
        ["--cloud-fault", "vast=late:soon"],
        ["--clouds", "vast", "--cloud-fault", "runpod=down"],
    ],
)
def test_wrong_options_are_usage_errors(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_help_names_every_endpoint_and_fault(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])

    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert all(name in shown for name in ENDPOINTS)
    assert all(kind.meaning in shown for kind in (*FaultKind, *MachineFaultKind, *CloudFaultKind))
    assert all(name in shown for name in CLOUDS)


def test_module_has_clouds_to_rent_from() -> None:
    with running("--clouds", "vast", "runpod", "--machines", "--boot-seconds", "1") as (_, world):
        vast, runpod = world["clouds"]
        headers = {"authorization": f"Bearer {vast['key']}"}
        rented = httpx.put(f"{vast['base_url']}/api/v0/asks/7001/", json=RENT, headers=headers, trust_env=False).json()
        listed = httpx.get(
            f"{runpod['base_url']}/v2/pods", headers={"authorization": f"Bearer {runpod['key']}"}, trust_env=False
        )

    assert [list(cloud) for cloud in world["clouds"]] == [["name", "base_url", "key"]] * 2
    assert [cloud["name"] for cloud in world["clouds"]] == ["vast", "runpod"]
    assert rented["success"] is True
    assert listed.json() == {"pods": []}


def test_clouds_are_as_told() -> None:
    with running("--clouds", "vast", "--machines", "--stock", "0", "--cloud-fault", "vast=status:502@account*1") as (
        _,
        world,
    ):
        (vast,) = world["clouds"]
        with httpx.Client(
            base_url=vast["base_url"], headers={"authorization": f"Bearer {vast['key']}"}, trust_env=False
        ) as client:
            statuses = [client.get("/api/v0/users/current").status_code for _ in range(2)]
            rentable = {"rentable": {"eq": True}}
            offers = client.post("/api/v0/bundles/", json=rentable).json()["offers"]

    assert statuses == [502, 200]
    assert offers == []
