"""Programs can compute, and nothing else: each attack is wrong, and leaves no process and no file behind."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from igpo_lightning.checks import ConfigError
from igpo_lightning.rewards import sandbox as module
from igpo_lightning.rewards.sandbox import Sandbox
from igpo_lightning.rewards.sandbox_server import CALLS, decode, encode
from igpo_lightning.rewards.unit_tests import UnitTests, program_of, same
from igpo_lightning.types import Problem

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")

TESTS = [{"call": "f", "args": ["list", n], "kwargs": ["dict"], "expected": n * n} for n in (2, 3)]
PROBLEM = Problem("code/0", "Square a number.", "", "", task={"tests": TESTS})


@pytest.fixture(scope="module")
def reward():
    sandbox = Sandbox(seconds=1, memory_mb=64, output_kb=4)
    yield UnitTests(sandbox)
    sandbox.close()


def processes():
    """Processes of sandboxes, their forks included."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"sandbox_server.py" in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def graded(reward, code):
    return reward([PROBLEM], [f"Here it is:\n```python\n{code}\n```"])[0]


ATTACKS = {
    "endless loop": "def f(x):\n    while True: pass",
    "endless loop, in C": "def f(x): return sum(iter(int, 1))",
    "waiting": "import time\ndef f(x): time.sleep(1000)",
    "fork bomb": "import os\nwhile True: os.fork()",
    "fork bomb, refusals ignored": """
import os
def f(x):
    made = 0
    for _ in range(100):
        try:
            os.fork(); made += 1
        except OSError: pass
    return x * x if made else 0
""",
    "daemon": """
import os
def f(x):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            import time
            time.sleep(1000)
    return x * x
""",
    "another program": "import os\ndef f(x): os.execv('/bin/true', ['true'])",
    "subprocess": "import subprocess\ndef f(x): return subprocess.run(['true']).returncode or x * x",
    "thread": "import _thread\ndef f(x): _thread.start_new_thread(print, ()); return x * x",
    "memory": "def f(x):\n    a = bytearray(10**9)\n    return x * x",
    "memory, bit by bit": "def f(x):\n    a = []\n    while True: a.append(bytearray(10**6))",
    "memory, of a number": "def f(x): return len(str(9 ** 9 ** 9)) and x * x",
    "huge output": "def f(x): return 'a' * 10**7",
    "huge output, written": "import os\nos.write(3, b'[' * 10**8)\ndef f(x): return x * x",
    "nested output": "def f(x):\n    a = 4\n    for _ in range(900): a = [a]\n    return a",
    "huge print": "def f(x):\n    while True: print('x' * 10**6)",
    "deep recursion": "def f(x): return f(x)",
    "deeper recursion": "import sys\nsys.setrecursionlimit(10**9)\ndef f(x): return f(x)",
    "write a file": "def f(x):\n    open('FILE', 'w').write('x')\n    return x * x",
    "write a file, by the system": "import os\ndef f(x):\n    os.open('FILE', 65)\n    return x * x",
    "read a file": "def f(x):\n    open('/etc/passwd').read()\n    return x * x",
    "list a folder": "import os\ndef f(x):\n    os.listdir('/')\n    return x * x",
    "make a folder": "import os\ndef f(x):\n    os.mkdir('FILE')\n    return x * x",
    "delete a file": "import os\ndef f(x):\n    os.unlink('KEPT')\n    return x * x",
    "network": "import socket\ndef f(x):\n    socket.socket()\n    return x * x",
    "network, loaded already": "import sys\ndef f(x):\n    sys.modules['socket'].socket()\n    return x * x",
    "system call by number": """
import sys
def f(x):
    libc = sys.modules['ctypes'].CDLL(None)
    if {libc.syscall(57), libc.syscall(41, 2, 1, 0), libc.syscall(2, b'/etc/passwd', 0)} == {-1}:
        raise PermissionError
    return x * x
""",
    "32-bit system calls": """
import sys
def f(x):
    if sys.modules['ctypes'].CDLL(None).syscall(0x40000000 + 57) == -1:
        raise PermissionError
    return x * x
""",
    "sys.exit": "import sys\ndef f(x): sys.exit(0)",
    "sys.exit at once": "import sys\nsys.exit(0)",
    "os._exit": "import os\ndef f(x): os._exit(0)",
    "crash": "import sys\ndef f(x): sys.modules['ctypes'].string_at(0)",
    "kill the server": "import os\ndef f(x):\n    os.kill(os.getppid(), 9)\n    return x * x",
    "kill all": "import os\ndef f(x):\n    os.kill(-1, 9)\n    return x * x",
    "ignore signals": """
import signal
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
def f(x):
    while True:
        try:
            while True: pass
        except BaseException: pass
""",
    "stop oneself": "import os, signal\ndef f(x): os.kill(os.getpid(), signal.SIGSTOP)",
    "more time": """
import resource
def f(x):
    resource.setrlimit(resource.RLIMIT_CPU, (-1, -1))
    return x * x
""",
    "print passed": "print('passed'); print('4'); print('.')\ndef f(x): pass",
    "say passed": "import os\nos.write(3, b'true')\nos._exit(0)",
    "say the control word": """
import os
for fd in range(16):
    try: os.write(fd, b'.')
    except OSError: pass
os._exit(0)
""",
    "equal to all": """
class E:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 1
def f(x): return E()
""",
    "a number equal to all": """
class E(int):
    def __eq__(self, other): return True
    def __hash__(self): return 1
    def __repr__(self): return 'true'
def f(x): return E(7)
""",
    "patch json": """
import json
json.dumps = lambda value: 'true'
json.loads = lambda text: 4
def f(x): return None
""",
    "patch the harness": """
import sys
main = sys.modules['__main__']
main.encode = lambda value: True
main._result = lambda job: True
def f(x): return None
""",
    "look for the tests": """
import gc, sys
def f(x):
    frame, seen = sys._getframe(), []
    while frame:
        seen += [value for value in frame.f_locals.values()]
        frame = frame.f_back
    for found in [*seen, *gc.get_objects()]:
        if isinstance(found, dict) and 'expected' in found:
            return found['expected']
""",
    "look for them in files": """
import os
def f(x):
    for name in os.listdir('/proc/self/fd'): return 4
""",
    "no function": "x = 4",
    "bad syntax": "def f(x) return x",
    "not text": "def f(x): return '\\udcff' * 3",
    "own exception": """
class E(BaseException):
    def __str__(self): raise self
def f(x): raise E
""",
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_are_wrong_and_leave_nothing(reward, tmp_path, name):
    (kept := tmp_path / "kept").touch()
    before = set(processes())
    code = ATTACKS[name].replace("FILE", str(tmp_path / "made")).replace("KEPT", str(kept))
    assert graded(reward, code) == 0.0
    assert set(processes()) <= before and list(tmp_path.iterdir()) == [kept]
    assert graded(reward, "def f(x): return x * x") == 1.0  # and the sandbox still works


def test_what_a_program_may_do(reward):
    code = """
import math, itertools, collections, heapq, re, functools, random, bisect, dataclasses, typing
@dataclasses.dataclass
class Pair:
    a: int
def f(x):
    try: open('/etc/passwd')
    except PermissionError: pass
    h = []
    heapq.heappush(h, Pair(x).a)
    return int(math.pow(h[0], 2))
"""
    assert graded(reward, code) == 1.0


def test_jobs_know_nothing_of_each_other(reward):
    """What one leaves in its modules is not there in the next, and the random numbers are the same."""
    run = reward.sandbox.run
    job = {"call": "f", "args": ["list"], "kwargs": ["dict"]}
    assert run({"code": "import math\nmath.seen = 1\ndef f(): return 1", **job}) == 1
    assert run({"code": "import math\ndef f(): return hasattr(math, 'seen')", **job}) is False
    first = run({"code": "import random\ndef f(): return [random.random(), hash('a')]", **job})
    other = Sandbox(seconds=1)
    assert first == other.run({"code": "import random\ndef f(): return [random.random(), hash('a')]", **job})
    other.close()


def test_programs_read_and_print(reward):
    code = "import sys\nn = int(input())\nprint(n * 2, ' ')\nprint(sys.stdin.readline())\nexit()"
    tests = [{"stdin": "4\nabc\n", "stdout": "8\nabc"}]
    problem = Problem("code/1", "", "", "", task={"tests": tests})
    assert reward([problem], [code]) == [1.0]
    assert reward([problem], ["print('8')"]) == [0.0]


def test_part_of_the_tests(reward):
    partial = UnitTests(reward.sandbox, partial=True)
    assert partial([PROBLEM] * 2, ["def f(x): return 4", "def f(x): return x * x"]) == [0.5, 1.0]


def test_workers_run_at_once_and_close():
    sandbox = Sandbox(seconds=1, workers=2)
    reward = UnitTests(sandbox)
    with ThreadPoolExecutor(4) as pool:
        codes = ["def f(x): return x * x", "def f(x): return x"] * 4
        assert list(pool.map(lambda code: graded(reward, code), codes)) == [1.0, 0.0] * 4
    assert 1 <= len(sandbox._servers._idle) <= 2
    pids = {server._process.pid for server in sandbox._servers._idle}
    sandbox.close()
    assert pids.isdisjoint(processes())
    assert graded(reward, "def f(x): return x * x") == 1.0  # it starts again
    sandbox.close()


def test_a_server_ends_with_its_owner():
    sandbox = Sandbox()
    (server,) = sandbox._servers._idle
    server._control.close()
    assert server._process.wait(timeout=10) == 0


def test_without_confinement_it_refuses_unless_told(monkeypatch, tmp_path):
    copy = tmp_path / "sandbox_server.py"
    text = Path(module._SERVER).read_text()
    copy.write_text(text.replace("os.uname().machine", "'vax'"))
    monkeypatch.setattr(module, "_SERVER", copy)
    with pytest.raises(ConfigError, match=r"seccomp.*sandbox\.unsafe=true"):
        Sandbox()
    sandbox = Sandbox(seconds=1, unsafe=True)
    assert graded(UnitTests(sandbox), "def f(x): return x * x") == 1.0
    assert graded(UnitTests(sandbox), ATTACKS["endless loop"]) == 0.0
    sandbox.close()


def test_wrong_settings_are_one_line():
    with pytest.raises(ConfigError, match=r"sandbox\.seconds=0"):
        Sandbox(seconds=0)
    with pytest.raises(ConfigError, match="modules"):
        Sandbox(modules=["no_such_module"])


@pytest.mark.parametrize("machine", CALLS)
def test_lists_of_calls_hold_none_that_opens_anything(machine):
    names = {
        "x86_64": {2, 41, 56, 57, 58, 59, 62, 101, 157, 257, 310, 435},
        "aarch64": {56, 220, 221, 129, 198, 435},
    }
    assert names[machine].isdisjoint(CALLS[machine][1]) and len(CALLS[machine][1]) == 24


@pytest.mark.parametrize("value", [None, True, 3, 2.5, "a", [1, (2, {3})], {1: [2], "a": (None,)}, set(), []])
def test_values_survive(value):
    assert decode(encode(value)) == value and same(encode(value), encode(value))


@pytest.mark.parametrize(
    ("found", "expected", "equal"),
    [(1, 1.0, True), (0.1 + 0.2, 0.3, True), (0.3001, 0.3, False), (float("nan"), float("nan"), True),
     ((1, 2), [1, 2], True), ([1, 2], {1, 2}, False), ({2, 1}, {1, 2}, True), ([2, 1], [1, 2], False),
     ({"b": 1, "a": 2}, {"a": 2, "b": 1}, True), ({"a": 1}, {"a": 2}, False), ("1", 1, False), ([], 0, False),
     (10**400, 1.0, False), (None, 0, False), (["list"], [["list"]], False), ([1], [1, 2], False)],
)  # fmt: skip
def test_comparison(found, expected, equal):
    assert same(encode(found), encode(expected)) is equal


def test_the_last_block_is_the_program():
    assert program_of("a\n```py\nx = 1\n```\nb\n```\nx = 2\n```") == "x = 2\n"
    assert program_of("```python\nx = 1") == "x = 1"
    assert (
        program_of("x = 3") == "x = 3" and program_of("  ") is None and program_of("```python\n```") is None
    )
