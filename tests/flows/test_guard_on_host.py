"""`hawser guard --install HOST`: a second stopper for machines whose cloud gives them no keys of their own."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from console.history import leases, machines
from console.history.rows import to_ms
from console.machines.stopper import FOLDER
from console.machines.work import GUARD_JOB
from providers.simulated.machine import SimulatedMachine
from tests.flows.kit import Hawser, Services

if TYPE_CHECKING:
    import sqlite3

KEY = "tensordock-account-key"


class Nas:
    """A host of the user's, and the user, who rents at a cloud that gives machines no keys."""

    def __init__(self, services: Services, folder: Path) -> None:
        self.machine = SimulatedMachine("nas", real_shell=True)
        self.services = services
        services.do(self.machine.__aenter__())
        where = f"{self.machine.user}@127.0.0.1:{self.machine.port}"
        self.user = Hawser(folder, env={"HAWSER_KEY_DOCK": KEY, "PATH": "/usr/bin:/bin"}).settings(
            f'[machines.nas]\ncloud = "ssh"\nhost = "{where}"\nkey_file = "{self.machine.key_file}"',
            '[clouds.tensordock]\nbase_url = "http://127.0.0.1:9/api/v2"\nkey = "dock"',
        )

    @property
    def folder(self) -> Path:
        return self.machine.home / FOLDER

    def rent(self) -> None:
        """A machine that runs, as the fleet would have written it down."""
        assert self.user.run("guard", "--once").code in (0, 8)
        now = datetime.now(UTC)
        with self.writing() as connection:
            connection.execute(
                "INSERT INTO machines (seq, name, cloud, cloud_id, label, origin, desired, state, state_at, at_end,"
                " created_at, seen_at) VALUES (50, 'gpu1', 'tensordock', 'vm-7', 'hawser-gpu1-7f3k2m9q', 'launched',"
                " 'running', 'ready', ?1, 'stop', ?1, ?1)",
                (to_ms(now),),
            )
            leases.begin(connection, 50, now, now + timedelta(hours=12))

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        import sqlite3

        with closing(sqlite3.connect(self.user.store_file)) as connection:
            yield connection
            connection.commit()


@contextmanager
def nas(services: Services, folder: Path) -> Iterator[Nas]:
    host = Nas(services, folder)
    try:
        yield host
    finally:
        host.user.run("guard", "--remove", "nas")
        services.do(host.machine.__aexit__(None, None, None))


def test_nothing_is_put_on_a_host_without_a_yes(services: Services, tmp_path: Path) -> None:
    with nas(services, tmp_path) as host:
        done = host.user.run("guard", "--install", "nas")

        assert done.code == 2
        assert "the key of your account tensordock" in done.err
        assert not host.folder.exists()


def test_host_gets_the_lease_and_the_key_and_loses_them_again(services: Services, tmp_path: Path) -> None:
    with nas(services, tmp_path) as host:
        host.rent()
        done = host.user.run("guard", "--install", "nas", "--yes")
        assert done.code == 0, done.err

        (key_file,) = host.folder.glob("*.curl")
        assert KEY in key_file.read_text()
        assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
        (lease,) = host.folder.glob("*.lease")
        assert "url http://127.0.0.1:9/api/v2/instances/vm-7/stop" in lease.read_text()
        with host.user.store() as connection:
            known = leases.get(connection, 50)
            assert known is not None
            assert known.elsewhere["where"] == "nas"
            assert "cannot be reached from nas" in known.elsewhere["trouble"]
            assert machines.by_seq(connection, 50).name == "gpu1"

        removed = host.user.run("guard", "--remove", "nas")

        assert removed.code == 0, removed.err
        assert list(host.folder.iterdir()) == []
        assert not list((host.machine.home / ".hawser" / "jobs").glob(f"{GUARD_JOB}*"))
        with host.user.store() as connection:
            assert leases.stoppers(connection) == {}


def test_account_whose_machines_have_keys_needs_no_host(services: Services, tmp_path: Path) -> None:
    user = Hawser(tmp_path, env={"HAWSER_KEY_VAST": "v"})

    done = user.run("guard", "--install", "me@127.0.0.1:9", "--yes")

    assert done.code == 2
    assert "no account whose machines need another host" in done.err
