"""Schedule of training: resolution, fade, batch size, learning rate by images seen.

The schedule of progressive growing (Karras et al. 2018, appendix A; numbers of Karras
et al. 2019, appendix C). Each resolution is trained for `stable_kimg` thousand images,
then the next one fades in for `fade_kimg`, or for a share of these that fits a short
run.Batch size, learning rate and tick (the
interval between log lines) change where a fade starts. All of it depends on the number
of images seen alone. This module does not need TensorFlow.
"""

import math
from dataclasses import dataclass

from stylegan_tf.config import Growth, ScheduleConfig, TrainConfig
from stylegan_tf.errors import UserError


@dataclass(frozen=True)
class Phase:
    """Resolution, fade, batch and learning rate at one moment of training.

    Attributes:
        nimg: images seen so far.
        lod: doublings still missing to the final resolution; a fraction while fading.
        resolution: the resolution that is trained.
        alpha: in [0, 1], weight of that resolution while it fades in.
        batch: images per step, over all devices.
        lr: learning rate of both networks.
        tick_kimg: thousands of images between two log lines.
    """

    nimg: int
    lod: float
    resolution: int
    alpha: float
    batch: int
    lr: float
    tick_kimg: float

    @property
    def growth(self) -> Growth:
        """Resolution and alpha."""
        return Growth(self.resolution, self.alpha)

    @property
    def stage(self) -> tuple[int, int]:
        """(floor, ceil) of lod; the optimizers are reset when it changes.

        It changes when a resolution begins to fade in and when it has faded in.
        """
        return math.floor(self.lod), math.ceil(self.lod)


def phase_at(
    config: ScheduleConfig, final_resolution: int, nimg: int, devices: int = 1
) -> Phase:
    """Returns the phase after `nimg` images.

    Args:
        config: the schedule.
        final_resolution: resolution that the model grows to.
        nimg: images seen.
        devices: replicas the batch is split over; the batch is rounded down to a
            multiple of it and kept under `max_batch_per_device`.

    Raises:
        UserError: the batch is smaller than the number of devices.
    """
    kimg = nimg / 1000
    lod = _lod_at(config, final_resolution, kimg)
    resolution, alpha = Growth.from_lod(lod, final_resolution)
    lr = config.lr_at.get(resolution, config.lr)
    if config.lr_rampup_kimg > 0:
        lr *= min(kimg / config.lr_rampup_kimg, 1.0)
    return Phase(
        nimg=nimg,
        lod=lod,
        resolution=resolution,
        alpha=alpha,
        batch=_batch(config, resolution, devices),
        lr=lr,
        tick_kimg=config.tick_kimg_at.get(resolution, config.tick_kimg),
    )


def growth_at(config: TrainConfig, nimg: int) -> Growth:
    """The growth of a model after `nimg` images.

    That of `phase_at`, but a new resolution counts only after a step at it.
    """
    s, final = config.schedule, config.generator.resolution
    phase = phase_at(s, final, nimg)
    last = phase_at(s, final, max(nimg - phase.batch, 0))
    return (phase if phase.resolution == last.resolution else last).growth


def _lod_at(config: ScheduleConfig, final_resolution: int, kimg: float) -> float:
    stable, fade = phase_kimg(config, final_resolution)
    length = stable + fade
    phases_done = math.floor(kimg / length) if length > 0 else math.inf
    within = kimg - phases_done * length if length > 0 else 0.0
    lod = _doublings(config, final_resolution) - phases_done
    if fade > 0:
        lod -= max(within - stable, 0.0) / fade
    return max(lod, 0.0)


def _doublings(config: ScheduleConfig, final_resolution: int) -> int:
    return int(math.log2(final_resolution)) - int(math.log2(config.initial_resolution))


def full_kimg(config: ScheduleConfig, final_resolution: int) -> float:
    """Thousands of images of all phases, that of the final resolution included.

    Without `fit_kimg`.
    """
    length = config.stable_kimg + config.fade_kimg
    return _doublings(config, final_resolution) * length + config.stable_kimg


def phase_kimg(config: ScheduleConfig, final_resolution: int) -> tuple[float, float]:
    """Thousands of images of a stable phase and of a fade, after `fit_kimg`."""
    full, share = full_kimg(config, final_resolution), 1.0
    if 0 < config.fit_kimg < full:
        share = config.fit_kimg / full
    return config.stable_kimg * share, config.fade_kimg * share


def fit_text(config: TrainConfig) -> str:
    """Tells how much shorter `fit_kimg` makes the phases; "" if it does not."""
    s, final = config.schedule, config.generator.resolution
    stable, fade = phase_kimg(s, final)
    if (stable, fade) == (s.stable_kimg, s.fade_kimg):
        return ""
    height, width = config.generator.shape(final)
    return (
        f"the phases of growth are shortened to fit {s.fit_kimg:g} kimg, so that "
        f"{height}x{width} is reached: {stable:.3g} kimg a resolution, {fade:.3g} a "
        f"fade, in place of {s.stable_kimg:g} and {s.fade_kimg:g} "
        f"(--set=schedule.fit_kimg=0 keeps those)"
    )


def drawn_size_text(config: TrainConfig, nimg: int) -> str:
    """Tells at what size the model draws after `nimg` images, and what is missing."""
    s, final = config.schedule, config.generator.resolution
    growth = growth_at(config, nimg)
    height, width = config.generator.shape(growth.resolution)
    text = f"the model draws pictures of {height}x{width}"
    if growth == (final, 1.0):
        return text
    if growth.alpha < 1:
        text += f", which have faded in by {growth.alpha:.0%}"
    height, width = config.generator.shape(final)
    grown = _doublings(s, final) * sum(phase_kimg(s, final))
    return f"{text}; {height}x{width} is fully grown at {grown:g} kimg"


def _batch(config: ScheduleConfig, resolution: int, devices: int) -> int:
    batch = config.batch_at.get(resolution, config.batch)
    batch -= batch % devices
    limit = config.max_batch_per_device.get(resolution)
    if limit is not None:
        batch = min(batch, limit * devices)
    if batch < devices:
        raise UserError(
            f"the batch at {resolution}x{resolution} is "
            f"{config.batch_at.get(resolution, config.batch)}, fewer than the "
            f"{devices} devices; raise schedule.batch or use fewer devices."
        )
    return batch


@dataclass(frozen=True)
class Row:
    """One stretch of the schedule.

    Attributes:
        start: thousands of images at its beginning.
        end: thousands of images at its end.
        fading: True if a resolution fades in.
        phase: the phase half way.
    """

    start: float
    end: float
    fading: bool
    phase: Phase


def schedule_rows(config: TrainConfig, devices: int = 1) -> list[Row]:
    """Returns a row for each time that a resolution fades in or is trained."""
    s, final = config.schedule, config.generator.resolution
    stable, fade = phase_kimg(s, final)
    out, start = [], 0.0
    for i in range(_doublings(s, final) + 1):
        fade_end = i * (stable + fade)
        last = s.initial_resolution << i == final
        stable_end = s.total_kimg if last else fade_end + stable
        for end, fading in ((fade_end, True), (stable_end, False)):
            end = min(end, s.total_kimg)
            if end > start:
                middle = int((start + end) * 500)  # images, half way
                phase = phase_at(s, final, middle, devices)
                out.append(Row(start, end, fading, phase))
                start = end
    return out


def schedule_table(config: TrainConfig, devices: int = 1) -> str:
    """Returns the schedule as a text table."""
    lines = ["      kimg          size        batch   learning rate   tick"]
    for row in schedule_rows(config, devices):
        p = row.phase
        height, width = config.generator.shape(p.resolution)
        what = f"{height}x{width}" + (" fades in" if row.fading else "")
        span = f"{row.start:7g} - {row.end:g}"
        lines.append(
            f"{span:<18} {what:<18} {p.batch:>4} {p.lr:>15g} {p.tick_kimg:>6g}"
        )
    return "\n".join(lines)
