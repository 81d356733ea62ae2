"""What describes a training run: losses, schedule, augmentation, and the rest."""

from dataclasses import dataclass, field

from stylegan_tf.config.networks import GROWING, DiscriminatorConfig, GeneratorConfig
from stylegan_tf.config.sizes import check_choice, check_power, check_range
from stylegan_tf.errors import UserError

GENERATOR_LOSSES = ("logistic_nonsaturating", "logistic_saturating", "wasserstein")
DISCRIMINATOR_LOSSES = ("logistic", "wasserstein", "hinge")
PRECISIONS = ("float32", "bfloat16", "auto")
JIT = ("off", "on", "auto")
AUGMENTATIONS = ("none", "diffaugment", "ada")
POLICIES = ("color", "translation", "cutout")
GROUPS = ("blit", "geom", "color", "filter", "noise", "cutout")
GROUPS += ("bg", "bgc", "bgcf", "bgcfn", "bgcfnc")


@dataclass(frozen=True)
class LossConfig:
    """Losses and penalties (appendix C of the paper; R1 from Mescheder et al. 2018)."""

    g_loss: str = "logistic_nonsaturating"
    d_loss: str = "logistic"
    r1_gamma: float = 10.0  # at the final resolution; at r it is gamma (r / R)^2
    r2_gamma: float = 0.0
    gp_weight: float = 0.0  # WGAN-GP's lambda, usually 10
    gp_target: float = 1.0
    drift: float = 0.0  # weight of E[D(real)^2], usually 0.001 with Wasserstein
    d_reg_interval: int = 1  # penalties every so many steps; 1 = the paper
    pl_weight: float = 0.0  # path length regularization, 2 in StyleGAN2
    pl_decay: float = 0.01  # of the running mean of the path length
    pl_shrink: int = 2  # the batch it is measured on is this many times smaller
    g_reg_interval: int = 1  # path length every so many steps
    reuse_fakes: bool = False  # G's step takes the pictures of D's, a pass of G saved
    lazy: bool = False  # regularize in steps of their own (StyleGAN2, appendix B)

    def __post_init__(self) -> None:
        check_choice("g_loss", self.g_loss, GENERATOR_LOSSES)
        check_choice("d_loss", self.d_loss, DISCRIMINATOR_LOSSES)
        for name in ("d_reg_interval", "g_reg_interval", "pl_shrink"):
            check_range(name, getattr(self, name), 1, 1024)
        for name in ("r1_gamma", "r2_gamma", "gp_weight", "drift", "pl_weight"):
            check_range(name, getattr(self, name), 0, float("inf"))
        check_range("pl_decay", self.pl_decay, 0, 1)
        if self.pl_weight and not self.lazy:
            raise UserError(
                f"loss.pl_weight={self.pl_weight:g} works in steps of its own; set "
                f"loss.lazy=true."
            )

    @property
    def lazy_rates(self) -> tuple[float, float]:
        """What Adam's rates of G and D are corrected by: k / (k + 1), k the interval.

        A network that makes k + 1 steps where it made k learns that much slower, and
        its betas are raised to that power (Karras et al. 2020, appendix B).
        """
        g = self.g_reg_interval if self.lazy and self.pl_weight else 0
        d = self.d_reg_interval if self.lazy and self.has_penalty else 0
        return tuple(k / (k + 1) if k else 1.0 for k in (g, d))

    @property
    def has_penalty(self) -> bool:
        """Whether the discriminator pays any penalty on its gradient."""
        return max(self.r1_gamma, self.r2_gamma, self.gp_weight) > 0


@dataclass(frozen=True)
class ScheduleConfig:
    """Growth, batch size and learning rate as functions of the images seen."""

    initial_resolution: int = 8
    stable_kimg: float = 600.0  # thousands of images at each resolution
    fade_kimg: float = 600.0  # and while the next one fades in
    total_kimg: float = 25000.0
    batch: int = 4  # over all devices
    batch_at: dict[int, int] = field(default_factory=dict)  # resolution -> batch
    max_batch_per_device: dict[int, int] = field(default_factory=dict)
    lr: float = 0.001
    lr_at: dict[int, float] = field(default_factory=dict)
    lr_rampup_kimg: float = 0.0
    tick_kimg: float = 160.0  # one log line and one sheet of pictures
    tick_kimg_at: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_power(self.initial_resolution, "initial_resolution", least=4)
        check_range("batch", self.batch, 1, 1 << 20)
        check_range("total_kimg", self.total_kimg, 0, float("inf"))
        for name, values in (("lr", [self.lr]), ("lr_at", self.lr_at.values())):
            for value in values:
                check_range(name, value, 0, 1)
        if self.stable_kimg < 0 or self.fade_kimg < 0:
            raise UserError("stable_kimg and fade_kimg cannot be negative.")


@dataclass(frozen=True)
class AugmentConfig:
    """What the discriminator's pictures go through, real and generated alike.

    DiffAugment (Zhao et al. 2020) or ADA (Karras et al. 2020), whose probability
    follows how sure the discriminator is of the real pictures.
    """

    kind: str = "none"  # or one of AUGMENTATIONS
    groups: str = "bgc"  # ADA: blit, geom, color, bg, bgc, bgcf, bgcfn, bgcfnc
    policy: tuple[str, ...] = ("color", "translation", "cutout")  # DiffAugment
    p: float = 0.0  # ADA: the probability it starts with, or keeps
    adapt: bool = True  # ADA: let p follow the target
    target: float = 0.6  # mean sign of D(real) that p aims at
    kimg: float = 500.0  # thousand images in which p may go from 0 to 1
    interval: int = 4  # steps between two changes of p

    def __post_init__(self) -> None:
        check_choice("augment.kind", self.kind, AUGMENTATIONS)
        check_choice("augment.groups", self.groups, GROUPS)
        check_range("augment.p", self.p, 0, 1)
        check_range("augment.target", self.target, -1, 1)
        check_range("augment.kimg", self.kimg, 1e-3, float("inf"))
        check_range("augment.interval", self.interval, 1, 1024)
        for name in self.policy:
            check_choice("augment.policy", name, POLICIES)


@dataclass(frozen=True)
class TrainConfig:
    """A whole run: what it trains, on what, how, and what it tells."""

    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    preset: str = "custom"
    data: str = "demo"
    labels: str = "none"  # "auto" trains a conditional model
    init: str = ""  # model that the weights start from
    mirror: bool = False  # flip half of the real pictures
    adam_beta1: float = 0.0
    adam_beta2: float = 0.99
    adam_epsilon: float = 1e-8
    ema_kimg: float = 10.0  # half-life of the generator's moving average
    ema_rampup: float = 0.0  # the half-life is at most this share of the images seen
    accumulate: int = 1  # rounds a step is split into, to fit a small device
    recompute: bool = False  # less memory: gradients compute maps again
    precision: str = "float32"  # "auto" is settled by the device, see `devices`
    jit: str = "off"  # compile the step by XLA; "auto": on one GPU
    seed: int = 0
    deterministic: bool = False
    snapshot_ticks: int = 10  # ticks between checkpoints
    image_ticks: int = 1  # ticks between sheets of pictures
    metrics: tuple[str, ...] = ()  # measured while it trains; the first picks a model
    metrics_every: float = 200.0  # thousands of images between two measurements
    features: str = "builtin"  # network that they are measured in

    def __post_init__(self) -> None:
        check_choice("precision", self.precision, PRECISIONS)
        check_choice("jit", self.jit, JIT)
        check_range("accumulate", self.accumulate, 1, 4096)
        check_range("metrics_every", self.metrics_every, 1e-3, float("inf"))
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
    def shares_pass(self) -> bool:
        """Whether both steps use one pass of G.

        Steps in turn would have to keep those of all rounds.
        """
        return self.loss.reuse_fakes and self.accumulate == 1


# What may differ when a run continues: its length, and how much it reports.
RESUMABLE = ("schedule.total_kimg", "snapshot_ticks", "image_ticks", "data")
RESUMABLE += ("metrics", "metrics_every", "features")
# And how it fits its device: the same numbers up to rounding.
RESUMABLE += ("recompute",)
# "auto" in these is resolved when a run starts; they keep the numbers, up to rounding.
SETTLED = ("generator.modulation", "jit")
