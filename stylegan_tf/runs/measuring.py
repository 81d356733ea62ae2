"""Metrics while a model trains, and the best model so far.

Every so many images the moving average is measured, as it would be exported at that
moment, by the same code and to the same numbers as `launch/evaluate.py`. The model that
the first metric likes best lies, exported, in `model/best/`, with its number beside it
in `best.json`.
"""

from collections.abc import Callable
from pathlib import Path
from stylegan_tf import devices
from stylegan_tf import export
from stylegan_tf.config.schedule import learned_at
from stylegan_tf.errors import UserError
from stylegan_tf.metrics import results
from stylegan_tf.metrics import subject
from stylegan_tf.metrics import suite
from stylegan_tf.metrics.evaluation import Evaluation
from stylegan_tf.metrics.evaluation import StoppedError
from stylegan_tf.metrics.features import open_network
from stylegan_tf.runs.reports import Report
from stylegan_tf.runs.reports import clock
import json
import shutil


WORK = "measuring"  # folder of an evaluation that was stopped
BEST = Path("model") / "best"


class Measure(Report):
    """Computes `config.metrics` every `config.metrics_every` thousand images.

    Args:
        names: of metrics; the first one picks the best model.
        say: told a line for every measurement.
        cache: folder of cached statistics.

    Raises:
        UserError: no such metric.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        say: Callable[[str], None] = print,
        cache: str | None = None,
    ):
        self.requests = suite.parse_metrics(names)
        self.say, self.cache = say, cache
        first = self.requests[0]
        suffix, self.better = next(iter(first.metric.values.items()))
        self.first = first.name + suffix

    def start(self, trainer):
        c, run = trainer.config, trainer.run_dir
        results.forget_results(run, trainer.state.nimg)
        self.network = open_network(
            c.features, trainer.data, c.generator.channels, self.cache
        )
        alone = devices.workers(trainer.strategy) == 1
        self.strategy = trainer.strategy if alone else devices.make_strategy("one")
        self.copy = subject.replicate_generator(trainer.networks.average, self.strategy)
        for request in self.requests:
            if reason := self._evaluation(trainer).refusal(request):
                raise UserError(f"--metrics={request.name} cannot be had: {reason}.")
        rows = [r for r in results.read_results(run) if r["network"] == self.network.name]
        names = [r.name + s for r in self.requests for s in r.metric.values]
        mine = [r["nimg"] for r in rows if r["metric"] in names and r["nimg"]]
        self.last = max(mine, default=0)
        rows += self._exported(run)
        of_first = [r["value"] for r in rows if r["metric"] == self.first]
        pick = max if self.better == suite.HIGHER else min
        self.best = pick(of_first) if of_first else None

    def tick(self, trainer, stats):
        every, nimg = trainer.config.metrics_every * 1000, trainer.state.nimg
        due = nimg // every > self.last // every or nimg >= trainer.total
        if due and nimg > self.last and not trainer.stopping:
            self._measure(trainer)

    def _evaluation(self, trainer) -> Evaluation:
        return Evaluation(
            self.copy,
            trainer.data,
            self.network,
            self.strategy,
            trainer.run_dir,
            mirror=trainer.config.mirror,
            nimg=trainer.state.nimg,
            cache=self.cache,
            stop=lambda: trainer.stopping is not None,
            work=trainer.run_dir / WORK,
        )

    def _measure(self, trainer) -> None:
        """Measures the average; a signal ends it, and nothing is recorded then."""
        level, alpha = learned_at(trainer.config, trainer.state.nimg)
        final = trainer.config.generator.resolution
        self.copy.grow(None if level == final else level, alpha)
        subject.copy_weights(self.copy, trainer.networks.average)
        evaluation = self._evaluation(trainer)
        for other in trainer.run_dir.glob(f"{WORK}/*"):
            if other.name != evaluation.work.name:  # of a moment that is gone
                shutil.rmtree(other)
        try:
            rows = evaluation.run(self.requests)
        except StoppedError:
            return
        results.write_summaries(trainer.run_dir, rows)
        self.last = trainer.state.nimg
        better = self._keep(trainer, rows)
        self.say(self._line(trainer, rows) + ("  (best so far)" if better else ""))

    def _line(self, trainer, rows: list[dict]) -> str:
        numbers = "  ".join(f"{results.metric_label(r)} {r['value']:.4g}" for r in rows)
        taken = sum({r["metric"].split("_")[0]: r["seconds"] for r in rows}.values())
        return f"kimg {trainer.state.nimg / 1000:<8.1f} {numbers}  {clock(taken)}"

    def _keep(self, trainer, rows: list[dict]) -> bool:
        """Exports the model if it is the best so far."""
        row = next(r for r in rows if r["metric"] == self.first)
        value, best = row["value"], self.best
        sign = -1 if self.better == suite.HIGHER else 1
        if best is not None and sign * value >= sign * best:
            return False
        self.best, folder = value, trainer.run_dir / BEST
        draft = folder.with_name(f".{folder.name}")
        shutil.rmtree(draft, ignore_errors=True)
        export.save_model(self.copy, draft)
        (draft / subject.BEST).write_text(json.dumps(row) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
        return True

    def _exported(self, run: Path) -> list[dict]:
        """The number of the model in `model/best`, though its row may be dropped."""
        file = run / BEST / subject.BEST
        row = json.loads(file.read_text()) if file.is_file() else {}
        return [row] if row.get("network") == self.network.name else []
