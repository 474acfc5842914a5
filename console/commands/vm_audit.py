"""`hawser vm audit`: everything that costs money on every account, and an exit code when nobody wants some of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from console.machines.audit import Audit, AuditLine
    from console.shell import Shell

HELP = "everything that costs money on every account"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    return asyncio.run(_audit(arguments, shell))


async def _audit(arguments: argparse.Namespace, shell: Shell) -> int:
    from console.errors import Exit
    from console.machines.audit import audit

    async with shell.runtime() as runtime:
        fleet = await runtime.fleet()
        if not await fleet.accounts():
            shell.paragraph("No cloud has a key, and no machine is known: there is nothing to look through.")
        found = await audit(fleet, runtime.cloud)
        if arguments.json:
            shell.json(_as_json(found))
        else:
            _show(shell, found)
        for trouble in found.troubles:
            hint = f" {trouble.hint}" if trouble.hint else ""
            shell.paragraph(
                f"hawser: {trouble.cloud} cannot be asked: {trouble.text}{hint} What is on it is listed as it was last"
                " seen, and may be more."
            )
        if found.unwanted:
            return Exit.MACHINE
        return Exit.UNREACHABLE if found.troubles else Exit.DONE


def _show(shell: Shell, found: Audit) -> None:
    from console.commands.vm_table import columns_that_fit
    from console.machines import words

    if found.lines:
        headings = ("NAME", "CLOUD", "WHAT", "STATE", "COSTS NOW", "A WEEK", "WANTED", "WHY")
        rows = [
            (
                line.name,
                line.cloud,
                line.what,
                line.state or "-",
                "unknown" if line.usd_per_hour is None else words.per_hour(line.usd_per_hour),
                "unknown" if line.usd_per_week is None else words.usd(line.usd_per_week),
                "yes" if line.is_wanted else "NO",
                line.why or "-",
            )
            for line in found.lines
        ]
        keep = columns_that_fit(shell, headings, rows, least=("WHY", "WHAT", "CLOUD"))
        shell.table([headings[at] for at in keep], [[row[at] for at in keep] for row in rows])
    else:
        shell.paragraph(
            "Nothing costs money on any account that could be asked." if found.troubles else "Nothing costs money."
        )
    for account in found.accounts:
        stands = []
        if account.balance_usd is not None:
            stands.append(f"{words.usd(account.balance_usd)} left")
        if account.usd_per_hour is not None:
            stands.append(f"costs {words.per_hour(account.usd_per_hour)} in all, by its own word")
        if stands:
            shell.paragraph(f"{account.cloud}: {', '.join(stands)}.")
    for line in found.unwanted:
        shell.paragraph(f"hawser: {_complaint(line)}")


def _complaint(line: AuditLine) -> str:
    from console.machines import words

    price = "an unknown amount" if line.usd_per_week is None else f"{words.usd(line.usd_per_week)} a week"
    if line.owner == "stranger":
        step = f"Take it over with: hawser vm adopt {line.cloud} {line.cloud_id}"
    elif line.owner == "ours":
        step = f"End it with: hawser vm destroy {line.name}"
    else:
        step = "See the cloud's own console."
    return f"{line.name} on {line.cloud} costs {price} and nobody wants that. {line.why} {step}".replace("  ", " ")


def _as_json(found: Audit) -> dict[str, Any]:
    from console.shell import SCHEMA

    return {
        "schema": SCHEMA,
        "items": [
            {
                "name": line.name,
                "cloud": line.cloud,
                "id": line.cloud_id,
                "what": line.what,
                "owner": line.owner,
                "state": line.state or None,
                "bills": line.bills.value,
                "usd_per_hour": None if line.usd_per_hour is None else float(line.usd_per_hour),
                "usd_per_week": None if line.usd_per_week is None else float(line.usd_per_week),
                "wanted": line.is_wanted,
                "why": line.why or None,
                "seen_at": None if line.seen_at is None else line.seen_at.isoformat(timespec="milliseconds"),
            }
            for line in found.lines
        ],
        "accounts": [
            {
                "cloud": account.cloud,
                "balance_usd": None if account.balance_usd is None else float(account.balance_usd),
                "usd_per_hour": None if account.usd_per_hour is None else float(account.usd_per_hour),
            }
            for account in found.accounts
        ],
        "troubles": [
            {"cloud": trouble.cloud, "text": trouble.text, "hint": trouble.hint} for trouble in found.troubles
        ],
        "unwanted": len(found.unwanted),
    }
