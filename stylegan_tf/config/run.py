"""Settings of a training run: losses, schedule, augmentation, and the rest."""

from dataclasses import dataclass, field
from typing import Annotated

from stylegan_tf.config.limits import (
    Checked,
    Choice,
    ChoiceOrCustom,
    Each,
    PowerOfTwo,
    Range,
    Text,
)
from stylegan_tf.config.networks import (
    GROWING,
    DiscriminatorConfig,
    GeneratorConfig,
    matching_discriminator,
)
from stylegan_tf.errors import UserError

GENERATOR_LOSSES = ("logistic_nonsaturating", "logistic_saturating", "wasserstein")
DISCRIMINATOR_LOSSES = ("logistic", "wasserstein", "hinge")
PRECISIONS = ("float32", "bfloat16", "auto")
JIT = ("off", "on", "auto")
AUGMENTATIONS = ("none", "diffaugment", "ada")
POLICIES = ("color", "translation", "cutout")
GROUPS = ("blit", "geom", "color", "filter", "noise", "cutout")
GROUPS += ("bg", "bgc", "bgcf", "bgcfn", "bgcfnc")

SHARE = Range(0, 1)
DECAY = Range(0, 1, below=True)
WEIGHT = Range(0, 1e9)
KIMG = Range(0, 1e9)  # thousands of images
SOME_KIMG = Range(1e-3, 1e9)  # at least one image
COUNT = Range(1, 1 << 20)
INTERVAL = Range(1, 1024)
RESOLUTIONS = PowerOfTwo(4)
BATCHES = Each(COUNT, RESOLUTIONS)  # resolution -> value, like the next two
RATES = Each(SHARE, RESOLUTIONS)
TICKS = Each(SOME_KIMG, RESOLUTIONS)
TRANSFORMS = Each(Choice(POLICIES), most=len(POLICIES))
_MATCHING = DiscriminatorConfig()  # where none is given: that of the generator


@dataclass(frozen=True)
class LossConfig(Checked, section="loss"):
    """Losses and penalties (Karras et al. 2019, appendix C; Mescheder et al. 2018).

    Attributes:
        g_loss: loss of the generator, one of `GENERATOR_LOSSES`, or a function of
            yours, `custom:NAME`.
        d_loss: loss of the discriminator, one of `DISCRIMINATOR_LOSSES`, or a function
            of yours.
        r1_gamma: weight of R1 at the final resolution R; at resolution r it counts
            gamma (r / R)^2.
        r2_gamma: weight of R2, the same penalty on fakes.
        gp_weight: weight of WGAN-GP's gradient penalty, lambda; usually 10.
        gp_target: gradient norm that WGAN-GP pulls to.
        drift: weight of E[D(real)^2], usually 0.001 with the Wasserstein loss.
        d_reg_interval: D's penalties are taken every so many iterations, with as many
            times the weight; 1 = in each, as in StyleGAN.
        pl_weight: weight of path length regularization, 2 in StyleGAN2.
        pl_decay: decay of the running mean of the path length.
        pl_shrink: path lengths are measured on a batch this many times smaller.
        g_reg_interval: path lengths are taken every so many iterations.
        reuse_fakes: G's step takes the fakes of D's step, which saves a pass of G.
        lazy: regularize in steps of their own (StyleGAN2, appendix B).
    """

    g_loss: Annotated[str, ChoiceOrCustom(GENERATOR_LOSSES)] = "logistic_nonsaturating"
    d_loss: Annotated[str, ChoiceOrCustom(DISCRIMINATOR_LOSSES)] = "logistic"
    r1_gamma: Annotated[float, WEIGHT] = 10.0
    r2_gamma: Annotated[float, WEIGHT] = 0.0
    gp_weight: Annotated[float, WEIGHT] = 0.0
    gp_target: Annotated[float, WEIGHT] = 1.0
    drift: Annotated[float, WEIGHT] = 0.0
    d_reg_interval: Annotated[int, INTERVAL] = 1
    pl_weight: Annotated[float, WEIGHT] = 0.0
    pl_decay: Annotated[float, SHARE] = 0.01
    pl_shrink: Annotated[int, INTERVAL] = 2
    g_reg_interval: Annotated[int, INTERVAL] = 1
    reuse_fakes: bool = False
    lazy: bool = False

    def check(self) -> None:
        """Refuses a path length regularization that would never be taken."""
        if self.pl_weight and not self.lazy:
            raise UserError(
                f"loss.pl_weight={self.pl_weight:g} works in steps of its own; set "
                f"loss.lazy=true."
            )

    @property
    def lazy_rates(self) -> tuple[float, float]:
        """Factors k / (k + 1) of the learning rates of G and D, k the lazy interval.

        A network that makes k + 1 steps instead of k learns that much slower per step,
        and Adam's betas are raised to that power (Karras et al. 2020, appendix B). 1
        for a network without lazy regularization.
        """
        g = self.g_reg_interval if self.lazy and self.pl_weight else 0
        d = self.d_reg_interval if self.lazy and self.has_penalty else 0
        return tuple(k / (k + 1) if k else 1.0 for k in (g, d))

    @property
    def has_penalty(self) -> bool:
        """True if any penalty on the discriminator's gradient has a weight."""
        return max(self.r1_gamma, self.r2_gamma, self.gp_weight) > 0


@dataclass(frozen=True)
class ScheduleConfig(Checked, section="schedule"):
    """Growth, batch size and learning rate as functions of the images seen.

    Attributes:
        initial_resolution: resolution at which training starts.
        stable_kimg: thousands of images for which each resolution is trained.
        fade_kimg: thousands of images while the next resolution fades in.
        total_kimg: thousands of images of the whole run.
        fit_kimg: thousands of images that the phases of all resolutions fit in; if they
            take more, each is shortened in proportion. 0 = never shortened.
        batch: images per step, over all devices.
        batch_at: resolution -> batch, where it differs from `batch`.
        max_batch_per_device: resolution -> most images per step on one device.
        lr: learning rate of both networks.
        d_lr_ratio: learning rate of D over `lr`.
        lr_at: resolution -> learning rate, where it differs from `lr`.
        lr_rampup_kimg: thousands of images in which the rate rises from 0; 0 = none.
        tick_kimg: thousands of images between two log lines.
        tick_kimg_at: resolution -> tick, where it differs from `tick_kimg`.
    """

    initial_resolution: Annotated[int, RESOLUTIONS] = 8
    stable_kimg: Annotated[float, KIMG] = 600.0
    fade_kimg: Annotated[float, KIMG] = 600.0
    total_kimg: Annotated[float, KIMG] = 25000.0
    fit_kimg: Annotated[float, KIMG] = 0.0
    batch: Annotated[int, COUNT] = 4
    batch_at: Annotated[dict[int, int], BATCHES] = field(default_factory=dict)
    max_batch_per_device: Annotated[dict[int, int], BATCHES] = field(
        default_factory=dict
    )
    lr: Annotated[float, SHARE] = 0.001
    d_lr_ratio: Annotated[float, Range(1e-3, 1e3)] = 1.0
    lr_at: Annotated[dict[int, float], RATES] = field(default_factory=dict)
    lr_rampup_kimg: Annotated[float, KIMG] = 0.0
    tick_kimg: Annotated[float, SOME_KIMG] = 160.0
    tick_kimg_at: Annotated[dict[int, float], TICKS] = field(default_factory=dict)


@dataclass(frozen=True)
class AugmentConfig(Checked, section="augment"):
    """Augmentation of the discriminator's images, reals and fakes alike.

    DiffAugment (Zhao et al. 2020) or adaptive discriminator augmentation (ADA, Karras
    et al. 2020), whose probability p follows the discriminator's overfitting.

    Attributes:
        kind: one of `AUGMENTATIONS`, or a function of yours, `custom:NAME`.
        groups: transforms of ADA, one of `GROUPS`.
        policy: transforms of DiffAugment, names of `POLICIES`.
        p: probability of ADA's transforms, at the start or, without `adapt`, always.
        adapt: True to let p follow the target.
        target: mean sign of D(real) that p aims at.
        kimg: thousands of images in which p can go from 0 to 1.
        interval: iterations between two changes of p.
        blur_init_sigma: width of a blur before all other transforms, in pixels, where
            training begins (StyleGAN3's config R); 0 = no blur.
        blur_fade_kimg: thousands of images in which the width falls to 0.
    """

    kind: Annotated[str, ChoiceOrCustom(AUGMENTATIONS)] = "none"
    groups: Annotated[str, Choice(GROUPS)] = "bgc"
    policy: Annotated[tuple[str, ...], TRANSFORMS] = (
        "color",
        "translation",
        "cutout",
    )
    p: Annotated[float, SHARE] = 0.0
    adapt: bool = True
    target: Annotated[float, Range(-1, 1)] = 0.6
    kimg: Annotated[float, SOME_KIMG] = 500.0
    interval: Annotated[int, INTERVAL] = 4
    blur_init_sigma: Annotated[float, Range(0, 256)] = 0.0
    blur_fade_kimg: Annotated[float, KIMG] = 0.0

    def blur_at(self, nimg: int) -> float:
        """Returns the blur's width after `nimg` images; 0 = none.

        It reaches 3 widths from a pixel, so that a third of a pixel is no blur.
        """
        images = self.blur_fade_kimg * 1000
        left = 1 - nimg / images if nimg < images else 0.0
        return sigma if (sigma := self.blur_init_sigma * left) >= 1 / 3 else 0.0


@dataclass(frozen=True)
class TrainConfig(Checked):
    """A whole run: its networks, losses, schedule, data and reports.

    The defaults are the paper's configuration F at 1024x1024 on one device, for 25
    million images. `presets.make` returns runs of other sizes and lengths.

    Attributes:
        generator: the generator.
        discriminator: the discriminator; by default the one of the generator's images,
            widths and architecture.
        loss: losses and penalties.
        schedule: growth, batch size and learning rate.
        augment: augmentation of the discriminator's images.
        preset: name of the preset that the settings come from.
        data: the data set as given by the user: a folder, a zip, `demo`, ...
        labels: "none", "auto" or a file of labels; all but "none" train a conditional
            model.
        init: model that the weights start from; "" = random weights.
        mirror: flip half of the real images.
        adam_beta1: decay of Adam's first moment.
        adam_beta2: decay of Adam's second moment.
        adam_epsilon: Adam's epsilon.
        ema_kimg: half-life of the generator's moving average, in thousands of images.
        ema_rampup: the half-life is at most this share of the images seen; 0 = no
            limit.
        accumulate: rounds that a step is split into, to fit a small device.
        recompute: compute activations again in gradients instead of keeping them:
            less memory, more time.
        precision: one of `PRECISIONS`, of the networks or of their
            `half_resolutions`; "auto" is resolved by the device when a run starts.
            float16 is none of them: it ends at 65,504, and the styles and losses are
            not scaled to stay below.
        jit: one of `JIT`, whether XLA compiles the step; "auto" is resolved by the
            device when a run starts.
        seed: random seed for weights, data order and latents.
        deterministic: repeat a run to the bit on GPUs, too.
        snapshot_ticks: ticks between checkpoints.
        checkpoint_minutes: minutes after which a checkpoint is due in any case; 0 =
            never.
        image_ticks: ticks between sheets of images.
        metrics: metrics measured during training; the first one picks the best model.
        metrics_every: thousands of images between two measurements.
        features: feature network of the metrics.
    """

    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    discriminator: DiscriminatorConfig = field(default_factory=lambda: _MATCHING)
    loss: LossConfig = field(default_factory=LossConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    preset: str = "custom"
    data: Annotated[str, Text(1)] = "demo"
    labels: Annotated[str, Text(1)] = "none"
    init: str = ""
    mirror: bool = False
    adam_beta1: Annotated[float, DECAY] = 0.0
    adam_beta2: Annotated[float, DECAY] = 0.99
    adam_epsilon: Annotated[float, Range(0, 1, above=True)] = 1e-8
    ema_kimg: Annotated[float, KIMG] = 10.0
    ema_rampup: Annotated[float, Range(0, 1000)] = 0.0
    accumulate: Annotated[int, Range(1, 4096)] = 1
    recompute: bool = False
    precision: Annotated[str, Choice(PRECISIONS)] = "float32"
    jit: Annotated[str, Choice(JIT)] = "off"
    seed: Annotated[int, Range(0, 2**32 - 1)] = 0
    deterministic: bool = False
    snapshot_ticks: Annotated[int, COUNT] = 10
    checkpoint_minutes: Annotated[float, Range(0, 1e6)] = 15.0
    image_ticks: Annotated[int, COUNT] = 1
    metrics: tuple[str, ...] = ()
    metrics_every: Annotated[float, SOME_KIMG] = 200.0
    features: Annotated[str, Text(1)] = "builtin"

    def __post_init__(self) -> None:
        if self.discriminator is _MATCHING and isinstance(
            self.generator, GeneratorConfig
        ):
            matching = matching_discriminator(self.generator)
            object.__setattr__(self, "discriminator", matching)
        super().__post_init__()

    def check(self) -> None:
        """Refuses networks of different images, and growing where none can grow."""
        g, d = self.generator, self.discriminator
        for name in ("resolution", "start_shape", "channels", "classes"):
            if getattr(g, name) != getattr(d, name):
                raise UserError(
                    f"generator.{name} is {getattr(g, name)} but discriminator.{name} "
                    f"is {getattr(d, name)}; they see the same pictures."
                )
        if self.schedule.initial_resolution > g.resolution:
            raise UserError(
                f"growth starts at {self.schedule.initial_resolution}, above the final "
                f"resolution {g.resolution}; lower schedule.initial_resolution."
            )
        for name, network in (("generator", g), ("discriminator", d)):
            if (
                network.architecture not in GROWING
                and self.schedule.initial_resolution < g.resolution
            ):
                raise UserError(
                    f"{name}.architecture={network.architecture} does not grow; set "
                    f"schedule.initial_resolution={g.resolution}."
                )

    @property
    def is_dcgan(self) -> bool:
        """True if a network has batch normalization, over the batch of all devices."""
        networks = self.generator, self.discriminator
        return any(network.architecture == "dcgan" for network in networks)

    @property
    def shares_pass(self) -> bool:
        """True if D's and G's step use one pass of G.

        With accumulation D's step would have to keep the activations of all rounds, so
        each step generates the same fakes.
        """
        return self.loss.reuse_fakes and self.accumulate == 1


# Settings that may differ when a run continues: its length, and how much it reports.
RESUMABLE = ("schedule.total_kimg", "snapshot_ticks", "image_ticks", "data")
RESUMABLE += ("metrics", "metrics_every", "features", "checkpoint_minutes")
# Memory for time: the same numbers up to rounding, but for path lengths of rounds.
RESUMABLE += ("recompute", "accumulate")
# "auto" in these is resolved when a run starts; the run then keeps what it has.
SETTLED = ("generator.modulation", "jit")
# Of the presets; runs of earlier versions have one precision throughout.
SETTLED += ("generator.half_resolutions", "discriminator.half_resolutions")
# Chosen when a run starts, by its length then; a longer run keeps its growth.
SETTLED += ("schedule.fit_kimg",)
# Of the data, for people and drawings; runs of earlier versions do not have them.
SETTLED += ("generator.label_examples", "generator.class_names")
