"""Outputs at an address: `--out=gs://bucket/pictures` of any script but train.py.

A script writes to a folder on this machine; when it ends, what is new is uploaded.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from absl import flags

FLAGS = ("out", "dest")
# Endings of an output that is a file: its folder is uploaded.
FILES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".mp4", ".keras", ".pkl", ".npz")
FILES += (".safetensors",)
GROWING = ("*.jsonl", "manifest.json")  # continued, so the script must see them


@contextlib.contextmanager
def outputs_at_addresses(values: flags.FlagValues) -> Iterator[None]:
    """Lets flags that name an address name a folder here, uploaded at the end.

    Args:
        values: a script's flags. A script with `resume` keeps its outputs equal itself.

    Raises:
        UserError: the address cannot be read or written.
    """
    urls = {n: values[n].value for n in FLAGS if n in values and values[n].value}
    urls = {name: url for name, url in urls.items() if "://" in url}
    if not urls or "resume" in values:
        yield
        return
    from stylegan_tf.mirror import Mirror, mirror_folder
    from stylegan_tf.remote import is_remote

    cache = values["cache"].value if "cache" in values else None
    whole = "check" in values and values["check"].value
    mirrors = []
    for name, url in urls.items():
        if not is_remote(url):
            continue
        folder, _, file = url.rstrip("/").rpartition("/")
        is_file = Path(file).suffix.lower() in FILES
        if name == "dest" and not is_file:
            _check_is_free(url)
        place = mirror_folder(folder if is_file else url, cache)
        mirror = Mirror(folder if is_file else url, place, shared=False)
        mirror.pull(("*",) if whole else GROWING)
        values[name].value = str(place / file if is_file else place)
        mirrors.append(mirror)
    try:
        yield
    finally:
        for name, url in urls.items():
            values[name].value = url
    for mirror in mirrors:
        mirror.finish()
        print(f"uploaded to {mirror.url}")


def _check_is_free(url: str) -> None:
    """Refuses an address that holds anything but a data set, as a folder is refused."""
    from stylegan_tf.errors import UserError
    from stylegan_tf.remote import Address

    found = Address(url).entries()
    ours = any(n == "manifest.json" or n.endswith(".tfrecords") for n in found)
    if found and not ours:
        raise UserError(
            f"{url} holds {len(found)} files and no data set; give another --dest, or "
            f"empty it."
        )
