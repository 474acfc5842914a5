"""Lambda's file systems: they outlive machines, attach at launch only, and are billed for what is in them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from providers.simulated.clouds.billing import HOURS_PER_MONTH, Bill, ChargeKind
from providers.simulated.clouds.faults import Call
from providers.simulated.clouds.lambda_launches import Launch
from providers.simulated.clouds.lambda_types import REGIONS, region_row
from providers.simulated.clouds.wire import Answer, Asked, RefusedError, as_json, iso

if TYPE_CHECKING:
    from providers.simulated.clouds.lambda_cloud import LambdaTwin

USD_PER_GIB_MONTH = Decimal("0.2")
_GIB = 1024**3


class FileSystem:
    def __init__(self, number: str, name: str, region: str, created_at: datetime) -> None:
        self.id = number
        self.name = name
        self.region = region
        self.created_at = created_at
        self.bytes_used = 0
        self.bill = Bill(number)
        self.bill.label = name

    @property
    def mount_point(self) -> str:
        """Where it is on machines whose launch did not say otherwise."""
        return f"/lambda/nfs/{self.name}"

    def hold(self, size_bytes: int, now: datetime) -> None:
        """Have so much in it from here on."""
        self.bytes_used = size_bytes
        rate = USD_PER_GIB_MONTH * size_bytes / _GIB / HOURS_PER_MONTH
        self.bill.charge_at(now, {ChargeKind.DISK: rate})

    def remove(self, now: datetime) -> None:
        self.bill.charge_at(now, {})

    def row(self, *, is_in_use: bool) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "mount_point": self.mount_point,
            "created": iso(self.created_at),
            "created_by": {"id": "5f3c8d2a9b7e4c61", "email": "demo@example.org", "status": "active"},
            "is_in_use": is_in_use,
            "region": region_row(self.region),
            "bytes_used": self.bytes_used,
        }


class FileSystems:
    """Those of one account, and the calls for them."""

    def __init__(self, twin: LambdaTwin) -> None:
        self._twin = twin
        self._there: dict[str, FileSystem] = {}

    def __getitem__(self, name: str) -> FileSystem:
        return next(disk for disk in self._there.values() if disk.name == name)

    def add_routes(self, base: str) -> None:
        route = self._twin.route
        route("GET", f"{base}/file-systems", Call.OTHER, self._list)
        route("POST", f"{base}/filesystems", Call.OTHER, self._add)
        route("DELETE", f"{base}/filesystems/{{file_system}}", Call.OTHER, self._remove)

    def mounts(self, launch: Launch) -> list[tuple[FileSystem, str]]:
        """The file systems of a machine, and where they are on it."""
        where = {mount.file_system_id: mount.mount_point for mount in launch.mounts}
        return [
            (disk, where.get(disk.id, disk.mount_point))
            for disk in self._there.values()
            if disk.id in where or disk.name in launch.file_system_names
        ]

    def check(self, launch: Launch) -> None:
        """Raise RefusedError when a launch names what is not there, or is elsewhere."""
        known = {disk.name for disk in self._there.values()} | set(self._there)
        wanted = {*launch.file_system_names, *(mount.file_system_id for mount in launch.mounts)}
        self._twin.need(wanted <= known, "file system")
        if any(disk.region != launch.region for disk, _ in self.mounts(launch)):
            code = "instance-operations/launch/file-system-in-wrong-region"
            raise RefusedError(self._twin.error(400, "File systems must be in the region of the instance.", code))

    def _is_in_use(self, disk: FileSystem) -> bool:
        rentals = self._twin.market.alive()
        return any(disk is mounted for rental in rentals for mounted, _ in self.mounts(rental.extra["launch"]))

    async def _list(self, asked: Asked) -> Answer:
        return as_json({"data": [disk.row(is_in_use=self._is_in_use(disk)) for disk in self._there.values()]})

    async def _add(self, asked: Asked) -> Answer:
        name, region = asked.fields.get("name"), asked.fields.get("region")
        if not isinstance(name, str) or not name or not isinstance(region, str) or region not in REGIONS:
            return self._twin.error(400, "name and region are required")
        if any(disk.name == name for disk in self._there.values()):
            return self._twin.error(400, "A file system with that name exists already.", "global/duplicate")
        disk = FileSystem(self._twin.new_id(), name, region, self._twin.market.now)
        self._there[disk.id] = disk
        self._twin.market.bill_besides(disk.bill, {})
        return as_json({"data": disk.row(is_in_use=False)})

    async def _remove(self, asked: Asked) -> Answer:
        disk = self._there.get(asked.parts["file_system"])
        if disk is None:
            return self._twin.error(404, "Specified file system does not exist.")
        if self._is_in_use(disk):
            return self._twin.error(400, "The file system is in use.", "filesystems/filesystem-in-use")
        del self._there[disk.id]
        disk.remove(self._twin.market.now)
        return as_json({"data": {"deleted_ids": [disk.id]}})
