"""The built-in shell of the simulated machine. What `CASES` expect is what dash does with the same scripts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as some

from providers.simulated.pace import RealClock
from providers.simulated.shell import PROGRAMS
from providers.simulated.shell.files import Folder
from providers.simulated.shell.gpu import MODELS
from providers.simulated.shell.processes import Process
from providers.simulated.shell.programs import Hardware, System
from providers.simulated.shell.run import Shell
from providers.simulated.shell.streams import Pipe, Ready
from providers.simulated.shell.syntax import ShellSyntaxError, UnfinishedError, parse
from tests.conftest import run
from tests.providers.machine_clients import LIMIT_S

CASES = (
    ("echo hi; exit 3", "hi\n", 3),
    ("echo \"a  b\" 'c  d' e\\ f", "a  b c  d e f\n", 0),
    ('x=5; echo $x ${x} "${x}y" $((x+2*3)) ${y:-none} ${x:+set} ${#x}', "5 5 5y 11 none set 1\n", 0),
    ("false; echo $?; true && echo yes || echo no", "1\nyes\n", 0),
    ("for i in 1 2 3; do echo $i; done | tail -n 1", "3\n", 0),
    ("if [ -f nope ]; then echo a; elif [ 3 -gt 2 ]; then echo b; else echo c; fi", "b\n", 0),
    ("i=0; while [ $i -lt 3 ]; do i=$((i+1)); [ $i = 2 ] && continue; echo $i; done", "1\n3\n", 0),
    ("cat <<EOF | wc -l\na\nb $((1+1))\nEOF\necho end", "2\nend\n", 0),
    ("cat <<'EOF'\n$x `y`\nEOF", "$x `y`\n", 0),
    ("case abc in a*) echo star;; *) echo none;; esac", "star\n", 0),
    ("f() { echo $1 $#; return 4; }; f a b; echo $?", "a 2\n4\n", 0),
    ("(exit 7); echo $?", "7\n", 0),
    ("echo out; echo err >&2", "out\n", 0),
    ("echo x > f; echo y >> f; cat f; cat < f", "x\ny\nx\ny\n", 0),
    ("echo both > f 2>&1; cat f", "both\n", 0),
    ('set -- a "b c" d; for x in "$@"; do echo "[$x]"; done; echo $#; shift; echo $1', "[a]\n[b c]\n[d]\n3\nb c\n", 0),
    ('set -- a "b c"; for x in $*; do echo "[$x]"; done', "[a]\n[b]\n[c]\n", 0),
    ('echo $(echo a; echo b) "$(echo a; echo b)"', "a b a\nb\n", 0),
    ("echo `echo back`", "back\n", 0),
    ('x="a b"; set -- $x; echo $#; set -- "$x"; echo $#', "2\n1\n", 0),
    ("x=file.tar.gz; echo ${x%.gz} ${x%%.*} ${x#*.} ${x##*.}", "file.tar file tar.gz gz\n", 0),
    ("mkdir -p d/e; touch d/a d/b d/.h; echo d/*; cd d; echo *; cd ..; ls d", "d/a d/b d/e\na b e\na\nb\ne\n", 0),
    ("printf '%s-%d\\n' a 1 b 2", "a-1\nb-2\n", 0),
    ("printf '%5s|%-5s|%05d\\n' a b 42", "    a|b    |00042\n", 0),
    ("trap 'echo bye' EXIT; echo hi", "hi\nbye\n", 0),
    ("sh -c 'echo $0 $1' name arg", "name arg\n", 0),
    ("sh -c 'exit 5'; echo $?", "5\n", 0),
    ('echo a | { read x; echo "got $x"; }', "got a\n", 0),
    ("printf 'a b c\\nd\\n' | while read x y; do echo \"$x/$y\"; done", "a/b c\nd/\n", 0),
    ("! true; echo $?", "1\n", 0),
    ("set -e; false; echo never", "", 1),
    ("set -e; false || echo ok; if false; then :; fi; echo still", "ok\nstill\n", 0),
    ("set -u; echo $nope", "", 2),
    ("unset x; echo ${x?gone}", "", 2),
    ("x=1; (x=2; echo $x); echo $x", "2\n1\n", 0),
    ("x=1; { x=2; }; echo $x", "2\n", 0),
    ("echo a; break; echo b", "a\nb\n", 0),
    ("for i in 1 2; do for j in 1 2; do [ $j = 2 ] && continue 2; echo $i$j; done; done", "11\n21\n", 0),
    ("A=b sh -c 'echo $A'; echo \"[$A]\"", "b\n[]\n", 0),
    ("export Q=z; sh -c 'echo $Q'", "z\n", 0),
    ("exec echo replaced; echo never", "replaced\n", 0),
    ("sleep 0 & wait; echo $?", "0\n", 0),
    ("(exit 3) & wait $!; echo $?", "3\n", 0),
    ("sh -c 'kill -TERM $$'; echo $?", "143\n", 0),
    ("sh -c 'trap \"echo caught; exit 9\" TERM; kill -TERM $$; echo after'; echo $?", "caught\n9\n", 0),
    ("nosuch; echo $?", "127\n", 0),
    ("./nofile; echo $?", "127\n", 0),
    ("echo 'a' 'b' >&2 2>/dev/null", "", 0),
    (
        "echo $((7/2)) $((-7/2)) $((7%3)) $((1<<4)) $((3>2)) $((!0)) $((2>1?10:20)) $(( (1+2)*3 )) $((0x10)) $((010))",
        "3 -3 1 16 1 1 10 9 16 8\n",
        0,
    ),
    ("echo $((1/0)); echo no", "", 2),
    ('echo "quote \\" dollar \\$ back \\\\ tick \\`"', 'quote " dollar $ back \\ tick `\n', 0),
    ("echo 'single $x `y` \\'", "single $x `y` \\\n", 0),
    ("echo a#b #comment", "a#b\n", 0),
    ("echo a \\\nb", "a b\n", 0),
    ("head -c 3 <<EOF\nabcdef\nEOF\necho", "abc\n", 0),
    ("true | false; echo $?", "1\n", 0),
    ("false | true; echo $?", "0\n", 0),
    ("if true; then echo a; fi > f; cat f", "a\n", 0),
    ('while read l; do echo "<$l>"; done < f', "", 2),
    (
        'test -n "" ; echo $?; test "a" = "b"; echo $?; [ 1 -eq 1 -a 2 -eq 2 ]; echo $?; [ ! -e x ]; echo $?',
        "1\n1\n0\n0\n",
        0,
    ),
    ("[ 1 -eq x ]; echo $?", "2\n", 0),
    ("cat nofile; echo $?", "1\n", 0),
    ("cd /nope; echo $?", "2\n", 0),
    ("rm nofile; echo $?; rm -f nofile; echo $?", "1\n0\n", 0),
    ("echo foo | grep -q oo; echo $?", "0\n", 0),
    ("printf 'b\\na\\nc\\n' | sort | head -n 2", "a\nb\n", 0),
    ("seq 3 | tail -n +2", "2\n3\n", 0),
    ("echo hello | wc -c", "6\n", 0),
    ("x=$(false); echo $?", "1\n", 0),
    ("x=$(exit 3) && echo no || echo $?", "3\n", 0),
    ('echo "${x:-"a b"}"', "a b\n", 0),
    ("eval 'echo evaluated; y=3'; echo $y", "evaluated\n3\n", 0),
    (". ./nofile; echo after", "", 2),
    ("basename /a/b.txt .txt; dirname /a/b", "b\n/a\n", 0),
    ("IFS=:; x=a:b:c; set -- $x; echo $2 $#", "b 3\n", 0),
    ("echo ~ | head -c 1", "/", 0),
    ("f() { local v; v=1; echo $v; }; f", "1\n", 0),
    ("f() { [ $1 -le 0 ] && return; echo $1; f $(($1-1)); }; f 3", "3\n2\n1\n", 0),
    ("if echo x | grep -q y; then echo yes; else echo no; fi", "no\n", 0),
    ("echo a;; echo b", "", 2),
    ("if true", "", 2),
    ("echo )", "", 2),
    ('echo "unterminated', "", 2),
    ("case x in esac; echo e", "e\n", 0),
    ('case "a b" in "a b") echo m;; esac', "m\n", 0),
    ("case x in [a-c]|x) echo cls;; esac", "cls\n", 0),
    ("echo a{1,2}", "a{1,2}\n", 0),
    ("echo -n abc; echo", "abc\n", 0),
    ("env A=1 sh -c 'echo $A'", "1\n", 0),
    ("timeout 5 true; echo $?", "0\n", 0),
    ("command -v cd; command -v nosuchthing; echo $?", "cd\n127\n", 0),
    ("type cd", "cd is a shell builtin\n", 0),
    ("umask", "0022\n", 0),
    ("{ echo a; echo b >&2; } 2>&1 | sort", "a\nb\n", 0),
    ("echo one >f; mv f g; cp g h; cat g h; ls f 2>/dev/null || echo gone", "one\none\ngone\n", 0),
    ("n=3; until [ $n -eq 0 ]; do n=$((n-1)); done; echo $n", "0\n", 0),
    ("x='*'; echo \"$x\"", "*\n", 0),
    ("echo \"$(printf 'a\\n\\n')\"", "a\n", 0),
    ('printf %s "a$(echo)b"', "ab", 0),
    (
        "setsid sh -c 'echo detached > out.log; echo $? > code' </dev/null >/dev/null 2>&1 & wait; cat out.log code",
        "detached\n0\n",
        0,
    ),
    ("nohup sh -c 'echo n' 2>/dev/null", "n\n", 0),
    ("sha256sum </dev/null", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  -\n", 0),
    ("dd if=/dev/zero bs=10 count=2 2>/dev/null | wc -c", "20\n", 0),
)


class Done(NamedTuple):
    output: str
    errors: str
    code: int


class Machine:
    """A system without an SSH server around it."""

    def __init__(self, folder: Path, *, gpus: tuple[str, ...] = (), seed: int = 0, user: str = "root") -> None:
        self.folder = Folder(folder, "/root")
        self.clock = RealClock()
        self.system = System(
            name="berth",
            user=user,
            folder=self.folder,
            hardware=Hardware(gpus),
            programs=PROGRAMS,
            clock=self.clock,
            seed=seed,
        )

    async def sh(self, script: str, given: bytes = b"") -> Done:
        """Run a script as a session without a terminal would, until nobody holds its output any more."""
        output, errors = Pipe(), Pipe()

        async def body(process: Process) -> int:
            return await Shell(self.system, process, self.system.environment(), "/root").to_the_end(script)

        source = Ready(given)
        streams = {0: source, 1: output.writer, 2: errors.writer}
        main = self.system.processes.spawn(None, ["sh", "-c", script], streams, body)
        for stream in streams.values():
            stream.release()
        try:
            async with asyncio.timeout(LIMIT_S):
                said, complained = await asyncio.gather(_all(output), _all(errors))
                return Done(said.decode(), complained.decode(), await main.wait())
        finally:
            output.reader.release()
            errors.reader.release()

    def ended(self) -> bool:
        return len(self.system.processes) == 0


async def _all(pipe: Pipe) -> bytes:
    data = b""
    while part := await pipe.reader.read():
        data += part
    return data


def sh(folder: Path, script: str, given: bytes = b"", **traits: object) -> Done:
    async def body() -> Done:
        machine = Machine(folder, **traits)  # type: ignore[arg-type]
        try:
            return await machine.sh(script, given)
        finally:
            await machine.system.processes.close()

    return run(body())


@pytest.mark.parametrize(("script", "output", "code"), CASES)
def test_script_does_what_dash_does(tmp_path: Path, script: str, output: str, code: int) -> None:
    done = sh(tmp_path, script)

    assert (done.output, done.code) == (output, code)


MISSING = {
    "[[ a = a ]]": 2,
    "((1))": 2,
    "a=(1 2)": 2,
    "cat <(echo)": 2,
    "cat <<< word": 2,
    "echo a |& cat": 2,
    "select x in a; do :; done": 2,
    "echo $'a'": 2,
    "python3 -c 1": 127,
    "/opt/tool": 127,
    "wget http://127.0.0.1:11434": 127,
    "$((x=1))": 2,
    "set -o vi": 2,
    "read -t 1 x": 2,
    "tail -f a b": 2,
    "ls --color": 2,
    "kill -STOP $$": 2,
}


@pytest.mark.parametrize(("script", "code"), MISSING.items())
def test_what_is_not_there_says_so(tmp_path: Path, script: str, code: int) -> None:
    done = sh(tmp_path, script)

    assert done.code == code
    assert done.output == ""
    assert re.search("in this shell|No such file|unrecognized option", done.errors)


@pytest.mark.parametrize(
    "script", ["if true", "echo 'a", 'echo "a', "for x in 1; do", "a &&", "(a", "{ a;", "cat <<E\na", "${x"]
)
def test_half_a_script_is_known_as_such(script: str) -> None:
    with pytest.raises(UnfinishedError):
        parse(script)


@given(some.text(alphabet="ab $`\"'\\(){};&|<>!#*?[]=\n1~-", max_size=40))
def test_any_text_is_read_or_refused(script: str) -> None:
    try:
        tree = parse(script)
    except ShellSyntaxError as error:
        assert str(error)
    else:
        assert isinstance(tree.items, tuple)


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    assert sh(tmp_path, "(" * 500 + "true" + ")" * 500).code == 2
    assert sh(tmp_path, "f() { f; }; f").code == 2


def test_too_many_processes_are_refused_and_can_all_be_ended(tmp_path: Path) -> None:
    async def body() -> None:
        machine = Machine(tmp_path)
        script = "i=0; while [ $i -lt 2000 ]; do sleep 600 >/dev/null 2>&1 & i=$((i+1)); done; echo never"
        done = await machine.sh(script)
        await machine.system.processes.close()

        assert (done.code, done.output) == (2, "")
        assert "Cannot fork" in done.errors
        assert machine.ended()

    run(body())


def test_loop_of_builtins_lets_others_work(tmp_path: Path) -> None:
    async def body() -> None:
        machine = Machine(tmp_path)
        endless = asyncio.ensure_future(machine.sh("while :; do :; done"))
        done = await machine.sh("echo here")
        await machine.system.processes.close()

        assert done.output == "here\n"
        assert (await endless).code == 137

    run(body())


# what work that outlives its session needs


def test_detached_work_writes_its_log_and_its_exit_code(tmp_path: Path) -> None:
    async def body() -> None:
        machine = Machine(tmp_path)
        start = "mkdir -p run && setsid sh -c 'echo $$ > run/pid; echo working; cat /dev/null; exit 5' "
        start = start.replace("exit 5'", "(exit 5); echo $? > run/code.part; mv run/code.part run/code'")
        begun = await machine.sh(start + "> run/log 2>&1 < /dev/null & echo $!")
        followed = await machine.sh("tail -n +1 -F run/log --pid=$(cat run/pid 2>/dev/null || echo 0)")
        await machine.sh("while [ ! -f run/code ]; do sleep 0.01; done")
        ended = await machine.sh("cat run/pid run/code")

        assert begun.code == 0
        assert ended.output == f"{begun.output.strip()}\n5\n"
        assert followed.code in (0, 1)

    run(body())


def test_following_a_log_shows_what_comes_until_the_process_is_gone(tmp_path: Path) -> None:
    async def body() -> None:
        machine = Machine(tmp_path)
        started = await machine.sh(
            "(while [ ! -f go ]; do sleep 0.01; done; echo two) >> log 2>&1 & echo $!; echo one > log"
        )
        following = asyncio.ensure_future(machine.sh(f"tail -n +1 -f log --pid={started.output.split()[0]}"))
        await machine.sh("touch go")
        done = await following

        assert (done.output, done.code) == ("one\ntwo\n", 0)

    run(body())


def test_a_group_is_killed_as_one_and_a_session_of_its_own_is_spared(tmp_path: Path) -> None:
    async def body() -> None:
        machine = Machine(tmp_path)
        script = "setsid sleep 600 >/dev/null 2>&1 & echo $!; "
        script += "setsid sh -c 'sleep 600 & sleep 600; :' >/dev/null 2>&1 & echo $!"
        apart, group = (await machine.sh(script)).output.split()
        await machine.sh(f"while [ $(ps -eo pgid= | grep -c {group}) -lt 3 ]; do sleep 0.01; done")
        killed = await machine.sh(
            f"kill -TERM -- -{group}; while kill -0 -- -{group} 2>/dev/null; do sleep 0.01; done; echo gone"
        )
        left = await machine.sh(f"kill -0 {apart} && echo there; ps -p {group}")
        await machine.system.processes.close()

        assert killed.output == "gone\n"
        assert left.output.startswith("there\n")
        assert left.code == 1

    run(body())


def test_ps_tells_who_runs(tmp_path: Path) -> None:
    done = sh(tmp_path, "sleep 600 & ps -p $! -o pid=,args=,etimes=; echo $!; kill $!; wait $!; echo $?")
    shown, number, code = done.output.splitlines()

    assert shown.split() == [number, "sleep", "600", "0"]
    assert code == "143"


# programs

PROGRAM_CASES = {
    "pwd": "/root\n",
    "whoami; hostname; nproc; uname -sm": "root\nberth\n16\nLinux x86_64\n",
    "id -u; id -un": "0\nroot\n",
    "date -u +%Y-%m-%d -d @0": "1970-01-01\n",
    "env -i A=1 env": "A=1\n",
    "printf 'a\\nb\\nc\\n' > f; tail -n 1 f; tail -c 2 f; tail -n +2 f": "c\nc\nb\nc\n",
    "printf 'a\\nb\\nc\\n' > f; head -n 1 f; head -c 3 f; head -2 f": "a\na\nba\nb\n",
    "mkdir -p a/b; touch a/b/c; cp -r a z; ls z/b; rm -r a; ls": "c\nz\n",
    "echo x > f; chmod +x f; [ -x f ] && echo yes; stat -c %a f": "yes\n755\n",
    "printf '#!/bin/sh\\necho run $1\\n' > s; chmod 700 s; ./s now": "run now\n",
    "printf 'b 2\\na 1\\n' | sort; seq 3 1; seq 1 2 5": "a 1\nb 2\n1\n3\n5\n",
    "printf hello | sha256sum": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824  -\n",
    "printf hello | md5sum": "5d41402abc4b2a76b9719d911017c592  -\n",
    "printf abcdef > f; printf XY | dd of=f bs=1 seek=2 conv=notrunc status=none; cat f": "abXYef",
    "printf abcdef | dd bs=1 skip=2 count=3 status=none": "cde",
    "printf abcdef | dd bs=4 count=3 2>&1": "abcdef1+1 records in\n1+1 records out\n6 bytes copied\n",
    "printf abcdef | { dd bs=2 count=2 status=none; echo; cat; }": "abcd\nef",
    "echo a > f; ln f g; echo b >> f; cat g; cmp -s f g && echo same; ln f g 2> /dev/null || echo taken": (
        "a\nb\nsame\ntaken\n"
    ),
    "echo a > f; echo b > g; cmp -s f g || echo other; ln -f g f; cmp f g && cat f": "other\nb\n",
    "echo a b | tee one two; cat one two": "a b\na b\na b\n",
    "printf '1\\n2\\n' | xargs -n 1 echo n": "n 1\nn 2\n",
    "printf 'a b' | xargs -I {} echo [{}]": "[a]\n[b]\n",
    "timeout 0.05 sleep 600; echo $?": "124\n",
    "printf 'one\\ntwo\\n' | grep -c o; printf 'x\\n' | grep -v x; echo $?": "2\n1\n",
    "printf 'ab\\ncd\\n' > f; grep -n c f; grep -o d f": "2:cd\nd\n",
    "which sh nosuch; echo $?": "/usr/bin/sh\n1\n",
    "realpath ../tmp/./x; basename /a/b; dirname a": "/tmp/x\nb\n.\n",
    "mktemp -d x.XXXX | wc -c": "7\n",
    "printf '%d %s\\n' 1 a 2 b": "1 a\n2 b\n",
    "echo -e 'a\\tb'; echo -n x": "a\tb\nx",
    "nohup echo hi": "hi\n",
    "ls -A; touch .h; ls -A; ls": ".h\n",
    "cd /tmp; pwd; cd; pwd; cd -": "/tmp\n/root\n/tmp\n",
    "pgrep nosuchthing; echo $?": "1\n",
    "sh -c 'echo $#' a b c": "2\n",
    "echo 'echo from file $1' > s; sh s x": "from file x\n",
    "echo 'echo from input' | sh": "from input\n",
    "printf 'cat\\nrest\\n' | sh": "rest\n",
    "du -b /dev/null; cat /dev/null; head -c 2 /dev/zero | wc -c": "2\n",
}


@pytest.mark.parametrize(("script", "output"), PROGRAM_CASES.items())
def test_programs_say_what_theirs_say(tmp_path: Path, script: str, output: str) -> None:
    assert sh(tmp_path, script).output == output


@pytest.mark.parametrize(
    "script", ["df -h", "df -B1 /", "free -m", "uptime", "ps aux", "ls -la", "env", "date", "free -h"]
)
def test_telling_programs_tell_something(tmp_path: Path, script: str) -> None:
    done = sh(tmp_path, script)

    assert (done.code, done.errors) == (0, "")
    assert len(done.output) > 10


@pytest.mark.parametrize("name", sorted(set(PROGRAMS) - {"sh", "bash", "yes"}))
def test_no_program_fails_on_nonsense(tmp_path: Path, name: str) -> None:
    done = sh(tmp_path, f"timeout 0.2 {name} --nonsense -Z nothing </dev/null")

    assert done.code < 125 or done.code == 127
    assert "Traceback" not in done.errors


# the disk


@given(some.lists(some.sampled_from(["..", ".", "a", "", "~", "root", "/", "//", "tmp"]), max_size=8).map("/".join))
def test_every_path_stays_inside(name: str) -> None:
    folder = Folder.nowhere()
    folder.root = "/private/folder"

    for start in ("/", "/root", "/tmp/a"):
        path = folder.real(start, name or ".")

        assert path == folder.root or path.startswith(folder.root + "/")
        assert "/../" not in path + "/"


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_impossible_names_are_not_found(name: str) -> None:
    with pytest.raises(FileNotFoundError):
        Folder.nowhere().real("/", name)


# nvidia-smi

ASKED = "index,name,memory.total,memory.used,utilization.gpu,temperature.gpu,power.draw"
QUERY = f"nvidia-smi --query-gpu={ASKED} --format=csv,noheader"


def test_figures_are_plausible_and_move(tmp_path: Path) -> None:
    gpus = ("NVIDIA H200", "NVIDIA GeForce RTX 4090")
    seen: set[str] = set()
    for _ in range(3):
        rows = sh(tmp_path, QUERY + ",nounits", gpus=gpus).output.splitlines()
        for place, row in enumerate(rows):
            index, name, total, used, load, heat, power = row.split(", ")

            assert (int(index), name) == (place, gpus[place])
            assert int(total) == MODELS[name].memory_mib
            assert 0 < int(used) < int(total)
            assert 0 <= int(load) <= 100
            assert 20 < int(heat) < 95
            assert 0 < float(power) <= MODELS[name].power_w
        assert len(rows) == 2
        seen.add("\n".join(rows))

    assert len(seen) > 1


def test_units_and_headings_are_nvidias(tmp_path: Path) -> None:
    script = "nvidia-smi --query-gpu=name,memory.total,utilization.gpu --format=csv"
    heading, row = sh(tmp_path, script, gpus=("NVIDIA L40S",)).output.splitlines()

    assert heading == "name, memory.total [MiB], utilization.gpu [%]"
    assert re.fullmatch(r"NVIDIA L40S, 46068 MiB, \d+ %", row)


def test_seed_decides_and_machines_differ(tmp_path: Path) -> None:
    def names(seed: int) -> str:
        return sh(tmp_path, "nvidia-smi -L", gpus=("NVIDIA H200",) * 2, seed=seed).output

    assert names(1) == names(1) != names(2)
    assert len(set(names(1).splitlines())) == 2


@pytest.mark.parametrize("every", ["-lms 10", "-l 0.01", "--loop-ms=10", "--loop=0.01"])
def test_figures_stream_until_the_reader_goes(tmp_path: Path, every: str) -> None:
    async def body() -> None:
        machine = Machine(tmp_path, gpus=("NVIDIA H200",))
        done = await machine.sh(f"{QUERY} {every} | head -n 4")

        assert len(done.output.splitlines()) == 4
        assert done.code == 0
        await machine.sh("while pgrep nvidia-smi; do sleep 0.01; done")
        assert machine.ended()

    run(body())


CHECKS: Mapping[str, Callable[[Done], bool]] = {
    "nvidia-smi": lambda done: "NVIDIA-SMI" in done.output and "NVIDIA H200" in done.output,
    "nvidia-smi --query-compute-apps=pid,name,used_memory --format=csv,noheader": lambda done: "MiB" in done.output,
    "nvidia-smi -i 1 --query-gpu=name --format=csv": lambda done: (
        (done.output, done.code) == ("No devices were found\n", 6)
    ),
    "nvidia-smi --query-gpu=nonsense --format=csv": lambda done: done.code == 2 and "not a valid field" in done.output,
    "nvidia-smi --query-gpu=name": lambda done: done.code == 2,
    "nvidia-smi -l x --query-gpu=name --format=csv": lambda done: done.code == 2,
    "nvidia-smi --nonsense": lambda done: done.code == 2,
}


@pytest.mark.parametrize(("script", "check"), CHECKS.items(), ids=list(CHECKS))
def test_other_questions_are_answered(tmp_path: Path, script: str, check: Callable[[Done], bool]) -> None:
    assert check(sh(tmp_path, script, gpus=("NVIDIA H200",)))


def test_picture_lines_up(tmp_path: Path) -> None:
    shown = sh(tmp_path, "nvidia-smi", gpus=tuple(MODELS)).output
    lines = [line for line in shown.splitlines() if line.startswith(("|", "+"))]

    assert {len(line) for line in lines} == {91}


def test_machine_without_gpu_has_no_driver(tmp_path: Path) -> None:
    done = sh(tmp_path, "nvidia-smi")

    assert done.code == 9
    assert "couldn't communicate with the NVIDIA driver" in done.output


def test_date_is_the_clocks(tmp_path: Path) -> None:
    before = datetime.now(UTC).timestamp()
    said = sh(tmp_path, "date +%s.%N").output

    assert before - 1 <= float(said) <= datetime.now(UTC).timestamp() + 1
