"""The guard that needs no computer of the user's to be on: a small shell script that ends leases with curl.

It lies in a private folder on the machine itself, or on another host of the user's. For each machine that it ends there
are a file with the times (`ID.lease`, written anew with each renewal), one with what to send (`ID.body`), and one with
the key (`ID.curl`, read by curl itself, so that the key is in no list of processes). Times are by the clock of that
host, whose offset is measured with each renewal.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

from console.clock import Clock
from console.errors import LinkBroken, RemoteRefused
from console.history.rows import from_ms, to_ms
from console.machines.work import BUSY_PERCENT, GUARD_JOB

if TYPE_CHECKING:
    from console.links.remote import Connect, Output
    from providers.clouds.ending import Ending

FOLDER = ".hawser/guard"
TICK_S = 30
LIMIT_S = 30.0
SILENT_S = 120
"""A script that has not said anything for so long is started again."""

SCRIPT = (
    r"""#!/bin/sh
# Hawser's guard. Ends machines whose lease is over, through their cloud's own interface. Needs a shell and curl.
umask 077
cd "${0%/*}" || exit 1

lease() {
    soft= hard= idle=0 watch=0 method= url= check=
    while read -r word value; do
        case $word in
            soft) soft=$value;; hard) hard=$value;; idle) idle=$value;; watch) watch=$value;;
            method) method=$value;; url) url=$value;; check) check=$value;;
        esac
    done < "$id.lease"
    [ -n "$soft" ] && [ -n "$hard" ] && [ -n "$url" ]
}

call() {
    code=$(curl -q -sS -m 30 -K "$id.curl" -o "$id.answer" -w '%{http_code}' "$@" 2> "$id.error")
    case $code in
        2??) grep -q '"success": *false' "$id.answer" 2>/dev/null && code=600;;  # a refusal in the dress of a success
        [0-9][0-9][0-9]) ;;
        *) code=000;;
    esac
    rm -f "$id.answer"
}

# Whether there is work on this machine. What cannot be read counts as work; the hard end comes all the same.
works() {
    if command -v nvidia-smi > /dev/null 2>&1; then
        uses=$(nvidia-smi --query-gpu=utilization.gpu --format=csv,noheader,nounits 2>/dev/null) || return 0
        for use in $uses; do
            case $use in *[!0-9]*) return 0;; esac
            [ "$use" -lt @BUSY@ ] || return 0
        done
    fi
    for file in /proc/[0-9]*/cmdline; do
        title=
        IFS= read -r title < "$file"
        case $title in 'sshd: '*@pts/*|'sshd-session: '*@pts/*) return 0;; esac
    done 2>/dev/null
    for job in ../jobs/*; do
        case $job in ../jobs/@JOB@*) continue;; esac
        [ -f "$job/pid" ] && [ ! -f "$job/exit" ] || continue
        read -r number rest < "$job/pid"
        kill -0 "$number" 2>/dev/null && return 0
    done
    return 1
}

look() {
    lease || return
    why=
    if [ "$now" -ge "$hard" ]; then why=hard
    elif [ "$now" -ge "$soft" ]; then
        [ "$watch" = 1 ] && works && last=$now
        [ $((now - last)) -ge "$idle" ] && why=idle
    fi
    if [ -z "$why" ]; then rm -f "$id.tried"; return; fi
    next=0 tries=0
    [ -f "$id.tried" ] && read -r next tries < "$id.tried"
    [ "$now" -ge "$next" ] || return
    call -X "$method" -H 'Content-Type: application/json' --data-binary "@$id.body" "$url"
    pause=300
    case $code in
        2??|404) tries=0;;
        *) tries=$((tries + 1)); pause=$((tries < 5 ? tries * 30 : 300));;
    esac
    echo "$((now + pause)) $tries" > "$id.tried"
    echo "$now $why $code" > "$id.state"
}

case $1 in
test)
    id=$2
    command -v curl > /dev/null 2>&1 || { echo 'check none'; exit 0; }
    lease || { echo 'check lease'; exit 0; }
    call "$check"
    echo "check $code"
    head -c 300 "$id.error"
    ;;
run)
    echo $$ > owner
    last=$(date +%s)
    checked=0
    while [ "$(cat owner 2>/dev/null)" = $$ ]; do
        now=$(date +%s)
        if [ $((now - checked)) -ge 60 ]; then
            checked=$now
            works && last=$now
        fi
        for file in *.lease; do
            [ -f "$file" ] || continue
            id=${file%.lease}
            look
        done
        echo "$now $$" > beat.new && mv -f beat.new beat
        sleep "${2:-30}"
    done
    ;;
esac
""".replace("@BUSY@", f"{BUSY_PERCENT:.0f}")
).replace("@JOB@", GUARD_JOB)

VERSION = hashlib.sha256(SCRIPT.encode()).hexdigest()[:12]

_PUT = r"""
umask 077
mkdir -p "$HOME/@FOLDER@" && chmod 700 "$HOME/.hawser" "$HOME/@FOLDER@" && cd "$HOME/@FOLDER@" || exit 71
cat > @NAME@.new && [ "$(wc -c < @NAME@.new)" -eq @BYTES@ ] || { rm -f @NAME@.new; exit 73; }
chmod @MODE@ @NAME@.new && mv -f @NAME@.new @NAME@ || exit 71
"""
_TELL = r"""
echo "now $(date +%s)"
echo "version $(cat version 2>/dev/null)"
echo "beat $(cat beat 2>/dev/null)"
echo "state $(cat @ID@.state 2>/dev/null)"
"""

# A key that the cloud gave to the machine itself is in the environment of its first process.
_OWN_KEY = r"""
umask 077
cd "$HOME/@FOLDER@" || exit 71
key=$(printenv @VARIABLE@)
[ -n "$key" ] || key=$(tr '\0' '\n' < /proc/1/environ 2>/dev/null | sed -n 's/^@VARIABLE@=//p' | head -n 1)
[ -n "$key" ] || exit 74
printf 'header = "Authorization: Bearer %s"\n' "$key" > @ID@.curl.new && mv -f @ID@.curl.new @ID@.curl
"""


class Times(NamedTuple):
    """When a machine is to be ended, by our clock."""

    soft: datetime
    """From here on if nobody works on it."""
    hard: datetime
    idle: timedelta
    """How long nobody must have worked on it at the soft end."""
    watches: bool
    """Whether the script looks for work: on the machine itself it can."""


class Seen(NamedTuple):
    """What a renewal found."""

    offset_s: float
    """How far that host's clock is ahead of ours."""
    version: str
    beat_at: datetime | None
    """When the script last said that it is there, by our clock."""
    ended: str
    """What the script did about the machine last: when, why, and with which answer."""


class Stopper:
    """The script on one host."""

    def __init__(self, connect: Connect, host: str, clock: Clock, *, tick_s: int = TICK_S) -> None:
        self.host = host
        self._connect = connect
        self._clock = clock
        self._tick_s = tick_s

    async def renew(self, name: str, ending: Ending, times: Times, offset_s: float) -> Seen:
        """Write the times of a machine down there, and read what the script says."""
        content = _lease(ending, times, offset_s)
        before_ms = to_ms(self._clock.now())
        output = await self._put(f"{name}.lease", content, more=_TELL.replace("@ID@", name))
        middle_ms = (before_ms + to_ms(self._clock.now())) / 2
        return _read(output.text, middle_ms)

    async def set_up(self, name: str, ending: Ending, key: str | None) -> None:
        """Put everything there and start the script. Without a key, the one that the cloud gave to that machine."""
        from console.links.detached import Detached

        await self._put("stopper.sh", SCRIPT, mode="700")
        await self._put(f"{name}.body", ending.body)
        if key is not None:
            await self._put(f"{name}.curl", f'header = "Authorization: Bearer {key}"\n')
        elif ending.key_variable is None:
            raise RemoteRefused(f"There is no key here that {self.host} could have.")
        else:
            script = _OWN_KEY.replace("@VARIABLE@", ending.key_variable).replace("@ID@", name)
            self._check(await self._run(script), f"its cloud has given {self.host} no key of its own")
        jobs = Detached(self._connect, machine=self.host)
        for job in await jobs.jobs():
            if job.id.startswith(GUARD_JOB):
                await jobs.stop(job.id, grace_s=1.0)
                await jobs.remove(job.id)
        began = to_ms(self._clock.now())
        await jobs.start(f"{GUARD_JOB}-{began}", f'exec /bin/sh "$HOME/{FOLDER}/stopper.sh" run {self._tick_s}')
        await self._put("version", VERSION)

    async def test(self, name: str) -> str | None:
        """Try, by a request that changes nothing, whether it could end the machine; what is wrong, if it could not."""
        output = await self._run(f'/bin/sh "$HOME/{FOLDER}/stopper.sh" test {quote(name)}')
        first, _, rest = output.text.partition("\n")
        code = first.removeprefix("check ").strip()
        words = " ".join(rest.split())[:200]
        match code:
            case "none":
                return f"there is no curl on {self.host}"
            case "000":
                return f"its cloud cannot be reached from {self.host}{f': {words}' if words else ''}"
            case "429":
                return f"its cloud had too many requests when the key of {self.host} was tried"
            case "401" | "403":
                return f"its cloud does not accept the key that {self.host} has"
            case _ if code.startswith("2"):
                return None
            case _:
                return f"its cloud answers {code or 'nothing'} to {self.host}"

    async def forget(self, name: str) -> None:
        """Take a machine's lease and key away again."""
        files = " ".join(quote(f"{name}.{end}") for end in ("lease", "curl", "body", "tried", "state", "error"))
        await self._run(f'cd "$HOME/{FOLDER}" 2>/dev/null && rm -f {files}; exit 0')

    async def _put(self, name: str, content: str, *, mode: str = "600", more: str = "") -> Output:
        written = content.encode()
        script = _PUT + more
        for mark, value in (
            ("@FOLDER@", FOLDER),
            ("@NAME@", quote(name)),
            ("@BYTES@", str(len(written))),
            ("@MODE@", mode),
        ):
            script = script.replace(mark, value)
        output = await self._run(script, written)
        self._check(output, f"the guard cannot be put on {self.host}")
        return output

    async def _run(self, script: str, stdin: bytes = b"") -> Output:
        from console.links.remote import run

        return await run(
            self._connect,
            script.replace("@FOLDER@", FOLDER),
            machine=self.host,
            stdin=stdin,
            limit_s=LIMIT_S,
            longest=64 * 1024,
        )

    def _check(self, output: Output, trouble: str) -> None:
        if output.ended.exit_code == 73:
            raise LinkBroken(f"What was sent did not arrive whole on {self.host}.", hint="It is sent again.")
        if not output.ended.is_success:
            words = " ".join(output.err.decode(errors="replace").split())[:200]
            raise RemoteRefused(f"{trouble[0].upper()}{trouble[1:]}{f': {words}' if words else ''}.")


def _lease(ending: Ending, times: Times, offset_s: float) -> str:
    def there(moment: datetime) -> int:
        return round(to_ms(moment) / 1000 + offset_s)

    lines = {
        "soft": there(times.soft),
        "hard": there(times.hard),
        "idle": round(times.idle.total_seconds()),
        "watch": int(times.watches),
        "method": ending.method,
        "url": ending.url,
        "check": ending.check_url,
    }
    return "".join(f"{word} {value}\n" for word, value in lines.items())


def _read(text: str, middle_ms: float) -> Seen:
    said = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
    now = said.get("now", "").strip()
    if not now.isdecimal() or len(now) > 11:
        raise RemoteRefused("The machine does not tell the time.")
    offset_s = int(now) + 0.5 - middle_ms / 1000
    beat = said.get("beat", "").split()
    beat_at = None
    if beat and beat[0].isdecimal() and len(beat[0]) < 12:
        beat_at = from_ms(round((int(beat[0]) - offset_s) * 1000))
    return Seen(offset_s, said.get("version", "").strip(), beat_at, said.get("state", "").strip()[:100])
