"""One model, one data set, one feature network: what all metrics are computed from.

    evaluation = Evaluation(model, data, network, strategy, out="runs/00000-demo-demo")
    rows = evaluation.run(suite.parse("fid5k,pr5k3"))

Pictures are drawn once for all metrics that need them, and only what the metrics need
of each is kept, as rows in files: memory is bounded, and an evaluation that was killed
goes on where it was. Rows of drawn pictures lie under `out` until all is computed; rows
of real pictures stay in the cache, under a key of the data, the settings and the
network, and serve every later model.
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
from tqdm import tqdm

from stylegan_tf import config as configs
from stylegan_tf.data import records
from stylegan_tf.data.manifest import Manifest
from stylegan_tf.errors import UserError
from stylegan_tf.files import save_arrays
from stylegan_tf.metrics import results
from stylegan_tf.metrics.features import missing_ability
from stylegan_tf.metrics.pictures import Fakes, Labels, Reals, Steps, batch_for
from stylegan_tf.metrics.scores.distribution import Moments
from stylegan_tf.metrics.suite import Request
from stylegan_tf.metrics.tables import Table
from stylegan_tf.networks.generator import Generator

DEFINITION = 1  # rises when a definition changes, so that no old number is reused
QUICK = 5000  # pictures of a first look
WORK = "evaluation"  # folder of what is not finished yet


class Stopped(Exception):
    """The evaluation was told to stop; what it has drawn is kept."""


class Evaluation:
    """What metrics ask for, made when they ask.

    Args:
        model: the generator, made in the strategy's scope.
        data: folder of the data set that it is compared with.
        network: a `features.FeatureNetwork`.
        strategy: replicas of this process that draw.
        out: folder for `metrics.jsonl` and unfinished work.
        mirror: whether the model was trained on mirrored pictures too.
        nimg: images that it has seen, for the record.
        batch: pictures at a time over all replicas; None = as their size suits.
        cache: folder of cached statistics; None = the default one.
        progress: show bars.
        stop: asked after every batch; True raises `Stopped`.
        work: folder for unfinished work; None = one in `out`.

    Raises:
        UserError: the data does not fit the model.
    """

    def __init__(
        self,
        model: Generator,
        data: Path | str,
        network,
        strategy: tf.distribute.Strategy,
        out: Path | str,
        mirror: bool = False,
        nimg: int | None = None,
        batch: int | None = None,
        cache: Path | str | None = None,
        progress: bool = False,
        stop: Callable[[], bool] = lambda: False,
        work: Path | str | None = None,
    ):
        self.model, self.data, self.network = model, Path(data), network
        self.strategy, self.out, self.mirror, self.nimg = (
            strategy,
            Path(out),
            mirror,
            nimg,
        )
        self.manifest = Manifest.load(data)
        _check_fits(model, self.manifest)
        replicas = strategy.num_replicas_in_sync
        size = model.config.shape(model.config.resolution)
        self.batch = -(-(batch or batch_for(*size, replicas)) // replicas) * replicas
        self._cache = records.cache_folder(cache) / "metrics"
        self._progress, self._stop = progress, stop
        self._root = Path(work or self.out / WORK)
        self._limits: dict[str, int] = {}
        self._crops: dict[tuple[str, str, str], int] = {}
        self._ways: dict[tuple[str, str], Steps] = {}
        self._notes: list[str] = []

    # -----------------------------------------------------------------------
    # Who is measured by what: names of files and of numbers

    @functools.cached_property
    def resolution(self) -> int:
        """Level of the real pictures."""
        return self.model.config.resolution

    @functools.cached_property
    def model_key(self) -> str:
        """Short digest of the model: weights, settings, how far it has grown."""
        model = self.model
        parts = [configs.to_dict(model.config), model.level]
        parts += [model.alpha] if model.alpha < 1 else []
        digest = hashlib.sha256(json.dumps(parts).encode())
        for weight in model.weights:
            digest.update(np.ascontiguousarray(weight.numpy()).tobytes())
        return digest.hexdigest()[:12]

    @functools.cached_property
    def data_key(self) -> str:
        """Short digest of the real pictures."""
        return self.manifest.level(self.resolution).fingerprint

    @functools.cached_property
    def network_key(self) -> str:
        """The network's name, and what it says of fixed pictures.

        So a network with other weights has another key, though its name be the same.
        """
        level = self.manifest.level(self.resolution)
        shape = (4, level.height, level.width, self.manifest.channels)
        probe = np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)
        if callable(self.network):
            said = np.asarray(self.network(probe), np.float64)
        else:
            shown = tf.constant(probe, tf.float32)
            said = self.network.distance(shown[:2], shown[2:]).numpy()
        return f"{self.network.name},{said.mean():.3g},{said.std():.3g}"

    def _folder(self, root: Path, *parts) -> Path:
        text = json.dumps([DEFINITION, self.data_key, self.resolution, *parts])
        return root / hashlib.sha256(text.encode()).hexdigest()[:16]

    def reals_folder(self, mirror: bool) -> Path:
        """Where rows of real pictures are cached."""
        return self._folder(self._cache, self.network_key, mirror)

    @functools.cached_property
    def work(self) -> Path:
        """Where rows of drawn pictures lie until all is computed."""
        return self._folder(self._root, self.network_key, self.model_key)

    # -----------------------------------------------------------------------
    # What metrics ask for

    def fakes(self, column: str, count: int) -> np.ndarray:
        """Rows of drawn pictures 0 to count - 1: float32 [count, width].

        Args:
            column: "features", "manifold", "probabilities", "factors", "z" or "w".
        """
        planned = self._limits | {column: count}
        limits = {c: min(n, count) for c, n in planned.items()}
        table = Table(self.work / "pictures")
        self._fill(table, limits, self._fakes.inputs, self._columns, "pictures")
        return table.read(column, count)

    def column(self, name: str) -> str:
        """The column that holds what `name` says: some networks have one for two."""
        shared = name == "manifold" and missing_ability(self.network, ["manifold"])
        return "features" if shared else name

    def factors(self, count: int) -> dict[str, np.ndarray]:
        """What the network's classifiers say of drawn pictures.

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
        """Rows of real pictures 0 to count - 1, "features" or "manifold"."""
        table = Table(self.reals_folder(mirror))
        source = Reals(self.data, self.resolution, mirror)

        def compute(images, wanted):
            return {name: self._look(name, images) for name in wanted}

        self._fill(table, {column: count}, source.inputs, compute, "real pictures")
        return table.read(column, count)

    def real_moments(self, count: int, mirror: bool) -> Moments:
        """Moments of the features of real pictures 0 to count - 1, cached."""
        file = self.reals_folder(mirror) / f"moments-{count}.npz"
        if file.exists():
            with np.load(file) as saved:
                return Moments.restored(dict(saved))
        found = Moments(self.network.size)
        once = count if mirror else min(count, self.manifest.count)
        rows = self.reals("features", once, mirror)
        found.add(rows, count // once)
        if count % once:
            found.add(rows[: count % once])
        self.counted("real pictures", found.count, count)
        save_arrays(file, found.state())
        return found

    def steps(self, space: str, sampling: str, crop: str, count: int) -> np.ndarray:
        """Distances / epsilon^2 of steps 0 to count - 1: float32 [count].

        Args:
            space, sampling: as in `latent`.
            crop: "face" or "whole".
        """
        limits = {
            c: n for (*way, c), n in self._crops.items() if way == [space, sampling]
        }
        limits = {c: min(n, count) for c, n in (limits | {crop: count}).items()}
        table = Table(self.work / f"steps-{space}-{sampling}")
        source = self._source(space, sampling)
        compute = lambda given, wanted: source.measure(given, frozenset(wanted))  # noqa: E731
        name = f"steps in {space}, {sampling}"
        self._fill(table, limits, source.inputs, compute, name)
        return table.read(crop, count)[:, 0]

    def note(self, text: str | None) -> None:
        """Remarks on the metric that is being computed."""
        if text:
            self._notes.append(text)

    @staticmethod
    def counted(what: str, found: int, asked: int) -> None:
        """Refuses a part for the whole.

        Raises:
            RuntimeError: not as many as were asked for.
        """
        if found != asked:
            raise RuntimeError(f"{found} {what} were measured, and {asked} asked for.")

    def bar(self, total: int, name: str, unit: str = "picture") -> tqdm:
        """A progress bar, where they are shown."""
        return tqdm(
            total=total, desc=name, unit=unit, disable=None if self._progress else True
        )

    # -----------------------------------------------------------------------

    @functools.cached_property
    def _labels(self) -> Labels:
        return Labels(self.model, self.data)

    @functools.cached_property
    def _fakes(self) -> Fakes:
        return Fakes(self.model, self.strategy, self._labels)

    def _source(self, space: str, sampling: str) -> Steps:
        way = (space, sampling)
        if way not in self._ways:
            how = self.model, self.strategy, self._labels, self.network.distance
            self._ways[way] = Steps(*how, *way)
        return self._ways[way]

    def _columns(self, inputs, wanted: set[str]) -> dict[str, np.ndarray]:
        drawn = self._fakes.draw(inputs)
        own = ("z", "w")
        return {
            n: drawn[n] if n in own else self._look(n, drawn["images"]) for n in wanted
        }

    def _look(self, column: str, images: np.ndarray) -> np.ndarray:
        """What the network says of pictures: [N, width]."""
        if column == "features":
            return self.network(images)
        if column == "manifold":
            return self.network.manifold(images)
        if column == "probabilities":
            return self.network.probabilities(images)
        return self._flat_factors(images)

    def _flat_factors(self, images: np.ndarray) -> np.ndarray:
        said = {
            k: np.asarray(v, np.float32)
            for k, v in self.network.factors(images).items()
        }
        return np.concatenate(
            [v.reshape(len(images), -1) for v in said.values()], axis=1
        )

    @functools.cached_property
    def _factor_widths(self) -> dict[str, int]:
        """Factor -> its values, 0 of a continuous one."""
        probe = self._fakes.draw(self._fakes.inputs(range(self.batch)))["images"]
        said = self.network.factors(probe)
        return {k: np.shape(v)[1] if np.ndim(v) == 2 else 0 for k, v in said.items()}

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
                    raise Stopped

            batch = self.batch
            numbered = lambda start: inputs(range(start, start + batch))  # noqa: E731
            table.fill(missing, numbered, compute, batch, tick)

    # -----------------------------------------------------------------------
    # Running

    def refusal(self, request: Request) -> str | None:
        """Why a metric cannot be computed here, or None if it can."""
        return missing_ability(self.network, request.metric.needs)

    def run(self, requests: Sequence[Request]) -> list[dict]:
        """Computes metrics, and records each in `metrics.jsonl` as it is done.

        What is recorded there already for the same model, data, network and count is
        not computed again.

        Args:
            requests: from `suite.parse`; those that cannot be computed raise.

        Returns:
            The rows, as `results` describes them, in the order of `requests`.

        Raises:
            UserError: a metric cannot be computed, or failed.
            Stopped: `stop` said so.
        """
        for request in requests:
            if reason := self.refusal(request):
                raise UserError(f"{request.name} cannot be computed: {reason}.")
        found = {r: self._recorded(r) for r in requests}
        open_ = [r for r in requests if not found[r]]
        self._plan(open_)
        for request in open_:
            found[request] = self._measured(request)
            results.append(self.out, found[request])
        Table(self.work).remove()
        if self._root.is_dir() and not any(self._root.iterdir()):
            self._root.rmdir()
        return [row for request in requests for row in found[request]]

    def _plan(self, requests: Sequence[Request]) -> None:
        """What will be asked for, so that one drawing serves all."""
        for r in requests:
            for column in map(self.column, r.metric.fakes):
                self._limits[column] = max(r.num, self._limits.get(column, 0))
            if r.metric.step:
                step = r.metric.step
                self._crops[step] = max(r.num, self._crops.get(step, 0))

    def announce(self, requests: Sequence[Request]) -> None:
        """Says what is already there, and about how long the rest will take."""
        kept = [r.name for r in requests if self._recorded(r)]
        count = self.drawings([r for r in requests if r.name not in kept])
        if kept:
            print(f"recorded before, not computed again: {', '.join(kept)}")
        if count:
            pace = self.seconds_a_picture()
            quick = any(r.num > QUICK for r in requests)
            hint = f"; --num={QUICK} is a quicker look" if quick else ""
            print(
                f"{count:,} pictures to draw, at {1 / pace:,.0f} a second about "
                f"{max(round(count * pace / 60), 1)} min{hint}"
            )

    def drawings(self, requests: Sequence[Request]) -> int:
        """How many pictures these metrics have to draw."""
        fakes = [r.num for r in requests if r.metric.fakes]
        ways: dict[tuple, int] = {}
        for r in requests:
            if r.metric.step:
                way = r.metric.step[:2]
                ways[way] = max(r.num, ways.get(way, 0))
        return max(fakes, default=0) + 2 * sum(ways.values())

    def seconds_a_picture(self) -> float:
        """Time to draw one picture here and look at it, of a warm batch."""
        for _ in range(2):
            began = time.perf_counter()
            self._columns(self._fakes.inputs(range(self.batch)), {"features"})
        return (time.perf_counter() - began) / self.batch

    def _identity(self, request: Request) -> dict:
        return {
            "network": self.network.name,
            "num": request.num,
            "model": self.model_key,
            "data": self.data_key,
            "key": self._folder(Path(), self.network_key, self.mirror).name,
        }

    def _recorded(self, request: Request) -> list[dict]:
        names = [request.name + suffix for suffix in request.metric.values]
        return results.find(self.out, names, self._identity(request))

    def _measured(self, request: Request) -> list[dict]:
        self._notes, began = [], time.perf_counter()
        try:
            values = request.metric.compute(self, request.num)
        except ValueError as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"{request.name} failed: {error}") from error
        seconds = round(time.perf_counter() - began, 2)
        about = {"seconds": seconds, "date": _now()}
        about |= {"note": "; ".join(self._notes)} if self._notes else {}
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


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _check_fits(model: Generator, manifest: Manifest) -> None:
    c = model.config
    shape = c.shape(c.resolution)
    level = manifest.level(c.resolution)
    have = level.height, level.width, manifest.channels
    if have != (*shape, c.channels):
        wanted, found = ("x".join(map(str, s)) for s in ((*shape, c.channels), have))
        raise UserError(
            f"the model draws {wanted}, but {manifest.name} holds {found}; name the "
            f"data that it was trained on with --data=..."
        )
