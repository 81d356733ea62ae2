"""Runs the scripts as on Windows, as far as Linux can show it: see `simulate`.

python tests/other_system.py FOLDER
"""

import errno
import os
import shutil
import signal
import stat
import sys

HIDDEN = ("fcntl", "resource", "pwd", "grp", "termios", "readline")
SIGNALS = ("SIGHUP", "SIGQUIT", "SIGKILL", "SIGUSR1", "SIGALRM")
FUNCTIONS = ("fork", "getuid", "geteuid", "statvfs", "mkfifo", "fchmod", "O_NONBLOCK")


def simulate() -> None:
    """Takes away what Windows has not, and refuses what it refuses.

    No folder can be replaced, no file be renamed onto another, no folder be opened, no
    link be made without a privilege, and no name holds one of Windows' own characters.
    """
    import tensorflow  # noqa: F401, other people's modules are as on Linux

    for name in HIDDEN:
        sys.modules[name] = None  # to import it raises ImportError
    for module, names in ((signal, SIGNALS), (os, FUNCTIONS)):
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    replace, rename, opened = os.replace, os.rename, os.open

    def refuse(path, number=errno.EACCES):
        raise OSError(number, os.strerror(number), os.fspath(path))

    def check_name(path):
        if set('<>:"|?*') & set(os.path.basename(os.fspath(path))):
            refuse(path, errno.EINVAL)

    def replace_files(source, target, **_):
        check_name(target)
        if os.path.isdir(target):
            refuse(target)
        replace(source, target)

    def rename_to_free_names(source, target, **_):
        check_name(target)
        if os.path.lexists(target):
            refuse(target, errno.EEXIST)
        rename(source, target)

    def open_files(path, flags, *mode, **more):
        if not isinstance(path, int) and os.path.isdir(path):
            refuse(path)
        if flags & os.O_CREAT:
            check_name(path)
        return opened(path, flags, *mode, **more)

    def symlink(source, target, *_, **__):
        refuse(target, errno.EPERM)

    shutil._use_fd_functions = False  # which open folders; Windows has none
    os.replace, os.rename = replace_files, rename_to_free_names
    os.open, os.symlink = open_files, symlink
    assert not hasattr(signal, "SIGHUP") and stat.S_ISDIR(os.stat(".").st_mode)


def main(folder: str) -> None:
    """Converts, trains, goes on, draws and converts; prints the exit codes."""
    simulate()
    import numpy as np
    from launching import SETTINGS, call, flags_of
    from PIL import Image

    pictures, runs = os.path.join(folder, "in"), os.path.join(folder, "my runs")
    os.makedirs(pictures)
    for i in range(8):
        pixels = np.full([8, 8, 3], 20 * i, np.uint8)
        Image.fromarray(pixels).save(os.path.join(pictures, f"{i}.png"))
    data = os.path.join(folder, "set")
    flags = flags_of(
        SETTINGS,
        data=data,
        out=runs,
        cache=os.path.join(folder, "cache"),
        resolution=8,
        batch=4,
        preset="demo",
    )

    def tell(verb, *flags):
        code, out, err = call(verb, *flags)
        print(f"== {verb}: {code}")
        for line in out.splitlines():
            if "python launch/" in line or "tensorboard --" in line:
                print(f"-- {line}")
        if code:
            print(out[-2000:], err[-3000:])
        return out

    tell("make_dataset", f"--source={pictures}", f"--dest={data}")
    tell("train", *flags, "--kimg=0.04")
    tell("train", *flags, "--kimg=0.08")
    (run,) = (entry.path for entry in os.scandir(runs) if entry.name[0] == "0")
    out = os.path.join(folder, "drawn")
    tell("generate", f"--model={run}", "--seeds=0-1", f"--out={out}")
    tell("convert", f"--model={run}", f"--out={out}/x.keras")


if __name__ == "__main__":
    main(sys.argv[1])
