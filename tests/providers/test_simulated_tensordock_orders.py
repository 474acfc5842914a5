"""What TensorDock's create and modify calls accept, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest

from providers.simulated.clouds.tensordock_orders import BadOrderError, Change, change_from, order_from

GPU = "geforcertx4090-pcie-24gb"


def body(resources: dict[str, Any] | None = None, **attributes: Any) -> dict[str, Any]:
    """A create call that is in order, with some attributes other; None leaves one out."""
    parts = {"vcpu_count": 8, "ram_gb": 32, "storage_gb": 200, "gpus": {GPU: {"count": 1}}} | (resources or {})
    whole = {
        "name": "lab-2",
        "type": "virtualmachine",
        "image": "ubuntu2404",
        "resources": parts,
        "location_id": "loc",
        "port_forwards": [{"internal_port": 22, "external_port": 20007}],
        "ssh_key": "ssh-ed25519 AAAA",
        **attributes,
    }
    whole = {name: value for name, value in whole.items() if value is not None}
    return {"data": {"type": "virtualmachine", "attributes": whole}}


def test_order_in_order_is_read_whole() -> None:
    order = order_from(body(useDedicatedIp=True, cloud_init={"runcmd": ["echo hi"], "package_update": True}))

    assert (order.name, order.image) == ("lab-2", "ubuntu2404")
    assert (order.vcpus, order.ram_gb, order.storage_gb, order.gpu, order.gpu_count) == (8, 32, 200, GPU, 1)
    assert (order.location_id, order.hostnode_id) == ("loc", "")
    assert order.has_dedicated_ip
    assert order.forwards == ((22, 20007),)
    assert (order.ssh_key, order.ssh_key_id) == ("ssh-ed25519 AAAA", "")
    assert order.cloud_init == {"runcmd": ["echo hi"], "package_update": True}


@pytest.mark.parametrize(
    ("order", "rule"),
    [
        (None, "body must be an object"),
        ({"data": {"type": "instance"}}, "data.type must be virtualmachine"),
        (body(type="container"), "type must be virtualmachine"),
        (body(name=None), "name is required"),
        (body(name=""), "name is required"),
        (body(image="debian13"), "image must be one of ubuntu2204"),
        (body(resources={"vcpu_count": 7}), "vcpu_count must be an even number"),
        (body(resources={"vcpu_count": "8"}), "vcpu_count must be a whole number"),
        (body(resources={"ram_gb": 33}), "ram_gb must be one of 2, 4, 6, 8, 10, 16, 32"),
        (body(resources={"storage_gb": 99}), "storage_gb must be at least 100"),
        (body(resources={"gpus": {}}), "at least one GPU is required with location_id"),
        (body(resources={"gpus": {GPU: {"count": 1}, "other": {"count": 1}}}), "only one kind of GPU"),
        (body(hostnode_id="hn-1"), "exactly one of location_id and hostnode_id"),
        (body(location_id=None), "exactly one of location_id and hostnode_id"),
        (body(ssh_key_id="s-1"), "exactly one of ssh_key and ssh_key_id"),
        (body(ssh_key=None), "exactly one of ssh_key and ssh_key_id"),
        (body(port_forwards={"22": 20007}), "port_forwards must be a list"),
        (body(port_forwards=[{"internal_port": 22, "external_port": 70000}]), "external_port must be between"),
        (body(port_forwards=[{"internal_port": 22, "external_port": 20007}] * 2), "external ports must differ"),
        (body(cloud_init={"run": []}), "cloud_init does not know run"),
    ],
)
def test_broken_rule_is_named(order: Any, rule: str) -> None:
    with pytest.raises(BadOrderError, match=rule):
        order_from(order)


def test_hostnode_needs_no_gpu_and_windows_no_key() -> None:
    order = order_from(
        body(location_id=None, hostnode_id="hn-1", image="windows10", ssh_key=None, resources={"gpus": {}})
    )

    assert (order.hostnode_id, order.gpu, order.gpu_count) == ("hn-1", "", 0)


def test_change_names_only_what_it_changes() -> None:
    assert change_from({"diskGb": 250}) == Change(None, None, 250, None, None)
    assert change_from({"cpuCores": 8, "ramGb": 32, "gpus": {"gpuV0Name": GPU, "count": 2}}) == Change(
        8, 32, None, GPU, 2
    )
    with pytest.raises(BadOrderError, match="diskGb must be a whole number"):
        change_from({"diskGb": "250"})
