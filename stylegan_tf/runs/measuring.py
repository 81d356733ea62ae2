"""Metrics while a model trains, and the best model so far.

Every `metrics_every` thousand images the moving average is measured as it would be
exported at that moment, by the same code and to the same numbers as
`launch/evaluate.py`. The model with the best value of the first metric is exported to
`model/best/`, with that value in `best.json`.
"""

import json
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from stylegan_tf import config as configs
from stylegan_tf import devices, export, files
from stylegan_tf.config.schedule import growth_at
from stylegan_tf.errors import UserError
from stylegan_tf.metrics import results, subject, suite
from stylegan_tf.metrics.evaluation import Evaluation, StoppedError
from stylegan_tf.metrics.features import open_network
from stylegan_tf.networks.generator import copy_weights
from stylegan_tf.runs.reports import Report, clock
from stylegan_tf.training.trainer import Trainer

WORK = "measuring"  # folder of an evaluation that was stopped
BEST = Path("model") / "best"


class Measure(Report):
    """Computes `config.metrics` every `config.metrics_every` thousand images.

    Args:
        names: metrics; the first one picks the best model.
        say: prints a line per measurement.
        cache: folder of cached statistics; None is the default.

    Raises:
        UserError: no such metric.
    """

    def __init__(
        self,
        names: Sequence[str],
        say: Callable[[str], None] = print,
        cache: str | None = None,
    ):
        self.requests = suite.parse_metrics(names)
        self.say, self.cache = say, cache
        first = self.requests[0]
        suffix, self.better = next(iter(first.metric.values.items()))
        self.first = first.name + suffix

    def start(self, trainer: Trainer) -> None:
        """Checks that every metric can be computed, and reads the values so far.

        Raises:
            UserError: a metric cannot be computed on this run.
        """
        c, run = trainer.config, trainer.run_dir
        results.forget_results(run, trainer.state.nimg)
        self.network = open_network(
            c.features, trainer.data, c.generator.channels, self.cache
        )
        alone = devices.num_workers(trainer.strategy) == 1
        self.strategy = trainer.strategy if alone else devices.make_strategy("one")
        self.copy = subject.replicate_generator(trainer.networks.average, self.strategy)
        for request in self.requests:
            if reason := self._evaluation(trainer).refusal(request):
                raise UserError(f"--metrics={request.name} cannot be had: {reason}.")
        rows = [
            r for r in results.read_results(run) if r["network"] == self.network.name
        ]
        names = [r.name + s for r in self.requests for s in r.metric.values]
        ours = [r["nimg"] for r in rows if r["metric"] in names and r["nimg"]]
        self.last = max(ours, default=0)
        # The row of the model in `model/best` may be dropped, the model is there.
        rows += self._best_row(run)
        values = [r["value"] for r in rows if r["metric"] == self.first]
        pick = max if self.better == suite.HIGHER else min
        self.best = pick(values) if values else None

    def labels(self) -> list[str]:
        """Returns the names of all values, such as `fid5k[builtin-v1]`."""
        names = [r.name + suffix for r in self.requests for suffix in r.metric.values]
        return [f"{name}[{self.network.name}]" for name in names]

    def _best_row(self, run: Path) -> list[dict]:
        """Reads the row of the model in `model/best`; none if there is none."""
        folder, draft = run / BEST, _draft(run)
        if not folder.exists() and (draft / subject.BEST).exists():
            draft.rename(folder)  # the last step of an export that was killed
        try:
            row = files.read_json(folder / subject.BEST)
            mine = row["network"] == self.network.name and math.isfinite(row["value"])
        except (OSError, ValueError, LookupError, TypeError):
            return []
        return [row] if mine and "metric" in row else []

    def tick(self, trainer: Trainer, stats: dict[str, float]) -> None:
        """Measures where `metrics_every` has passed, and at the end of the run.

        The values join `stats`, for the reports that come after.
        """
        every, nimg = trainer.config.metrics_every * 1000, trainer.state.nimg
        due = nimg // every > self.last // every or nimg >= trainer.total
        if due and nimg > self.last and not trainer.stopping:
            stats |= self._measure(trainer)

    def _evaluation(self, trainer: Trainer) -> Evaluation:
        return Evaluation(
            self.copy,
            trainer.data,
            self.network,
            self.strategy,
            trainer.run_dir,
            mirror=trainer.config.mirror,
            nimg=trainer.state.nimg,
            settings=configs.settings_fingerprint(trainer.config),
            cache=self.cache,
            stop=lambda: trainer.stopping is not None,
            work=trainer.run_dir / WORK,
        )

    def _measure(self, trainer: Trainer) -> dict[str, float]:
        """Measures the average; a signal ends it, and nothing is recorded then."""
        self.copy.growth = growth_at(trainer.config, trainer.state.nimg)
        copy_weights(self.copy, trainer.networks.average)
        evaluation = self._evaluation(trainer)
        for other in trainer.run_dir.glob(f"{WORK}/*"):
            if other.name != evaluation.work.name:  # stopped at an earlier moment
                shutil.rmtree(other)
        try:
            rows = evaluation.run(self.requests)
        except StoppedError:
            return {}
        results.write_summaries(trainer.run_dir, rows)
        self.last = trainer.state.nimg
        best = self._export_if_best(trainer, rows)
        numbers = "  ".join(f"{results.metric_label(r)} {r['value']:.4g}" for r in rows)
        seconds = sum({r["metric"].split("_")[0]: r["seconds"] for r in rows}.values())
        self.say(
            f"kimg {trainer.state.nimg / 1000:<8.1f} {numbers}  {clock(seconds)}"
            + ("  (best so far)" if best else "")
        )
        return {results.metric_label(r): r["value"] for r in rows}

    def _export_if_best(self, trainer: Trainer, rows: list[dict[str, object]]) -> bool:
        row = next(r for r in rows if r["metric"] == self.first)
        value, best = row["value"], self.best
        sign = -1 if self.better == suite.HIGHER else 1
        if best is not None and sign * value >= sign * best:
            return False
        self.best, folder = value, trainer.run_dir / BEST
        draft = _draft(trainer.run_dir)
        shutil.rmtree(draft, ignore_errors=True)
        export.save_model(self.copy, draft)
        files.write_text(draft / subject.BEST, json.dumps(row) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
        return True


def _draft(run: Path) -> Path:
    """The folder that becomes `BEST` when it is complete."""
    return (run / BEST).with_name(f".{BEST.name}")
