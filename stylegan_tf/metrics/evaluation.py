"""Evaluates a generator against a data set in one feature network.

    evaluation = Evaluation(model, data, network, strategy, out="runs/00000-demo-demo")
    rows = evaluation.run(parse_metrics("fid5k,pr5k3"))

Images are generated once for all metrics. Only the columns that metrics read (features,
probabilities, latents) are stored, as rows in files, so memory is bounded and a killed
evaluation continues where it was. Rows of generated images lie under `out` until all
metrics are done. Rows of real images stay in the cache, under a key of data, settings
and network, and serve every later model.
"""

import datetime
import functools
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from stylegan_tf.data.manifest import Manifest
from stylegan_tf.errors import UserError
from stylegan_tf.formats.arrays import save_arrays
from stylegan_tf.metrics import results
from stylegan_tf.metrics.features import missing_ability
from stylegan_tf.metrics.features.base import FeatureNetwork
from stylegan_tf.metrics.pictures import (
    Fakes,
    LabelSampler,
    Moved,
    PathSteps,
    Reals,
    default_batch,
)
from stylegan_tf.metrics.scores.distribution import Moments
from stylegan_tf.metrics.subject import check_fits
from stylegan_tf.metrics.suite import MetricRequest
from stylegan_tf.metrics.tables import Table
from stylegan_tf.networks.generator import Generator
from stylegan_tf.progress import ProgressBar
from stylegan_tf.remote import cache_folder

DEFINITION = 1  # raise it when a definition changes: no old score is used again
QUICK = 5000  # images of a quick look
WORK = "evaluation"  # folder of unfinished work


class StoppedError(Exception):
    """The evaluation was asked to stop; its rows are kept."""


class Evaluation:
    """The columns that metrics read, computed on demand.

    Args:
        model: the generator, made in the strategy's scope.
        data: folder of the data set to compare with.
        network: the feature network.
        strategy: its replicas generate the images.
        out: folder for `metrics.jsonl` and unfinished work.
        mirror: True if the model was trained on mirrored images too.
        nimg: training images the model has seen, for the record.
        settings: fingerprint of the settings of the model's run, for the record.
        batch: images per batch over all replicas; None = by their size.
        cache: folder of cached statistics; None = the default one.
        progress: show bars.
        stop: called after every batch; True raises `StoppedError`.
        work: folder for unfinished work; None = one in `out`.

    Raises:
        UserError: the data does not fit the model.
    """

    def __init__(
        self,
        model: Generator,
        data: Path | str,
        network: FeatureNetwork,
        strategy: tf.distribute.Strategy,
        out: Path | str,
        mirror: bool = False,
        nimg: int | None = None,
        settings: str | None = None,
        batch: int | None = None,
        cache: Path | str | None = None,
        progress: bool = False,
        stop: Callable[[], bool] = lambda: False,
        work: Path | str | None = None,
    ):
        self.model, self.data, self.network = model, Path(data), network
        self.strategy, self.out = strategy, Path(out)
        self.mirror, self.nimg, self.settings = mirror, nimg, settings
        self.manifest = Manifest.load(data)
        check_fits(model, self.data)
        replicas = strategy.num_replicas_in_sync
        size = model.config.shape(model.config.resolution)
        self.batch = (
            -(-(batch or default_batch(*size, replicas)) // replicas) * replicas
        )
        self._cache = cache_folder(cache) / "metrics"
        self._progress, self._stop = progress, stop
        self._root = Path(work or self.out / WORK)
        self._limits: dict[str, int] = {}  # rows that the planned metrics read
        self._step_limits: dict[tuple[str, str, str], int] = {}
        self._path_steps: dict[tuple[str, str], PathSteps] = {}
        self._moved: dict[str, Moved] = {}
        self._notes: list[str] = []

    # -----------------------------------------------------------------------
    # Digests of model, data and network, which name files and scores

    @functools.cached_property
    def resolution(self) -> int:
        """Resolution of the real images."""
        return self.model.config.resolution

    @functools.cached_property
    def model_key(self) -> str:
        """Short digest of the model: weights, settings, how far it has grown."""
        model, settings = self.model, self.model.get_config()
        parts = [settings["config"], settings["level"]]
        parts += [model.growth.alpha] if model.growth.alpha < 1 else []
        digest = hashlib.sha256(json.dumps(parts).encode())
        for weight in model.weights:
            digest.update(np.ascontiguousarray(weight.numpy()).tobytes())
        return digest.hexdigest()[:12]

    @functools.cached_property
    def data_key(self) -> str:
        """Short digest of the real images."""
        return self.manifest.level(self.resolution).fingerprint

    @functools.cached_property
    def network_key(self) -> str:
        """The network's name and its output for fixed images.

        Networks of one name with different weights have different keys.
        """
        level = self.manifest.level(self.resolution)
        shape = (4, level.height, level.width, self.manifest.channels)
        probe = np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)
        if callable(self.network):
            values = np.asarray(self.network(probe), np.float64)
        else:
            images = tf.constant(probe, tf.float32)
            values = self.network.distance(images[:2], images[2:]).numpy()
        return f"{self.network.name},{values.mean():.3g},{values.std():.3g}"

    def _folder(self, root: Path, *parts) -> Path:
        text = json.dumps([DEFINITION, self.data_key, self.resolution, *parts])
        return root / hashlib.sha256(text.encode()).hexdigest()[:16]

    def reals_folder(self, mirror: bool) -> Path:
        """Returns the cache folder for rows of real images."""
        return self._folder(self._cache, self.network_key, mirror)

    @functools.cached_property
    def work(self) -> Path:
        """Folder of the rows of generated images, until all metrics are done."""
        return self._folder(self._root, self.network_key, self.model_key)

    # -----------------------------------------------------------------------
    # Columns that metrics read

    def fakes(self, column: str, count: int) -> np.ndarray:
        """Returns a column of generated images 0 to count - 1, float32 [count, width].

        Args:
            column: "features", "manifold", "probabilities", "factors", "z" or "w".
            count: number of rows.
        """
        planned = self._limits | {column: count}
        limits = {c: min(n, count) for c, n in planned.items()}
        table = Table(self.work / "pictures")
        self._fill(table, limits, self._fakes.inputs, self._columns, "pictures")
        return table.read(column, count)

    def generated(self, i: int) -> np.ndarray:
        """Returns generated image i, uint8 [H, W, C]."""
        start = i - i % self.batch
        inputs = self._fakes.inputs(range(start, start + self.batch))
        return self._fakes.draw(inputs)["images"][i - start]

    def column(self, name: str) -> str:
        """Returns the column of a name: "manifold" is "features" for most networks."""
        shared = name == "manifold" and missing_ability(self.network, ["manifold"])
        return "features" if shared else name

    def factors(self, count: int) -> dict[str, np.ndarray]:
        """Returns the factors of generated images 0 to count - 1.

        Returns:
            Name -> float32 [count] of a continuous factor, or [count, values].
        """
        rows = self.fakes("factors", count)
        out, first = {}, 0
        for name, width in self._factor_widths.items():
            part = rows[:, first : first + (width or 1)]
            out[name], first = (part if width else part[:, 0]), first + (width or 1)
        return out

    def reals(self, column: str, count: int, mirror: bool) -> np.ndarray:
        """Returns a column of real images 0 to count - 1, float32 [count, width].

        Args:
            column: "features" or "manifold".
            count: number of rows.
            mirror: mirror about half of the images, as training does.
        """
        table = Table(self.reals_folder(mirror))
        source = Reals(self.data, self.resolution, mirror)

        def compute(images, columns):
            return {name: self._apply_network(name, images) for name in columns}

        self._fill(table, {column: count}, source.inputs, compute, "real pictures")
        return table.read(column, count)

    def real_moments(self, count: int, mirror: bool) -> Moments:
        """Returns the moments of the features of real images 0 to count - 1, cached."""
        file = self.reals_folder(mirror) / f"moments-{count}.npz"
        if file.exists():
            with np.load(file) as saved:
                return Moments.restored(dict(saved))
        moments = Moments(self.network.size)
        once = count if mirror else min(count, self.manifest.count)
        rows = self.reals("features", once, mirror)
        moments.add(rows, count // once)
        if count % once:
            moments.add(rows[: count % once])
        self.require_count("real pictures", moments.count, count)
        save_arrays(file, moments.state())
        return moments

    def steps(self, space: str, sampling: str, crop: str, count: int) -> np.ndarray:
        """Returns distance / epsilon^2 of path steps 0 to count - 1, float32 [count].

        Args:
            space: "z" or "w".
            sampling: "full" or "end", see `scores.path_length`.
            crop: "face" or "whole".
            count: number of steps.
        """
        path, limits = (space, sampling), {crop: count}
        for (*planned, other), n in self._step_limits.items():
            if tuple(planned) == path:
                limits[other] = min(n, count)
        limits[crop] = count
        table = Table(self.work / f"steps-{space}-{sampling}")
        if path not in self._path_steps:
            parts = self.model, self.strategy, self._labels, self.network.distance
            self._path_steps[path] = PathSteps(*parts, *path)
        source = self._path_steps[path]

        def compute(inputs, crops):
            return source.measure(inputs, frozenset(crops))

        name = f"steps in {space}, {sampling}"
        self._fill(table, limits, source.inputs, compute, name)
        return table.read(crop, count)[:, 0]

    def moved(self, kind: str, count: int) -> np.ndarray:
        """Returns errors of moved images 0 to count - 1, float32 [count, 2].

        Args:
            kind: see `pictures.Moved`.
            count: number of images.
        """
        if kind not in self._moved:
            parts = self.model, self.strategy, self._labels
            self._moved[kind] = Moved(*parts, kind)
        source, table = self._moved[kind], Table(self.work / f"moved-{kind}")

        def compute(inputs, columns):
            return source.measure(inputs)

        self._fill(table, {"error": count}, source.inputs, compute, f"moved, {kind}")
        return table.read("error", count)

    def note(self, text: str) -> None:
        """Adds a remark to the score that is being computed."""
        self._notes.append(text)

    @staticmethod
    def require_count(rows: str, count: int, expected: int) -> None:
        """Raises RuntimeError unless all rows were measured."""
        if count != expected:
            raise RuntimeError(
                f"{count} {rows} were measured, and {expected} asked for."
            )

    def bar(self, total: int, name: str, unit: str = "picture") -> ProgressBar:
        """Returns a progress bar, hidden without `progress`."""
        return ProgressBar(title=name, shown=self._progress, total=total, unit=unit)

    # -----------------------------------------------------------------------

    @functools.cached_property
    def _labels(self) -> LabelSampler:
        return LabelSampler(self.model, self.data)

    @functools.cached_property
    def _fakes(self) -> Fakes:
        return Fakes(self.model, self.strategy, self._labels)

    def _columns(self, inputs, columns: set[str]) -> dict[str, np.ndarray]:
        drawn = self._fakes.draw(inputs)
        return {
            name: drawn[name]
            if name in ("z", "w")
            else self._apply_network(name, drawn["images"])
            for name in columns
        }

    def _apply_network(self, column: str, images: np.ndarray) -> np.ndarray:
        """Returns a column of images, [N, width]."""
        if column == "features":
            return self.network(images)
        if column != "factors":
            return getattr(self.network, column)(images)
        factors = self.network.factors(images).values()
        rows = [np.asarray(v, np.float32).reshape(len(images), -1) for v in factors]
        return np.concatenate(rows, axis=1)

    @functools.cached_property
    def _factor_widths(self) -> dict[str, int]:
        """Factor -> number of values, 0 for a continuous factor."""
        probe = self._fakes.draw(self._fakes.inputs(range(self.batch)))["images"]
        factors = self.network.factors(probe)
        return {k: np.shape(v)[1] if np.ndim(v) == 2 else 0 for k, v in factors.items()}

    def _fill(self, table: Table, limits, inputs, compute, name: str) -> None:
        rows = table.rows()
        missing = {c: n for c, n in limits.items() if rows.get(c, 0) < n}
        if not missing:
            return
        first = min(rows.get(c, 0) for c in missing)
        with self.bar(max(missing.values()), name) as bar:
            bar.update(first)

            def tick(n):
                bar.update(n)
                if self._stop():
                    raise StoppedError

            def inputs_from(start: int):
                return inputs(range(start, start + self.batch))

            table.fill(missing, inputs_from, compute, self.batch, tick)

    # -----------------------------------------------------------------------
    # Running

    def refusal(self, request: MetricRequest) -> str | None:
        """Returns why a metric cannot be computed, or None if it can."""
        if request.metric.moves and self.model.config.architecture != "stylegan3":
            return "only StyleGAN3's input can be shifted and rotated"
        return missing_ability(self.network, request.metric.needs)

    def run(self, requests: Sequence[MetricRequest]) -> list[dict]:
        """Computes metrics and records each in `metrics.jsonl` as it is done.

        A metric recorded before for the same model, data, network and number of images
        is not computed again.

        Args:
            requests: see `suite.parse_metrics`.

        Returns:
            The rows of `metrics.jsonl`, in the order of `requests`; see `results`.

        Raises:
            UserError: a metric cannot be computed, or failed.
            StoppedError: `stop` returned True.
        """
        for request in requests:
            if reason := self.refusal(request):
                raise UserError(f"{request.name} cannot be computed: {reason}.")
        rows = {r: self._recorded(r) for r in requests}
        missing = [r for r in requests if not rows[r]]
        for r in missing:  # the largest numbers, so that images are generated once
            for column in map(self.column, r.metric.fakes):
                self._limits[column] = max(r.num, self._limits.get(column, 0))
            if step := r.metric.step:
                self._step_limits[step] = max(r.num, self._step_limits.get(step, 0))
        for request in missing:
            rows[request] = self._compute(request)
            results.append_results(self.out, rows[request])
        Table(self.work).remove()
        if self._root.is_dir() and not any(self._root.iterdir()):
            self._root.rmdir()
        return [row for request in requests for row in rows[request]]

    def announce(self, requests: Sequence[MetricRequest]) -> None:
        """Prints the metrics recorded before, and an estimate of the time to come."""
        recorded = [r.name for r in requests if self._recorded(r)]
        missing = [r for r in requests if r.name not in recorded]
        if recorded:
            print(f"recorded before, not computed again: {', '.join(recorded)}")
        paths: dict[tuple[str, str], int] = {}
        for r in missing:
            if r.metric.step:
                path = r.metric.step[:2]
                paths[path] = max(r.num, paths.get(path, 0))
        fakes = max((r.num for r in missing if r.metric.fakes), default=0)
        moved = sum(r.num for r in missing if r.metric.moves)
        if count := fakes + 2 * (sum(paths.values()) + moved):
            seconds = self._seconds_per_image()
            quick = any(r.num > QUICK for r in requests)
            hint = f"; --num={QUICK} is a quicker look" if quick else ""
            print(
                f"{count:,} pictures to draw, at {1 / seconds:,.0f} a second about "
                f"{max(round(count * seconds / 60), 1)} min{hint}"
            )

    def _seconds_per_image(self) -> float:
        """Returns the time to generate an image and compute its features."""
        for _ in range(2):  # the first batch compiles
            began = time.perf_counter()
            self._columns(self._fakes.inputs(range(self.batch)), {"features"})
        return (time.perf_counter() - began) / self.batch

    def _identity(self, request: MetricRequest) -> dict:
        return {
            "network": self.network.name,
            "num": request.num,
            "model": self.model_key,
            "data": self.data_key,
            "key": self._folder(Path(), self.network_key, self.mirror).name,
        }

    def _recorded(self, request: MetricRequest) -> list[dict]:
        names = [request.name + suffix for suffix in request.metric.values]
        return results.find_results(self.out, names, self._identity(request))

    def _compute(self, request: MetricRequest) -> list[dict]:
        self._notes, began = [], time.perf_counter()
        try:
            values = request.metric.compute(self, request.num)
        except ValueError as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"{request.name} failed: {error}") from error
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        about = {"seconds": round(time.perf_counter() - began, 2), "date": now}
        about |= {"note": "; ".join(self._notes)} if self._notes else {}
        about |= {"settings": self.settings} if self.settings else {}
        expected = set(request.metric.values)
        if set(values) != expected or not np.isfinite(list(values.values())).all():
            raise UserError(f"{request.name} failed: it gave {values}.")
        return [
            {"nimg": self.nimg, "metric": request.name + suffix}
            | {"network": self.network.name, "value": float(values[suffix])}
            | self._identity(request)
            | about
            for suffix in request.metric.values
        ]
