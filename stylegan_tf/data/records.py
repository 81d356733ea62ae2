"""Writes data sets: a self-describing folder of TFRecords.

    manifest = write_dataset(open_source("photos/"), "data/photos", resolution=256)
    problems = check_dataset("data/photos")          # [] if every record is as written
    folder = prepare("photos/", resolution=256)      # for training: convert once

`manifest.py` describes the layout on disk. A conversion works in a hidden folder, shard
by shard, which is shown when everything is there (see `destination`). A conversion that
is killed never passes for a data set, and the same command continues after the last
finished shard. All cores convert; this process writes.

Two stores lay the images out in files: `shards.RecordStore` and, for programs that read
the files of the official tools, `official_layout.OfficialStore`.
"""

import contextlib
import csv
import functools
import hashlib
import io
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from stylegan_tf.data import (
    convert,
    destination,
    manifest,
    official_layout,
    shards,
    sources,
)
from stylegan_tf.data.convert import Chunk, Layout, Skipped
from stylegan_tf.data.manifest import DamagedDataError, Manifest
from stylegan_tf.data.shards import Store
from stylegan_tf.data.sources import official
from stylegan_tf.data.sources.base import Source
from stylegan_tf.data.sources.labels import no_labels
from stylegan_tf.data.workers import count_cores, run_tasks
from stylegan_tf.errors import UserError
from stylegan_tf.files import (
    home_path,
    parse_json,
    read_regular,
    read_regular_text,
    write_text,
)
from stylegan_tf.mirror import Mirror
from stylegan_tf.progress import ProgressBar
from stylegan_tf.remote import Address, cache_folder, fetch, is_remote, local_path

LAYOUTS = {"records": shards.RecordStore(), "official": official_layout.OfficialStore()}
ORDER_SEED = 123
_SHOWN = 10  # skipped files in an error message
_ORIGIN = "source.json"  # in a conversion of the cache: what it was made of
_MOST_LISTING = 1 << 30  # bytes of skipped.csv
_CHUNKS = 12  # per worker at least, so that all end at about the same time


def write_dataset(
    source: Source,
    dest: str | os.PathLike,
    *,
    resolution: str | int = "auto",
    crop: str = "center",
    channels: str | int = "auto",
    strict: bool = False,
    max_images: int | None = None,
    workers: int | None = None,
    layout: str = "records",
    shuffle: bool = True,
    log: Callable[[str], None] = print,
) -> Manifest:
    """Converts a source into a data set on disk, or continues a stopped conversion.

    Args:
        source: the images.
        dest: folder to create; its parents too.
        resolution: N, "HEIGHTxWIDTH" or "auto", see `convert.choose_layout`.
        crop: "center", "pad" or "none", see `images.fit_image`.
        channels: 1, 3, 4 or "auto".
        strict: fail if any image cannot be used, instead of listing it.
        max_images: take only so many, chosen at random; the first, without shuffle.
        workers: processes to use; one per core by default.
        layout: "records" (see `manifest.py`) or "official" (see `official_layout.py`).
        shuffle: store the images in a fixed random order, not in the source's.
        log: called with a line about how the images were understood.

    Returns:
        The manifest. If `dest` already holds exactly this, nothing is done.

    Raises:
        UserError: `dest` holds something else, no image can be used, or, with
            `strict`, some cannot.
    """
    dest = Path(dest)
    plan = _plan(source, resolution, crop, channels, max_images, layout, shuffle)
    if finished := _finished(dest, plan):
        return finished
    store = LAYOUTS[layout]
    jobs = min(workers or count_cores(), len(source))
    if type(source).__module__ == "__main__":
        jobs = 1  # a class of the user's own script, which workers do not import
    form = store.choose_layout(source, resolution, crop, channels)
    for note in form.notes:
        log(note)
    with destination.working_folder(dest, plan) as work:
        if finished := _finished(dest, plan):  # by another process, meanwhile
            destination.discard(work)
            return finished
        parts = _parts(len(source), max_images, form, shuffle)
        receipts = _convert(store, source, form, parts, work, jobs)
        _report_skipped(work, receipts, strict)
        made = store.finish(work, dest, source, form, plan, receipts)
        shards.remove_receipts(work)
        destination.show(work, dest)
        return made


def _report_skipped(work: Path, receipts: list[dict], strict: bool) -> None:
    """Lists the images that were left out, or gives up because of them."""
    skipped = [Skipped(*item) for receipt in receipts for item in receipt["skipped"]]
    usable = sum(receipt["count"] for receipt in receipts)
    if not usable or (strict and skipped):
        destination.discard(work)
        raise UserError(_complaint(skipped, usable))
    if skipped:
        path = work / manifest.SKIPPED
        with open(path, "w", -1, "utf-8", "surrogateescape", newline="") as f:
            rows = csv.writer(f)
            rows.writerow(Skipped._fields)
            rows.writerows(skipped)


def prepare(
    spec: str,
    cache_dir: str | os.PathLike | None = None,
    *,
    labels: str = "auto",
    download: bool = False,
    labeled: bool = False,
    source: Source | None = None,
    log: Callable[[str], None] = print,
    **settings,
) -> Path:
    """Finds the data set for what a user named: itself, or a cached conversion.

    Args:
        spec: a data set's folder, or anything that `open_source` takes.
        cache_dir: see `cache_folder`. A conversion is used again while source and
            settings agree. At an address, conversions are fetched and uploaded.
        labels: "auto", "none" or a file, see `open_source`.
        download: let TFDS download.
        labeled: refuse images without labels, before anything is converted.
        source: the images themselves, opened; `spec` is then what to call them.
        log: called with a line about what is being done.
        **settings: arguments of `write_dataset` after `dest`, but for `layout`.

    Returns:
        The folder of a data set.

    Raises:
        UserError: from `open_source` or `write_dataset`; or no labels.
    """
    path = local_path(spec, cache_dir) if is_remote(spec) else home_path(spec)
    given = source is not None
    if not given and manifest.is_dataset(path):
        Manifest.load(path)
        return path
    found = str(path) if is_remote(spec) else spec
    source = source or sources.open_source(found, labels, download)
    if labeled and not source.label_size:
        raise no_labels(labels, spec, source.notes)
    plan = _plan(source, **settings)
    folder = cache_folder(cache_dir) / f"{source.name}-{plan[:12]}"
    shared = f"{str(cache_dir).rstrip('/')}/{folder.name}"
    if not _is_whole(folder, plan, log):
        if is_remote(shared) and manifest.FILE in Address(shared).entries():
            return fetch(shared)
        for note in source.notes:
            log(note)
        log(f"Converting {spec} once; it is kept in {folder}")
        made = write_dataset(source, folder, log=log, **settings)
        _say_skipped(made, log)
    if not given and not (folder / _ORIGIN).exists():
        origin = {"data": _full_name(spec), "labels": labels}
        write_text(folder / _ORIGIN, json.dumps(origin, indent=1))
    if is_remote(shared):
        try:
            Mirror(shared, folder, shared=False, say=log).finish()
        except UserError as error:  # it can be trained on all the same
            log(str(error))
    return folder


def _say_skipped(made: Manifest, log: Callable[[str], None]) -> None:
    if made.skipped:
        listing = made.folder / manifest.SKIPPED
        noun = "picture" if made.skipped == 1 else "pictures"
        log(f"{made.skipped} {noun} left out, listed in {listing}:")
        for line in skipped_lines(made.folder):
            log(f"  {line}")


def _is_whole(folder: Path, plan: str, log: Callable[[str], None]) -> bool:
    """Returns True for a finished conversion; a damaged one is deleted."""
    if not folder.exists():
        return False
    try:
        problem = f"{folder} is damaged: it is of another source"
        if Manifest.load(folder).plan == plan:
            return True
    except DamagedDataError as e:
        problem = e.problem
    except UserError:
        problem = f"{folder} is damaged: {manifest.FILE} is missing or unreadable"
    log(f"{problem}; it is converted again.")
    destination.discard(folder)
    return False


def find_copy(
    spec: str,
    cache_dir: str | os.PathLike | None = None,
    labels: str = "auto",
    resolution: str | None = None,
) -> Path | None:
    """Finds the newest conversion of images that are no longer there.

    Args:
        spec: what the user named, see `prepare`.
        cache_dir: see `cache_folder`.
        labels: "auto", "none" or a file; the conversion had the same.
        resolution: HEIGHTxWIDTH of the conversion; None = any.

    Returns:
        The folder of a data set that is whole, or None.
    """
    kept = cache_folder(cache_dir).glob(f"*/{_ORIGIN}")
    wanted = {"data": _full_name(spec), "labels": labels}
    for path in sorted(kept, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            if parse_json(read_regular_text(path)) != wanted:
                continue
            found = Manifest.load(path.parent)
        except (OSError, ValueError):
            continue
        if resolution in (None, "x".join(map(str, found.shape))):
            return path.parent
    return None


def _full_name(spec: str) -> str:
    """Returns the same text for a path from wherever it is named."""
    is_name = is_remote(spec) or spec == "demo" or spec.startswith(("demo:", "tfds:"))
    return spec if is_name else os.path.abspath(os.path.expanduser(spec))


def skipped_lines(folder: Path, most: int = 8) -> list[str]:
    """Returns a line for each reason why images were left out, the commonest first.

    Args:
        folder: of a data set.
        most: number of lines.
    """
    try:
        text = read_regular(folder / manifest.SKIPPED, _MOST_LISTING)
        rows = csv.DictReader(io.StringIO(text.decode("utf-8", "replace"), newline=""))
        groups: dict[str, list[dict]] = {}
        for row in rows:
            groups.setdefault(re.sub(r"[\d.,]+", "N", row["reason"]), []).append(row)
    except (OSError, KeyError, TypeError, csv.Error):
        return []
    lines = []
    for found in sorted(groups.values(), key=len, reverse=True):
        first, count = found[0], len(found)
        head = first["file"] if count == 1 else f"{count}, such as {first['file']}"
        lines.append(f"{head}: {first['reason']}")
    return lines[:most] + ["..."] * (len(lines) > most)


def read_manifest(dest: str | os.PathLike) -> Manifest:
    """Reads what a data set on disk holds, in either layout.

    Raises:
        UserError: there is none, or it is damaged.
    """
    if official.is_official(Path(dest)):
        return official_layout.read_official_manifest(Path(dest))
    return Manifest.load(dest)


def check_dataset(dest: str | os.PathLike) -> list[str]:
    """Reads a data set from end to end, in either layout.

    Returns:
        A sentence for each problem: files missing or changed, records that cannot be
        decoded, wrong sizes, counts or labels. Empty if all is well.
    """
    if official.is_official(Path(dest)):
        return official_layout.check_official(Path(dest))
    from stylegan_tf.data import verify  # it needs TensorFlow from the start

    return verify.check_records(dest)


# ---------------------------------------------------------------------------
# The plan of a conversion


def _plan(
    source: Source,
    resolution: str | int = "auto",
    crop: str = "center",
    channels: str | int = "auto",
    max_images: int | None = None,
    layout: str = "records",
    shuffle: bool = True,
    **_,
) -> str:
    """Returns a hash that changes when `write_dataset` would make another data set."""
    if layout not in LAYOUTS:
        raise UserError(f"layout is {layout!r}; choose one of {', '.join(LAYOUTS)}.")
    settings = [str(resolution), crop, str(channels), max_images]
    if (layout, shuffle) != ("records", True):  # older conversions stay valid
        settings += [layout, shuffle]
    if source.draft:
        settings += ["draft"]
    parts = [
        manifest.FORMAT,
        manifest.VERSION,
        ORDER_SEED,
        source.fingerprint(),
        settings,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _finished(dest: Path, plan: str) -> Manifest | None:
    """Returns the manifest, if `dest` is this data set already.

    Raises:
        UserError: `dest` is something else.
    """
    if destination.is_free(dest):
        return None
    if not manifest.is_dataset(dest) and not official.is_official(dest):
        raise UserError(
            f"{dest} exists and is no data set; choose another folder, or empty it."
        )
    found = read_manifest(dest)
    if found.plan == plan:
        return found
    raise UserError(
        f"{dest} already holds another data set ({found}); delete it or give "
        f"another --dest."
    )


def _parts(
    count: int, max_images: int | None, layout: Layout, shuffle: bool
) -> list[list[int]]:
    """Lists the image indices of every shard, in stored order."""
    order = np.arange(count)
    if shuffle:  # RandomState's stream is frozen: the order survives the next NumPy
        np.random.RandomState(ORDER_SEED).shuffle(order)
    order = order[:max_images].tolist()
    size = convert.shard_size(layout, len(order))
    return [order[i : i + size] for i in range(0, len(order), size)]


# ---------------------------------------------------------------------------
# The conversion


def _convert(
    store: Store,
    source: Source,
    layout: Layout,
    parts: list[list[int]],
    work: Path,
    workers: int,
) -> list[dict]:
    """Makes the shards that are missing; returns the receipts of all."""
    found = store.read_receipts(work, len(parts), layout)
    receipts = {s: receipt for s, receipt in enumerate(found) if receipt is not None}
    missing = [s for s in range(len(parts)) if s not in receipts]
    fair = -(-sum(len(parts[s]) for s in missing) // (_CHUNKS * workers))
    size = max(min(convert.chunk_size(layout), fair), 1)
    chunks = [
        parts[s][i : i + size] for s in missing for i in range(0, len(parts[s]), size)
    ]
    task = functools.partial(store.convert_chunk, layout=layout)
    results = run_tasks(task, source, chunks, workers)
    with contextlib.closing(results), _progress(parts, missing) as bar:
        for s in missing:
            done: list[Chunk] = []
            while sum(map(len, done)) < len(parts[s]):
                done.append(next(results))
                bar.update(len(done[-1]))
            receipts[s] = store.write_shard(work, s, layout, done)
    return [receipts[s] for s in range(len(parts))]


def _progress(parts: list[list[int]], missing: list[int]) -> ProgressBar:
    total = sum(map(len, parts))
    started = total - sum(len(parts[s]) for s in missing)
    return ProgressBar(total=total, initial=started, unit="picture")


def _complaint(skipped: list[Skipped], usable: int) -> str:
    what = (
        f"{len(skipped)} pictures cannot be used"
        if usable
        else "no picture can be used"
    )
    lines = [f"  {name}: {reason}" for name, reason in skipped[:_SHOWN]]
    if len(skipped) > _SHOWN:
        lines.append(f"  ... and {len(skipped) - _SHOWN} more")
    return "\n".join([f"{what}, so nothing was written:", *lines])
