"""Whatever happens while a file is written, the old one or the new one is there, whole."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from nn.io.atomic import atomic_write


def run(script: str, *arguments: str, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [*prefix, sys.executable, "-c", script, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_the_file_appears_whole_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["out.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("old", [b"old", None])
def test_an_exception_leaves_everything_as_it_was(
    tmp_path: Path, error: type[BaseException], old: bytes | None
) -> None:
    path = tmp_path / "out.txt"
    if old is not None:
        path.write_bytes(old)

    def write() -> None:
        with atomic_write(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        write()
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [old] * (old is not None)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failing_system_call_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError("planted")

    (tmp_path / "out.txt").write_bytes(b"old")
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="planted"), atomic_write(tmp_path / "out.txt") as file:
        file.write(b"new")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_permissions_of_any_other(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        with atomic_write(tmp_path / "out.txt"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out.txt").stat().st_mode) == mode


def test_an_old_file_keeps_its_permissions(tmp_path: Path) -> None:
    (tmp_path / "out.txt").touch()
    (tmp_path / "out.txt").chmod(0o640)
    with atomic_write(tmp_path / "out.txt"):
        pass
    assert stat.S_IMODE((tmp_path / "out.txt").stat().st_mode) == 0o640


def test_a_read_only_file_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.txt"
    path.write_bytes(b"old")
    path.chmod(0o444)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write to anything
    with pytest.raises(PermissionError, match="read-only"), atomic_write(path):
        pass
    assert path.read_bytes() == b"old"


def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "out.txt")
    with atomic_write(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "out.txt").read_bytes() == b"new"


def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with atomic_write(tmp_path / "pipe") as file:
        file.write(b"new")
    assert os.read(reader, 10) == b"new"
    os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_directory_and_a_missing_one_are_refused_before_the_block_runs(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="expected the name of a file"), atomic_write(tmp_path):
        pytest.fail("the block ran")
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "none" / "out.txt"):
        pytest.fail("the block ran")


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127, "out.txt"])
def test_relative_and_long_names_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with atomic_write(name) as file:
        file.write(b"new")
    assert (tmp_path / name).read_bytes() == b"new"


# Children of one warm process save versions of a state in a loop and are killed; after each kill the file
# must load and be one version throughout. "naive" plants the fault that this must find.
KILLS = """
import json, os, random, signal, sys, time
import numpy as np
import nn.io, nn.io.state
path, naive = sys.argv[1], sys.argv[2] == "naive"

def state(n):
    return {"n": n, "a": np.full(20_000, n), "b": [np.full((30, 40), n, np.float32)]}

def version():
    found = nn.io.load(path)
    assert (found["a"] == found["n"]).all() and (found["b"][0] == found["n"]).all(), "torn"
    return found["n"]

if naive:
    nn.io.state.atomic_write = lambda path: open(path, "wb")
start = time.perf_counter()
for _ in range(10):
    nn.io.save(state(0), path)
three = 3 * (time.perf_counter() - start) / 10  # as long as three saves take on this disk
rng, seen, stray = random.Random(1), set(), 0
for kill in range(200):
    n = version()
    seen.add(n)
    pid = os.fork()
    if pid == 0:
        while True:
            n += 1
            nn.io.save(state(n), path)
    time.sleep(rng.uniform(0, three))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    for name in os.listdir(os.path.dirname(path)):
        if name.endswith(".tmp"):
            stray += 1
            os.unlink(os.path.join(os.path.dirname(path), name))
print(json.dumps({"seen": len(seen), "stray": stray}))
"""


def test_killed_200_times_the_file_is_always_whole(tmp_path: Path) -> None:
    done = run(KILLS, str(tmp_path / "s.npz"), "atomic")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["seen"] > 5  # the children did save
    assert result["stray"] > 5  # and were hit in the middle of it


def test_the_killing_would_find_a_file_that_is_written_in_place(tmp_path: Path) -> None:
    done = run(KILLS, str(tmp_path / "s.npz"), "naive")
    assert "is not a whole file written by nn.save" in done.stderr


FULL = """
import json, os, resource, sys
import numpy as np
import nn.io, nn.io.state
path = sys.argv[1]
nn.io.save({"n": 1, "a": np.ones(1000)}, path)
if sys.argv[2] == "limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
for size in (5_000, 40_000, 2_000_000):
    try:
        nn.io.save({"n": 2, "a": np.ones(size)}, path)
    except OSError as error:
        pass
    else:
        sys.exit("the disk was not full")
found = nn.io.load(path)
assert found["n"] == 1 and (found["a"] == 1).all()
assert os.listdir(os.path.dirname(path)) == ["s.npz"]
"""


def test_a_file_that_may_not_grow_leaves_the_old_one(tmp_path: Path) -> None:
    done = run(FULL, str(tmp_path / "s.npz"), "limit")
    assert done.returncode == 0, done.stderr


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    mount = 'mount -t tmpfs -o size=40k tmpfs "$0" || exit 77; exec "$@"'
    prefix = ("unshare", "--mount", "sh", "-c", mount, str(tmp_path))
    try:
        done = run(FULL, str(tmp_path / "s.npz"), "disk", prefix=prefix)
    except FileNotFoundError:
        pytest.skip("no unshare on PATH to mount a small disk in")
    if done.returncode == 77 or "unshare failed" in done.stderr:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
