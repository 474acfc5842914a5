"""What Lambda's launch call accepts, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest

from providers.simulated.clouds.lambda_launches import BadLaunchError, Mount, launch_from


def body(**fields: Any) -> dict[str, Any]:
    whole = {"region_name": "us-west-1", "instance_type_name": "gpu_1x_a10", "ssh_key_names": ["laptop"], **fields}
    return {name: value for name, value in whole.items() if value is not None}


def test_launch_is_read_whole() -> None:
    launch = launch_from(
        body(
            name="lab-4",
            hostname="lab",
            file_system_names=["data"],
            file_system_mounts=[{"file_system_id": "fs", "mount_point": "/data"}],
            image={"family": "lambda-stack-24-04"},
            user_data="#cloud-config\n",
            tags=[{"key": "owner", "value": "me"}],
            firewall_rulesets=[{"id": "fw"}],
            quantity=1,
        )
    )

    assert (launch.region, launch.instance_type, launch.ssh_key_name) == ("us-west-1", "gpu_1x_a10", "laptop")
    assert (launch.name, launch.hostname, launch.user_data) == ("lab-4", "lab", "#cloud-config\n")
    assert launch.file_system_names == ("data",)
    assert launch.mounts == (Mount("fs", "/data"),)
    assert launch.image == {"family": "lambda-stack-24-04"}
    assert launch.tags == (("owner", "me"),)
    assert launch.firewall_rulesets == ("fw",)


@pytest.mark.parametrize(
    ("launch", "rule"),
    [
        ([], "must be a JSON object"),
        (body(colour="red"), "Unknown field: colour"),
        (body(quantity=2), "quantity must be 1"),
        (body(ssh_key_names=None), "exactly one name"),
        (body(ssh_key_names=["a", "b"]), "exactly one name"),
        (body(ssh_key_names="laptop"), "ssh_key_names must be a list of names"),
        (body(region_name=None), "region_name is required"),
        (body(instance_type_name=7), "instance_type_name must be text"),
        (body(name="n" * 65), "64 characters or fewer"),
        (body(user_data="u" * 1_000_001), "cannot exceed 1MB"),
        (body(image={"family": "a", "id": "b"}), "either an id or a family"),
        (body(tags={"owner": "me"}), "tags must be a list of objects"),
        (body(tags=[{"key": "owner"}]), "value is required"),
    ],
)
def test_broken_rule_is_named(launch: Any, rule: str) -> None:
    with pytest.raises(BadLaunchError, match=rule):
        launch_from(launch)


def test_longest_name_and_user_data_are_accepted() -> None:
    launch = launch_from(body(name="n" * 64, user_data="u" * 1_000_000))

    assert launch.name == "n" * 64
    assert len(launch.user_data) == 1_000_000
