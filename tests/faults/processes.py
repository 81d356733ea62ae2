"""Training processes that can be started in a second, watched, and hurt.

TensorFlow takes seconds to import. A server process imports it once, executes nothing
with it, and forks a child for each training: a process of its own, which runs
`launch/train.py` and dies by real signals. Linux only.
"""

import contextlib
import ctypes
import multiprocessing
import os
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

ROOT = Path(__file__).parents[2]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
PATIENCE = 600.0  # seconds, after which a process hangs
_LIBC = ctypes.CDLL(None, use_errno=True)
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_NEW_MOUNTS, _RECURSIVE, _PRIVATE = 0x20000, 0x4000, 0x40000
_WATCHED = 0x2 | 0x40 | 0x80 | 0x100 | 0x200  # modified, moved, created, deleted
_NEW_FOLDER = 0x40000000 | 0x100

_lock = threading.Lock()  # multiprocessing's bookkeeping knows no threads
_server = multiprocessing.get_context("forkserver")
_running: set["Process"] = set()


def start_server() -> None:
    """Makes the server import all that a training imports, when it is first used."""
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1"}
    # It warns of what the killed ones could not release.
    warning = "ignore::UserWarning:multiprocessing.resource_tracker"
    os.environ.setdefault("PYTHONWARNINGS", warning)
    path = [str(Path(__file__).parent), str(ROOT), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    _server.set_forkserver_preload(["preloaded"])


class Process:
    """A process under attack.

    Args:
        function: what it runs, a function of a module, and its arguments.
        log: file that gets what it prints.
        ignored: signals that it ignores from the start, as under `nohup`.
    """

    def __init__(
        self,
        function: Callable,
        arguments: Sequence[object],
        log: Path,
        ignored: Sequence[int] = (),
    ):
        self.log = log
        target = (function, tuple(arguments), str(log), tuple(ignored))
        log.write_bytes(b"")
        self._process: BaseProcess = _server.Process(target=_child, args=target)
        with _lock:
            self._process.start()
        self.pid = self._process.pid
        _running.add(self)

    def poll(self) -> int | None:
        """Exit code, minus the signal that killed it, or None while it runs."""
        with _lock:
            code = self._process.exitcode
        if code is not None:
            _running.discard(self)
        return code

    def send(self, number: int) -> None:
        """Sends a signal, unless the process has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def send_to_all(self, number: int) -> None:
        """Sends a signal to the process and to those that it has started."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def wait(self, seconds: float = PATIENCE, hangs: bool = True) -> int | None:
        """Exit code when it ends; one that hangs is killed, and said to hang.

        Args:
            seconds: most that it may take.
            hangs: False leaves it alone then, and returns None.
        """
        self.until(lambda: False, seconds)
        if self.poll() is None and hangs:
            with open(self.log, "a") as file:
                file.write(f"\nhangs: killed after {seconds:g} s\n")
            self.send(signal.SIGKILL)
            self.until(lambda: False, 10)
        return self.poll()

    def until(self, true: Callable[[], object], seconds: float = PATIENCE):
        """What `true` returns once it is anything; None if the process ends before."""
        end = time.monotonic() + seconds
        while self.poll() is None and time.monotonic() < end:
            if found := true():
                return found
            time.sleep(0.004)
        return true() or None

    def said(self, pattern: str, seconds: float = PATIENCE) -> re.Match | None:
        """Waits until a line matches, or the process has ended."""
        return self.until(lambda: re.search(pattern, self.text, re.M), seconds)

    @property
    def text(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace")


class FreshProcess(Process):
    """The same by `python launch/train.py`, without the server."""

    def __init__(self, function, arguments, log, ignored=()):
        self.log = log
        script = str(ROOT / "launch" / "train.py")
        held = {s: signal.signal(s, signal.SIG_IGN) for s in ignored}
        with open(log, "wb") as file:
            self._popen = subprocess.Popen(
                [sys.executable, script, *arguments[0]],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        for number, handler in held.items():
            signal.signal(number, handler)
        self.pid = self._popen.pid
        _running.add(self)

    def poll(self):
        code = self._popen.poll()
        if code is not None:
            _running.discard(self)
        return code


def kill_all() -> None:
    """Ends every process that was started here."""
    for process in list(_running):
        process.send(signal.SIGKILL)


def _child(
    function: Callable, arguments: tuple, log: str, ignored: tuple[int, ...]
) -> None:
    """Becomes a process like one that a shell has started."""
    _LIBC.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    os.setpgid(0, 0)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
    if signal.SIGINT not in ignored:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout.reconfigure(line_buffering=True)
    function(*arguments)


def train(arguments: Sequence[str]) -> None:
    """Runs `launch/train.py`; in a child."""
    from stylegan_tf_launch import cli, train

    sys.argv = ["launch/train.py", *arguments]
    cli.run(train.main, train.FLAGS, sys.argv)


# ---------------------------------------------------------------------------
# Folders: events as they happen, and disks that can be full


class Watch:
    """Counts what happens to the files of a folder and of those below, by inotify."""

    def __init__(self, folder: Path):
        self._fd = _LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._folders: dict[int, Path] = {}
        self._add(folder)

    def _add(self, folder: Path) -> None:
        number = _LIBC.inotify_add_watch(self._fd, os.fsencode(folder), _WATCHED)
        if number < 0:
            return  # gone already
        self._folders[number] = folder
        with contextlib.suppress(OSError):
            for path in folder.iterdir():
                if path.is_dir():
                    self._add(path)

    def events(self, seconds: float) -> list[Path]:
        """Files that something happened to, as soon as it does."""
        if not select.select([self._fd], [], [], seconds)[0]:
            return []
        data, paths, start = os.read(self._fd, 1 << 16), [], 0
        while start < len(data):
            number, mask, _, length = struct.unpack_from("iIII", data, start)
            name = data[start + 16 : start + 16 + length].rstrip(b"\0")
            start += 16 + length
            if number in self._folders:
                path = self._folders[number] / os.fsdecode(name)
                paths.append(path)
                if mask & _NEW_FOLDER == _NEW_FOLDER:
                    self._add(path)
        return paths

    def close(self) -> None:
        """Watches no more."""
        os.close(self._fd)


def own_mounts() -> bool:
    """Gives this process a table of mounts that ends with it; False if it may not."""
    if _LIBC.unshare(_NEW_MOUNTS):
        return False
    return not _LIBC.mount(b"none", b"/", None, _RECURSIVE | _PRIVATE, None)


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    """Puts a disk of that size at `folder`, seen only by this process and its own."""
    folder.mkdir(parents=True, exist_ok=True)
    size = f"size={kilobytes}k".encode()
    if _LIBC.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, size):
        raise OSError(ctypes.get_errno(), "cannot mount a disk", str(folder))
    try:
        yield
    finally:
        _LIBC.umount2(os.fsencode(folder), 2)  # also if a file is open


def fill(folder: Path, leave: int) -> Path:
    """Fills the disk of a folder up to about `leave` bytes; remove the file to free it.

    The file lies outside of every run, in the folder itself.
    """
    path = folder / "somebody-elses-file"
    disk = os.statvfs(folder)
    left = disk.f_bavail * disk.f_frsize - leave
    with contextlib.suppress(OSError), open(path, "wb", buffering=0) as file:
        while left > 0:
            left -= file.write(bytes(min(left, 1 << 16)))
    return path


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A temporary folder; removed at the end, with the processes that use it."""
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    try:
        yield folder
    finally:
        kill_all()
        shutil.rmtree(folder, ignore_errors=True)
