"""Long work on a machine that goes on when the connection breaks, and is found again after it.

Each job has a private folder there, named by an id that the caller chooses: the command, its log, its process number
and its exit code. Starting is idempotent: the same id runs once, however often the start is repeated, and whatever
breaks in between. On the machine nothing is needed but a POSIX shell; `setsid` is used where there is one.

A log never fills a disk: of one that grows beyond its limit the beginning and the newest are kept, and who reads it is
told how much between them was dropped. Offsets count what was said, so that they mean the same whatever is kept.

    jobs = Detached(link.connection)
    await jobs.start("provision-1", "apt-get install -y …")
    async for piece in jobs.follow("provision-1"):          goes on over drops, from where it was
        ...
    ended = await jobs.wait("provision-1")
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from shlex import quote
from typing import Literal, NamedTuple, TypeAlias

from console.errors import LinkBroken, NotFound, RemoteRefused, UsageError
from console.links.remote import Connect, Output, RemoteCommand, run

JobState: TypeAlias = Literal["starting", "running", "ended", "stopped", "lost"]
"""Not begun yet; at work; over by itself; over because we ended it; gone without a word, as after a power cut."""

FOLDER = ".hawser/jobs"
"""Below the home there."""

CALL_LIMIT_S = 30.0
STOP_GRACE_S = 10.0
LONGEST_LOG = 16 * 1024 * 1024
"""How much of a log is fetched at once."""

LOG_LIMIT_BYTES = 64 * 1024 * 1024
"""How much of a log is kept on the machine: a quarter for its beginning, the rest for the newest."""

SMALLEST_LOG_LIMIT_BYTES = 16 * 1024

_ROUND_S = 60
"""How long one look at a log lasts; then another is begun, so that none stays behind for ever when we are gone."""

_DROPS = 5
"""How often a connection may break without anything having come over it."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


class RemoteJob(NamedTuple):
    id: str
    state: JobState
    exit_code: int | None
    log_bytes: int
    """How much it has said, also where not all of that is kept."""
    began: datetime | None
    ended: datetime | None

    @property
    def is_over(self) -> bool:
        return self.state in ("ended", "stopped", "lost")


class Piece(NamedTuple):
    """A stretch of a log."""

    offset: int
    content: bytes
    dropped: int = 0
    """How much was said just before it and is not kept any more."""

    @property
    def end(self) -> int:
        """Where to go on after it."""
        return self.offset + len(self.content)


class Detached:
    def __init__(
        self,
        connect: Connect,
        *,
        machine: str = "the machine",
        folder: str = FOLDER,
        log_limit_bytes: int = LOG_LIMIT_BYTES,
    ) -> None:
        """`folder` is below the home on the machine, or absolute. The limit is for each log of a job started here."""
        self.machine = machine
        self.log_limit_bytes = max(log_limit_bytes, SMALLEST_LOG_LIMIT_BYTES)
        self._connect = connect
        self._folder = folder if folder.startswith("/") else f'"$HOME"/{quote(folder)}'

    async def start(self, job_id: str, command: str) -> RemoteJob:
        """Start it unless it was started before; a drop in the middle is no harm: start it again.

        The same id with another command is refused.
        """
        content = command.encode() + b"\n"
        script = _START % {"bytes": len(content), "run": quote(_RUN), "shares": _shares(self.log_limit_bytes)}
        output = await self._call(job_id, script, stdin=content)
        if output.ended.exit_code == _OTHER:
            raise UsageError(
                f"The job {job_id!r} is on {self.machine} already, with another command.", hint="Choose another id."
            )
        self._check(output, "start a job")
        return await self.job(job_id)

    async def job(self, job_id: str) -> RemoteJob:
        output = await self._call(job_id, f"{_STATE}\nstate {quote(job_id)}")
        self._check(output, "look at a job")
        for job in _read_jobs(output.text):
            return job
        raise NotFound(f"There is no job {job_id!r} on {self.machine}.")

    async def jobs(self) -> list[RemoteJob]:
        """All that are kept there, the newest first."""
        output = await self._call(None, f'{_STATE}\nfor one in *; do [ -d "$one" ] && state "$one"; done; :')
        self._check(output, "list jobs")
        jobs = _read_jobs(output.text)
        return sorted(jobs, key=lambda job: (job.began or datetime.now(UTC), job.id), reverse=True)

    async def follow(self, job_id: str, offset: int = 0) -> AsyncGenerator[Piece, None]:
        """The log from `offset` on, as it grows, until the job is over. Drops are bridged; nothing comes twice.

        What was not kept until we came to it is left out, and the piece after it says how much that was.
        """
        drops = dropped = 0
        is_over = False
        while not is_over:
            began_at = offset
            try:
                async with RemoteCommand(
                    self._connect, self._in_folder(job_id, _FOLLOW % {"offset": offset}), machine=self.machine
                ) as command:
                    words = b""
                    async with contextlib.aclosing(command.pieces()) as pieces:
                        async for source, content in pieces:
                            if source == "err":
                                words = (words + content)[-2000:]
                                continue
                            yield Piece(offset, content, dropped)
                            offset += len(content)
                            dropped = 0
                    ended = await command.ended()
            except LinkBroken:
                drops = 1 if offset > began_at else drops + 1
                if drops > _DROPS:
                    raise
                continue
            self._check(Output(ended, b"", words, False), "follow a job", job_id)
            is_over = b"over" in words.splitlines()
            kept_from = max(_number(words, b"from"), offset)
            dropped += kept_from - offset
            offset = kept_from
            drops = 0
        if dropped:  # the newest had gone as well before we came to it
            yield Piece(offset, b"", dropped)

    async def wait(self, job_id: str) -> RemoteJob:
        """Until it is over, over all drops."""
        drops = 0
        while True:
            try:
                job = await self.job(job_id)
                if job.is_over:
                    return job
                async with contextlib.aclosing(self.follow(job_id, job.log_bytes)) as pieces:
                    async for _ in pieces:
                        drops = 0
            except LinkBroken:
                drops += 1
                if drops > _DROPS:
                    raise

    async def log(self, job_id: str, offset: int = 0, longest: int = LONGEST_LOG) -> Piece:
        """What there is of the log now, from `offset` on and up to where something was dropped. If that is what stands
        at `offset`, the piece begins after it."""
        script = _LOG % {"offset": offset, "longest": longest}
        output = await self._call(job_id, script, longest=longest)
        self._check(output, "read a log", job_id)
        kept_from = max(_number(output.err, b"from"), offset)
        return Piece(kept_from, output.out, kept_from - offset)

    async def stop(self, job_id: str, *, grace_s: float = STOP_GRACE_S) -> RemoteJob:
        """End it and all its processes; one that is over stays as it is."""
        script = _STOP % {"tenths": max(round(grace_s * 10), 1)}
        output = await self._call(job_id, f"{_STATE}\n{script}", limit_s=CALL_LIMIT_S + grace_s)
        self._check(output, "stop a job")
        return await self.job(job_id)

    async def remove(self, job_id: str) -> None:
        """Forget a job that is over, with its log. One that is not there is no error; one that runs is refused."""
        script = (
            f'{_STATE}\n[ -d "$job" ] || exit 0; set -- $(state "$job"); case "$2" in running|starting) exit {_RUNS};;'
            ' esac; rm -rf "./$job"'
        )
        output = await self._call(job_id, script)
        if output.ended.exit_code == _RUNS:
            raise UsageError(f"The job {job_id!r} on {self.machine} still runs.", hint="Stop it first.")
        self._check(output, "remove a job")

    # Inside

    async def _call(
        self,
        job_id: str | None,
        script: str,
        *,
        stdin: bytes = b"",
        limit_s: float = CALL_LIMIT_S,
        longest: int = 1024 * 1024,
    ) -> Output:
        return await run(
            self._connect,
            self._in_folder(job_id, script),
            machine=self.machine,
            stdin=stdin,
            limit_s=limit_s,
            longest=longest,
        )

    def _in_folder(self, job_id: str | None, script: str) -> str:
        if job_id is not None and not _ID.match(job_id):
            raise UsageError(
                f"{job_id!r} cannot be the id of a job.", hint="Letters, digits, dots, dashes and underscores can."
            )
        # The folder is private from the beginning; if somebody else made it, nothing is put there.
        return (
            f'umask 077; top={self._folder}; mkdir -p "$top" && chmod 700 "$top" && cd "$top" || exit {_NO_FOLDER}\n'
            f"job={quote(job_id or '')}\n{script}"
        )

    def _check(self, output: Output, what: str, job_id: str = "") -> None:
        code = output.ended.exit_code
        if code == 0:
            return
        if code == _NO_JOB:
            raise NotFound(f"There is no job {job_id!r} on {self.machine}.")
        if code == _TORN:
            raise LinkBroken(f"The command did not arrive whole on {self.machine}.", hint="Start it again.")
        words = " ".join(output.err.decode(errors="replace").split())[-300:]
        raise RemoteRefused(
            f"{self.machine} could not {what} ({output.ended}){f': {words}' if words else ''}.",
            hint="It needs a POSIX shell there, and a home that can be written.",
        )


def _read_jobs(text: str) -> list[RemoteJob]:
    jobs = []
    for line in text.splitlines():
        match line.split():
            case [job_id, ("starting" | "running" | "ended" | "stopped" | "lost") as state, code, size, began, ended]:
                jobs.append(
                    RemoteJob(
                        job_id,
                        state,
                        int(code) if code.isdigit() else None,
                        int(size) if size.isdigit() else 0,
                        _moment(began),
                        _moment(ended),
                    )
                )
            case _:  # something else lies in the folder
                continue
    return jobs


def _shares(limit_bytes: int) -> str:
    """How a log is divided: the beginning, each of two parts for the newest, and how much is read at once before it is
    looked at how large a part has become; that may be too much by an eighth."""
    beginning, part = limit_bytes // 4, limit_bytes // 3
    block = min(part // 8, 64 * 1024)
    return f"{beginning} {part} {block} {max(min(beginning, part) // 8 // block, 1)}"


def _number(words: bytes, name: bytes) -> int:
    """The number after a word that a script has said, or 0."""
    for line in words.splitlines():
        match line.split():
            case [word, number] if word == name and number.isdigit():
                return int(number)
            case _:
                continue
    return 0


def _moment(seconds: str) -> datetime | None:
    return datetime.fromtimestamp(int(seconds), UTC) if seconds.isdigit() and len(seconds) < 12 else None


_NO_FOLDER, _NO_JOB, _TORN, _OTHER, _RUNS = 71, 72, 73, 74, 75
"""Exit codes of the scripts below."""

# The scripts run in the folder of all jobs, with the id in $job. Files of a job:
#   command   what to run                 pid    number and start of who runs it, and when it began
#   log       how it began to speak       exit   code and time of its end
#   log.N     what it said from N on      done   that the log is complete
#   asked     that it was to stop         child  number of the command
#   reserve   room for `exit` on a disk that is full

# What the command says goes through a pipe to `keep`, which nothing but its end ends: not a signal, not a full disk. dd
# takes what is there and waits for no more; a part is full when it is larger than it should be, and then the one before
# it goes. The end is told when the log is complete, but does not wait long for what was left in the background.
_RUN = r"""
umask 077
cd "$1" || exit 1
beginning=$2 part=$3 block=$4 count=$5
keep() {
    trap '' HUP TERM INT
    exec 2> /dev/null
    file=log from=0 older= room=$beginning
    while :; do
        said=$(LC_ALL=C dd "bs=$block" "count=$count" 2>&1 >> "$file") ||
            said=$(LC_ALL=C dd "bs=$block" "count=$count" 2>&1 > /dev/null)
        case "$said" in 0+0*) break;; esac
        bytes=$(($(wc -c < "$file") + 0))
        if [ "$bytes" -ge "$room" ]; then
            [ -z "$older" ] || rm -f "$older"
            [ "$file" = log ] || older=$file
            from=$((from + bytes)) room=$part
            file=log.$from
        fi
    done
    : > done
}
trap : TERM INT
trap '' HUP
start=$(sed 's/.*) //' "/proc/$$/stat" 2>/dev/null | cut -d' ' -f20)
printf '%s %s %s\n' "$$" "${start:--}" "$(date +%s)" > "pid.$$" || exit 1
ln "pid.$$" pid 2>/dev/null; mine=$?
rm -f "pid.$$"
[ $mine -eq 0 ] || exit 0
command=$PWD/command
printf '%4096s' '' > reserve
{
    asked=
    trap 'asked=1' TERM INT
    (trap - TERM INT; cd "$HOME" 2>/dev/null || cd /; exec /bin/sh "$command") &
    child=$!
    echo "$child" > child
    exec > /dev/null 2>&1
    while :; do
        wait "$child"; code=$?
        kill -0 "$child" 2>/dev/null || break
    done
    if [ -n "$asked" ] && [ "$code" -gt 128 ]; then
        wait "$child" 2>/dev/null; again=$?
        [ "$again" -eq 127 ] || code=$again
    fi
    n=0
    while [ ! -f done ] && [ $n -lt 50 ]; do sleep 0.02 2>/dev/null || { sleep 1; n=$((n+24)); }; n=$((n+1)); done
    rm -f reserve
    printf '%s %s\n' "$code" "$(date +%s)" > exit.new && mv -f exit.new exit
} 2>&1 < /dev/null | keep
"""

# A file that is linked is there once, with all its contents: of several who want to run a job, one gets that far.
# What is not whole is not run: a connection that breaks in the middle looks like the end of the command from here.
_START = r"""
mkdir -p "$job" || exit 71
new=$job/command.$$
cat > "$new" || exit 71
if [ "$(wc -c < "$new")" -ne %(bytes)d ]; then rm -f "$new"; exit 73; fi
if [ -f "$job/command" ]; then
    cmp -s "$new" "$job/command" || { rm -f "$new"; exit 74; }
    rm -f "$new"
else
    mv -f "$new" "$job/command"
fi
[ -f "$job/pid" ] && exit 0
if command -v setsid > /dev/null 2>&1; then
    setsid /bin/sh -c %(run)s sh "$job" %(shares)s > /dev/null 2>&1 < /dev/null &
else
    (trap '' HUP; exec /bin/sh -c %(run)s sh "$job" %(shares)s) > /dev/null 2>&1 < /dev/null &
fi
n=0
while [ ! -f "$job/pid" ] && [ $n -lt 100 ]; do sleep 0.05 2>/dev/null || sleep 1; n=$((n+1)); done
exit 0
"""

_STATE = r"""
alive() {
    [ -f "$1/pid" ] || return 1
    read -r pid start began < "$1/pid" || return 1
    kill -0 "$pid" 2>/dev/null || return 1
    stat=$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null)
    case "$stat" in Z*|X*) return 1;; esac
    [ "$start" = - ] || [ "$(echo "$stat" | cut -d' ' -f20)" = "$start" ]
}
# A part may go while it is looked at.
measure() {
    [ -f "$1" ] || return 1
    bytes=$({ wc -c < "$1"; } 2>/dev/null) || return 1
    bytes=$((bytes + 0))
    case "$1" in */log) from=0;; *) from=${1##*.};; esac
}
state() {
    [ -f "$1/command" ] || return 0
    code=- ended=- began=- size=0
    for one in "$1/log" "$1"/log.*; do
        measure "$one" && [ $((from + bytes)) -gt "$size" ] && size=$((from + bytes))
    done
    [ -f "$1/pid" ] && read -r pid start began < "$1/pid"
    if alive "$1" && [ ! -f "$1/exit" ]; then state=running
    elif [ -f "$1/exit" ]; then
        read -r code ended < "$1/exit"
        state=ended; [ -f "$1/asked" ] && state=stopped
    elif [ -f "$1/pid" ]; then state=lost
    else state=starting; fi
    printf '%s %s %s %s %s %s\n' "$1" "$state" "$code" "$size" "$began" "$ended"
}
"""

_STOP = r"""
[ -f "$job/command" ] || exit 0
alive "$job" && [ ! -f "$job/exit" ] || exit 0
: > "$job/asked"
group=-$pid
if ! kill -0 "$group" 2>/dev/null; then  # without setsid it has no group of its own
    group=$pid
    read -r child < "$job/child" && group="$child $pid"
fi
kill -TERM $group 2>/dev/null
n=0
while [ ! -f "$job/exit" ] && [ $n -lt %(tenths)d ]; do
    sleep 0.1 2>/dev/null || { sleep 1; n=$((n+9)); }
    n=$((n+1))
done
kill -KILL $group 2>/dev/null
if [ ! -f "$job/exit" ]; then
    printf '137 %%s\n' "$(date +%%s)" > "$job/exit.new"
    mv -f "$job/exit.new" "$job/exit"
fi
exit 0
"""

# Where $at is in the log: $file has it, or is the next that is kept; $from and $bytes are where that begins and how
# long it is. Nothing is there yet if $file is empty. `copy` passes on from there to its end, at most $left.
_FIND = (
    _STATE
    + r"""
find() {
    file=
    for one in "$job/log" "$job"/log.*; do
        measure "$one" && [ $((from + bytes)) -gt "$at" ] || continue
        [ -z "$file" ] || [ "$from" -lt "$found_from" ] || continue
        file=$one found_from=$from found_bytes=$bytes
    done
    from=$found_from bytes=$found_bytes
    [ -n "$file" ]
}
copy() {
    long=$((from + bytes - at))
    [ "$long" -le "$left" ] || long=$left
    { tail -c "+$((at - from + 1))" | head -c "$long"; } < "$file" || return 1
    at=$((at + long)) left=$((left - long))
}
"""
).replace("%", "%%")

_LOG = (
    _FIND
    + r"""
[ -f "$job/command" ] || exit 72
at=%(offset)d left=%(longest)d
find && [ "$from" -gt "$at" ] && at=$from
echo "from $at" >&2
while [ "$left" -gt 0 ] && find && [ "$from" -le "$at" ]; do
    copy 2>/dev/null || break
done
exit 0
"""
)

# Whether it is over is looked at before the log, or the last words could be missed.
_FOLLOW = (
    _FIND
    + r"""
[ -f "$job/command" ] || exit 72
at=%(offset)d
until=$(($(date +%%s) + """
    + str(_ROUND_S)
    + r"""))
while :; do
    set -- $(state "$job")
    case "$2" in ended|stopped|lost) over=1;; *) over=;; esac
    if find; then
        if [ "$from" -gt "$at" ]; then echo "from $from" >&2; exit 0; fi
        left=$bytes
        copy 2>/dev/null || { [ -f "$file" ] || continue; exit 0; }
        [ -z "$over" ] || continue
    elif [ -n "$over" ]; then
        echo over >&2; exit 0
    fi
    [ "$(date +%%s)" -lt "$until" ] || exit 0
    sleep 0.2 2>/dev/null || sleep 1
done
"""
)
