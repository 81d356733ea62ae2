"""The metrics by name, and their exact definitions.

A name holds the number of generated images: `fid50k` uses 50,000, `fid5k` 5,000. A
score from fewer images is biased and compares only with its like. Path lengths,
separability and disentanglement name the number only if it is not the standard one:
`ppl_wend`, `ppl5k_wend`, `ppl2_5k_wend`, `ls5k`.

A metric is a row of `METRICS`: its definition, and a function that asks an
`evaluation.Evaluation` for features and returns scores. `--help` prints the rows, so
this module loads no TensorFlow. All metrics use the moving average of the generator
without truncation, random noise, uint8 images, and labels drawn from the data.
"""

import re
import statistics
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from stylegan_tf.config.limits import shortened
from stylegan_tf.errors import UserError

LOWER, HIGHER = "lower", "higher"
MOST_PICTURES = 10_000_000  # of one metric
NEIGHBOR = 3  # of improved precision and recall
MOST_KID, MOST_PR = 1_000_000, 200_000  # real images of the full variants
Compute = Callable[..., dict[str, float]]  # of (evaluation, num)


@dataclass(frozen=True)
class Metric:
    """The definition of a metric.

    Attributes:
        head: of the name, before the number of images.
        tail: of the name, after the number of images.
        num: the standard number of images.
        definition: one line for the manual, with its source.
        compute: maps (evaluation, num) to scores, {suffix of the name: value}.
        values: suffix -> LOWER or HIGHER, which is better; the first one picks the best
            model.
        fakes: columns of generated images that it reads, see `Evaluation.fakes`.
        step: (space, sampling, crop) of the path steps that it reads.
        needs: methods of the feature network, see `features.base.FeatureNetwork`.
        bare: the name with the standard number, if that name omits it.
        moves: True if it moves the generator's input, which StyleGAN3 alone allows.
    """

    head: str
    tail: str
    num: int
    definition: str
    compute: Compute
    values: dict[str, str] = field(default_factory=lambda: {"": LOWER}, hash=False)
    fakes: tuple[str, ...] = ()
    step: tuple[str, str, str] | None = None
    needs: tuple[str, ...] = ()
    bare: str | None = None
    moves: bool = False

    def name(self, num: int | None = None) -> str:
        """Returns the name with `num` images; None = the standard number."""
        num = num or self.num
        if self.bare and num == self.num:
            return self.bare
        count = f"{num // 1000}k" if num % 1000 == 0 else str(num)
        return f"{self.head}{count}{self.tail}"

    def number(self, name: str) -> int | None:
        """Returns the number of images in a name, or None for another metric's name."""
        if name == self.bare:
            return self.num
        pattern = (
            rf"{re.escape(self.head)}([1-9][0-9]{{0,7}})(k?){re.escape(self.tail)}"
        )
        match = re.fullmatch(pattern, name)
        return int(match[1]) * (1000 if match[2] else 1) if match else None


@dataclass(frozen=True)
class MetricRequest:
    """A metric to compute with `num` generated images."""

    metric: Metric
    num: int

    @property
    def name(self) -> str:
        """Name such as "fid5k"."""
        return self.metric.name(self.num)


def better_of(value: str) -> str:
    """Returns LOWER or HIGHER, which is better for a value such as `pr5k3_recall`.

    LOWER for values of other versions, which this one does not know.
    """
    for metric in METRICS:
        for suffix, better in metric.values.items():
            head = value[: len(value) - len(suffix)]
            if value.endswith(suffix) and metric.number(head):
                return better
    return LOWER


def parse_metrics(
    names: str | Iterable[str], num: int | None = None
) -> list[MetricRequest]:
    """Parses names of metrics, each returned once.

    Args:
        names: "fid5k,ppl_wend", or a list of names; "all" is every metric.
        num: number of images that replaces the numbers of the names.

    Raises:
        UserError: an unknown name, or too few images.
    """
    if num is not None and num < 1:
        raise UserError(f"--num={num} is no number of pictures; give 1000 or more.")
    names = names.split(",") if isinstance(names, str) else list(names)
    requests: list[MetricRequest] = []
    for name in (n.strip() for n in names):
        if name == "all":
            requests += [MetricRequest(m, num or m.num) for m in METRICS]
            continue
        exact = [m for m in METRICS if m.bare == name]  # ppl2_wend is no ppl_wend of 2
        counts = [(m, m.number(name)) for m in exact or METRICS]
        known = [MetricRequest(m, num or count) for m, count in counts if count]
        if not known:
            raise UserError(
                f"there is no metric {shortened(name)}; choose all, or of "
                f"{', '.join(m.name() for m in METRICS)}, or such a name with another "
                f"number of pictures, as fid5k."
            )
        requests += known
    if not requests:
        raise UserError("no metric is named; try --metrics=fid50k.")
    if (most := max(request.num for request in requests)) > MOST_PICTURES:
        raise UserError(
            f"{most:,} pictures are more than a metric takes, {MOST_PICTURES:,}."
        )
    return list(dict.fromkeys(requests))


# ---------------------------------------------------------------------------
# Definitions


def _fid(e, num: int, full: bool) -> dict[str, float]:
    from stylegan_tf.metrics.scores import distribution

    count = e.manifest.count if full else num
    real = e.real_moments(count, mirror=e.mirror and not full)
    fake = distribution.Moments(e.network.size)
    fake.add(e.fakes("features", num))
    e.require_count("drawn pictures", fake.count, num)
    distance = distribution.frechet_distance(real, fake)
    for name, moments in (("real", real), ("drawn", fake)):
        if degenerate := distribution.singular_reason(moments):
            e.note(f"singular ({name}: {degenerate})")
    return {"": distance}


def _real_rows(e, column: str, num: int, full: bool, most: int):
    """Returns rows of real images, each at most once: a copy would be a neighbor."""
    count = min(e.manifest.count, most if full else num)
    if count < num and not full:
        e.note(f"{count} real pictures")
    return e.reals(column, count, mirror=e.mirror and not full)


def _kid(e, num: int, full: bool) -> dict[str, float]:
    from stylegan_tf.metrics.scores import distribution

    real = _real_rows(e, "features", num, full, MOST_KID)
    mean, deviation = distribution.kernel_distance(real, e.fakes("features", num))
    e.note(f"subsets differ by {deviation:.2g}")
    return {"": mean}


def _inception(e, num: int) -> dict[str, float]:
    from stylegan_tf.metrics.scores import distribution

    mean, deviation = distribution.inception_score(e.fakes("probabilities", num))
    return {"_mean": mean, "_std": deviation}


def _precision(e, num: int, full: bool) -> dict[str, float]:
    from stylegan_tf.metrics.scores import manifold

    column = e.column("manifold")
    real, fake = _real_rows(e, column, num, full, MOST_PR), e.fakes(column, num)
    with e.bar(2 * len(real) + len(fake), "neighbors", "row") as bar:
        scores = manifold.precision_recall(real, fake, NEIGHBOR, tick=bar.update)
    return {f"_{name}": value for name, value in scores.items()}


def _memorized(e, num: int) -> dict[str, float]:
    from stylegan_tf.metrics.scores import memorization

    column = e.column("manifold")
    real, fake = _real_rows(e, column, num, True, MOST_PR), e.fakes(column, num)
    with e.bar(len(real) + len(fake), "neighbors", "row") as bar:
        found = memorization.nearest_neighbors(real, fake, tick=bar.update)
    e.note(f"median ratio of distances {statistics.median(found.ratio):.2f}")
    return {"": found.memorized}


def _path_length(space: str, sampling: str, crop: str) -> Compute:
    def compute(e, num: int) -> dict[str, float]:
        from stylegan_tf.metrics.scores import distribution

        distances = e.steps(space, sampling, crop, num)
        e.require_count("steps", len(distances), num)
        return {"": distribution.trimmed_mean(distances)}

    return compute


def _separability(e, num: int) -> dict[str, float]:
    from stylegan_tf.metrics.scores.separability import attribute_logits, separability

    e.fakes("w", num)
    logits = attribute_logits(e.factors(num))
    out = {}
    for space in ("w", "z"):
        result = separability(e.fakes(space, num), logits)
        out[f"_{space}"] = result.score
        if result.unsettled:
            count = len(result.unsettled)
            e.note(f"{count} of {len(logits)} planes in {space} unsettled")
    return out


def _disentangled(e, num: int) -> tuple[dict, dict]:
    """Returns the factors of `num` generated images, and their codes by space."""
    e.fakes("w", num)
    factors = e.factors(num)
    return factors, {space: e.fakes(space, num) for space in ("w", "z")}


def _dci(e, num: int) -> dict[str, float]:
    from stylegan_tf.metrics.scores.disentanglement import dci

    factors, codes = _disentangled(e, num)
    scores = {space: dci(rows, factors) for space, rows in codes.items()}
    return {f"_{s}_{k}": v for s, values in scores.items() for k, v in values.items()}


def _gap(name: str) -> Compute:
    """Returns the function of "mig" or "sap", which have one score per space."""

    def compute(e, num: int) -> dict[str, float]:
        from stylegan_tf.metrics.scores import disentanglement as scores

        factors, codes = _disentangled(e, num)
        return {f"_{s}": getattr(scores, name)(c, factors) for s, c in codes.items()}

    return compute


def _path_row(name: str, num: int, step: tuple[str, str, str]) -> Metric:
    space, sampling, crop = step
    where = "any point of" if sampling == "full" else "the start of"
    path = "an arc in z" if space == "z" else "a line in w"
    region = "the face" if crop == "face" else "the whole picture"
    definition = f"perceptual path length at {where} {path}, of {region}"
    head, _, tail = name.partition("_")
    head, tail = (f"{head}_" if head == "ppl2" else head), f"_{tail}"
    return Metric(
        head,
        tail,
        num,
        definition,
        _path_length(*step),
        step=step,
        needs=("distance",),
        bare=name,
    )


def _moved_row(head: str, tail: str, kind: str, definition: str) -> Metric:
    def compute(e, num: int) -> dict[str, float]:
        from stylegan_tf.metrics.scores import equivariance

        rows = e.moved(kind, num)
        e.require_count("moved pictures", len(rows), num)
        return {"": equivariance.decibels(rows)}

    source = "(Karras et al. 2021, appendix E); StyleGAN3 only"
    text = f"equivariance to {definition}, in decibels {source}"
    return Metric(head, tail, 50_000, text, compute, {"": HIGHER}, moves=True)


PR_VALUES = {"_precision": HIGHER, "_recall": HIGHER}
PR_VALUES |= {"_density": HIGHER, "_coverage": HIGHER}
METRICS = (
    Metric(
        "fid",
        "",
        50_000,
        "Frechet distance to the first 50,000 real pictures in stored order, mirrored "
        "as in training; a smaller set begins again (Heusel et al. 2017)",
        lambda e, num: _fid(e, num, False),
        fakes=("features",),
        needs=("__call__",),
    ),
    Metric(
        "fid",
        "_full",
        50_000,
        "Frechet distance to all real pictures, not mirrored (Karras et al. 2020, ADA)",
        lambda e, num: _fid(e, num, True),
        fakes=("features",),
        needs=("__call__",),
    ),
    Metric(
        "kid",
        "",
        50_000,
        "kernel distance, 100 subsets of 1000 (Binkowski et al. 2018); each real "
        "picture at most once",
        lambda e, num: _kid(e, num, False),
        fakes=("features",),
        needs=("__call__",),
    ),
    Metric(
        "kid",
        "_full",
        50_000,
        "kernel distance to all real pictures, up to 1,000,000, not mirrored",
        lambda e, num: _kid(e, num, True),
        fakes=("features",),
        needs=("__call__",),
    ),
    Metric(
        "is",
        "",
        50_000,
        "inception score, 10 splits, mean and deviation (Salimans et al. 2016)",
        _inception,
        values={"_mean": HIGHER, "_std": LOWER},
        fakes=("probabilities",),
        needs=("probabilities",),
    ),
    Metric(
        "pr",
        "3",
        50_000,
        "improved precision and recall, third neighbor (Kynkaanniemi et al. 2019), "
        "density and coverage (Naeem et al. 2020); each real picture at most once",
        lambda e, num: _precision(e, num, False),
        values=PR_VALUES,
        fakes=("manifold",),
        needs=("__call__",),
    ),
    Metric(
        "pr",
        "3_full",
        50_000,
        "the same against all real pictures, up to 200,000, not mirrored",
        lambda e, num: _precision(e, num, True),
        values=PR_VALUES,
        fakes=("manifold",),
        needs=("__call__",),
    ),
    Metric(
        "mem",
        "",
        50_000,
        "share of pictures as near to a training picture as that one is to the next, "
        "1 - authenticity (Alaa et al. 2022); 1 for copies, 1/2 to 2/3 if none is",
        _memorized,
        fakes=("manifold",),
        needs=("__call__",),
    ),
    # StyleGAN reports 100,000 steps, StyleGAN2 50,000 (ppl50k_wend and so on).
    _path_row("ppl_zfull", 100_000, ("z", "full", "face")),
    _path_row("ppl_wfull", 100_000, ("w", "full", "face")),
    _path_row("ppl_zend", 100_000, ("z", "end", "face")),
    _path_row("ppl_wend", 100_000, ("w", "end", "face")),
    _path_row("ppl2_wend", 50_000, ("w", "end", "whole")),
    Metric(
        "ls",
        "",
        200_000,
        "linear separability of the network's factors, the more confident half of "
        "the pictures (Karras et al. 2019, section 4.2)",
        _separability,
        values={"_w": LOWER, "_z": LOWER},
        fakes=("factors", "w", "z"),
        needs=("factors",),
        bare="ls",
    ),
    Metric(
        "dci",
        "",
        4000,
        "disentanglement, completeness, informativeness of the network's factors in "
        "w and z (Eastwood & Williams 2018, section 3), by random forests",
        _dci,
        values={f"_{space}_{part}": HIGHER for space in "wz" for part in "dci"},
        fakes=("factors", "w", "z"),
        needs=("factors",),
        bare="dci",
    ),
    Metric(
        "mig",
        "",
        4000,
        "mutual information gap of the same (Chen et al. 2018, section 4.1), 20 bins",
        _gap("mig"),
        values={"_w": HIGHER, "_z": HIGHER},
        fakes=("factors", "w", "z"),
        needs=("factors",),
        bare="mig",
    ),
    Metric(
        "sap",
        "",
        4000,
        "separated attribute predictability (Kumar et al. 2018, section 3)",
        _gap("sap"),
        values={"_w": HIGHER, "_z": HIGHER},
        fakes=("factors", "w", "z"),
        needs=("factors",),
        bare="sap",
    ),
    _moved_row("eqt", "_int", "int", "shifts by whole pixels"),
    _moved_row("eqt", "_frac", "frac", "shifts by fractions of pixels"),
    _moved_row("eqr", "", "rotation", "rotation"),
)


def metrics_table() -> str:
    """Returns names and definitions as lines for a manual."""
    lines = []
    for m in METRICS:
        text = textwrap.wrap(m.definition, 68)
        lines += [f"    {m.name():<14}{text[0]}"] + [" " * 18 + t for t in text[1:]]
    return "\n".join(lines)
