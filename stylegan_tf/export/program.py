"""What an exported file computes: the parts of a generator as plain functions.

    z --map--> w --styles--> ws --synthesize--> pictures

Every format is made from these, so that all of them draw the same. Truncation of a
conditional model pulls a picture towards the mean w of its own class, as `sampling`
does; the means are computed once and become constants of the file.
"""

import dataclasses
from collections.abc import Iterable

import tensorflow as tf
from tensorflow.types.experimental import ConcreteFunction, PolymorphicFunction

from stylegan_tf import sampling
from stylegan_tf.errors import UserError
from stylegan_tf.networks import ops
from stylegan_tf.networks.generator import Generator

NOISES = ("const", "none", "random")
PSI = 0.7  # where a caller may leave it out


def plain_copy(generator: Generator, **changes) -> Generator:
    """The same weights in a float32 generator outside any distribution strategy.

    Args:
        generator: any.
        changes: settings of the copy that do not change its weights.
    """
    config = dataclasses.replace(generator.config, **changes)
    copy = Generator(config, generator.growth, dtype="float32")
    for mine, theirs in zip(copy.weights, generator.weights, strict=True):
        mine.assign(theirs.numpy())
    return copy


class Program:
    """A generator with everything settled but its inputs.

    StyleGAN2's modulated convolution scales feature maps here, whatever the model was
    trained with: the same numbers, in operations that every runtime has.

    Args:
        generator: any; a float32 copy is used where need be.
        resolution: level to draw at; None = the highest that the model has learned.
        noise: "const" (the stored maps), "none", or "random": fresh for every picture,
            or drawn from its seed where it has one.

    Raises:
        UserError: a resolution or noise that the model does not have.
    """

    def __init__(
        self,
        generator: Generator,
        resolution: int | None = None,
        noise: str = "const",
    ):
        if noise not in NOISES:
            raise UserError(f"noise is {noise!r}; choose {', '.join(NOISES)}.")
        if generator.config.modulation == "kernels":
            generator = plain_copy(generator, modulation="maps")
        elif generator.dtype_policy.name != "float32":
            generator = plain_copy(generator)
        self.generator, self.config = generator, generator.config
        self.resolution = level_of(generator, resolution)
        self.noise = noise
        self.shapes = self.config.noise_shapes(self.resolution)
        self.center = center_of(generator)
        self._parts: dict = {}  # by batch size
        # Functions of their own: traced once, however many signatures call them.
        self.styles = tf.function(self._styles, autograph=False)
        self.synthesize = tf.function(self._synthesize, autograph=False)

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of what is drawn."""
        return (*self.config.shape(self.resolution), self.config.channels)

    def specs(self, batch: int | None = None) -> dict[str, tf.TensorSpec]:
        """Inputs by name; `labels` only of a conditional model."""
        c = self.config
        shapes = {"z": (c.z_dim,), "labels": (c.classes,)}
        shapes["ws"] = (c.num_styles, c.w_dim)
        if not c.classes:
            del shapes["labels"]
        return {
            name: tf.TensorSpec([batch, *shape], tf.float32, name)
            for name, shape in shapes.items()
        }

    def parts(self, batch: int | None = None) -> dict[str, PolymorphicFunction]:
        """`generate`, `map` and `synthesize`, as runtimes other than TensorFlow's get.

        Pictures leave twice: `images` are uint8, `floats` nominally in [-1, 1].

        Args:
            batch: pictures a call; None = any number.
        """
        if batch not in self._parts:
            self._parts[batch] = self._traced(self.specs(batch))
        return self._parts[batch]

    def _traced(
        self, specs: dict[str, tf.TensorSpec]
    ) -> dict[str, PolymorphicFunction]:
        first = [s for name, s in specs.items() if name != "ws"]
        psi = tf.TensorSpec([], tf.float32, "psi")

        def generate(z, *rest):
            *label, psi = rest
            return _twice(self.generate(z, label[0] if label else None, psi))

        def synthesize(ws):
            return _twice(self.synthesize(ws))

        def mapping(z, *label):
            return {"w": self.map(z, *label)}

        made = {
            "generate": (generate, [*first, psi]),
            "map": (mapping, first),
            "synthesize": (synthesize, [specs["ws"]]),
        }
        return {
            name: tf.function(part, input_signature=inputs, autograph=False)
            for name, (part, inputs) in made.items()
        }

    def map(self, z, labels=None) -> tf.Tensor:
        """w [N, w_dim]."""
        return self.generator.mapping(z, labels)

    def _styles(self, z, labels, psi) -> tf.Tensor:
        """Truncated styles [N, num_styles, w_dim]; psi is one number, or one each."""
        g = self.generator
        ws = g.broadcast(g.mapping(z, labels))
        return g.truncate(ws, tf.reshape(psi, [-1, 1, 1]), center=self.center(labels))

    def _synthesize(self, ws, maps=None) -> tf.Tensor:
        """Pictures [N, H, W, C], nominally in [-1, 1]."""
        noise = maps or self.noise
        return self.generator.synthesis(ws, noise=noise, resolution=self.resolution)

    def generate(self, z, labels, psi, maps=None) -> tf.Tensor:
        """Pictures [N, H, W, C], nominally in [-1, 1]."""
        return self.synthesize(self.styles(z, labels, psi), maps)

    def maps_of(self, seeds: tf.Tensor) -> list[tf.Tensor] | None:
        """The noise maps of seeds, [N, H, W, 1] a layer; None but for random noise."""
        if self.noise != "random" or not self.shapes:
            return None
        return [normal(seeds, i + 1, (*s, 1)) for i, s in enumerate(self.shapes)]


def normal(seeds: tf.Tensor, stream: int, shape: tuple[int, ...]) -> tf.Tensor:
    """Standard normal numbers of each seed, by TensorFlow's stateless generator.

    Args:
        seeds: int64 [N].
        stream: int, which of a seed's sequences: 0 is z, then the layers' noise.
        shape: of one example.

    Returns:
        float32 [N, *shape].
    """
    return tf.map_fn(
        lambda seed: tf.random.stateless_normal(shape, tf.stack([seed, stream])),
        seeds,
        fn_output_signature=tf.TensorSpec(shape, tf.float32),
    )


def variables_of(functions: Iterable[ConcreteFunction]) -> list[tf.Variable]:
    """What traced functions read: no layers that have not been trained."""
    used = {id(v): v for f in functions for v in f.graph.variables}
    return list(used.values())


def _twice(images: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"images": ops.uint8_images(images), "floats": images}


def level_of(generator: Generator, resolution: int | None) -> int:
    """The level to draw at.

    Raises:
        UserError: the model does not draw there.
    """
    c = generator.config
    learned = generator.growth.resolution
    if resolution in (None, learned):
        return learned
    grows = c.architecture in ("stylegan", "revised")
    known = [4 << i for i in range(16) if 4 << i <= learned] if grows else [learned]
    if resolution not in known:
        levels = ", ".join(map(str, known))
        raise UserError(f"resolution {resolution}: the model draws at {levels}.")
    return resolution


def center_of(generator: Generator):
    """What truncation pulls pictures of some labels towards, [N, 1, w_dim].

    The mean of the class, where labels name one; that of all classes elsewhere.
    """
    classes = generator.config.classes
    if not classes:
        return lambda labels: None
    # As many latents as `sampling.draw` takes, but for very many classes.
    count = min(sampling.CENTER_LATENTS, max(1_000_000 // classes, 1000))
    centers = sampling.class_centers(generator, count=count)

    def center(labels):
        ones = tf.reduce_sum(tf.cast(labels == 1, tf.int32), axis=1, keepdims=True)
        zeros = tf.reduce_sum(tf.cast(labels == 0, tf.int32), axis=1, keepdims=True)
        one_hot = (ones == 1) & (zeros == classes - 1)
        own = tf.matmul(labels, tf.constant(centers))  # in the graph, not an input
        return tf.where(one_hot, own, tf.convert_to_tensor(generator.w_avg))[:, None]

    return center
