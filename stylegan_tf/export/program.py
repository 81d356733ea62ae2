"""The parts of a generator as plain functions, from which every format is exported.

    z --map--> w --styles--> ws --synthesize--> images

Truncation of a conditional model pulls w towards the mean of its class, as `sampling`
does; the means are computed once and become constants of the file.
"""

from collections.abc import Callable, Iterable

import tensorflow as tf
from tensorflow.types.experimental import ConcreteFunction, PolymorphicFunction

from stylegan_tf import sampling
from stylegan_tf.errors import UserError
from stylegan_tf.networks import ops
from stylegan_tf.networks.generator import Generator, plain_copy

PSI = 0.7  # the default of exported functions


class Program:
    """A generator at one resolution with one kind of noise.

    StyleGAN2's modulated convolution scales feature maps instead of kernels here: equal
    numbers, in operations that every runtime has.

    Args:
        generator: any; a float32 copy is used where needed.
        resolution: of the images; None = the highest that the model has learned.
        noise: "const" (the stored noise maps), "none", or "random": new for every
            image, or from its seed in `generate_seeds`.

    Raises:
        UserError: a resolution or noise that the model does not have.
    """

    def __init__(
        self,
        generator: Generator,
        resolution: int | None = None,
        noise: str = "const",
    ):
        sampling.check_noise(generator.config, noise)
        if generator.config.modulation == "kernels":
            generator = plain_copy(generator, modulation="maps")
        elif generator.dtype_policy.name != "float32":
            generator = plain_copy(generator)
        self.generator, self.config = generator, generator.config
        self.resolution = resolution_of(generator, resolution)
        self.noise = noise
        self.shapes = self.config.noise_shapes(self.resolution)
        self.center = truncation_center(generator)
        self._parts: dict = {}  # by batch size
        # Compiled here, so that several signatures share one trace.
        self.styles = tf.function(self._styles, autograph=False)
        self.synthesize = tf.function(self._synthesize, autograph=False)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images."""
        return (*self.config.shape(self.resolution), self.config.channels)

    def specs(self, batch: int | None = None) -> dict[str, tf.TensorSpec]:
        """Returns name -> input; `labels` only for a conditional model."""
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
        """Returns `generate`, `map` and `synthesize` for ONNX and LiteRT.

        Images are returned twice: `images` as uint8, `floats` nominally in [-1, 1].

        Args:
            batch: images per call; None = any number.
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

        parts = {
            "generate": (generate, [*first, psi]),
            "map": (mapping, first),
            "synthesize": (synthesize, [specs["ws"]]),
        }
        return {
            name: tf.function(part, input_signature=inputs, autograph=False)
            for name, (part, inputs) in parts.items()
        }

    def map(self, z: tf.Tensor, labels: tf.Tensor | None = None) -> tf.Tensor:
        """Returns w [N, w_dim]."""
        return self.generator.mapping(z, labels)

    def _styles(self, z, labels, psi) -> tf.Tensor:
        """Returns truncated styles [N, num_styles, w_dim]; psi is [] or [N]."""
        g = self.generator
        ws = g.broadcast(g.mapping(z, labels))
        return g.truncate(ws, tf.reshape(psi, [-1, 1, 1]), center=self.center(labels))

    def _synthesize(self, ws, maps=None) -> tf.Tensor:
        """Returns images [N, H, W, C], nominally in [-1, 1]."""
        noise = maps or self.noise
        return self.generator.synthesis(ws, noise=noise, resolution=self.resolution)

    def generate(
        self,
        z: tf.Tensor,
        labels: tf.Tensor | None,
        psi: tf.Tensor,
        maps: list[tf.Tensor] | None = None,
    ) -> tf.Tensor:
        """Returns images [N, H, W, C], nominally in [-1, 1].

        Args:
            z: [N, z_dim].
            labels: one-hot [N, classes]; None for an unconditional model.
            psi: truncation, [] or [N].
            maps: noise maps [N, H, W, 1] per layer; None = the program's noise.
        """
        return self.synthesize(self.styles(z, labels, psi), maps)

    def noise_of(self, seeds: tf.Tensor) -> list[tf.Tensor] | None:
        """Returns noise maps [N, H, W, 1] per layer; None unless noise is random."""
        if self.noise != "random" or not self.shapes:
            return None
        return [
            stateless_normal(seeds, i + 1, (*s, 1)) for i, s in enumerate(self.shapes)
        ]


def stateless_normal(
    seeds: tf.Tensor, stream: int, shape: tuple[int, ...]
) -> tf.Tensor:
    """Returns standard normal numbers per seed, by TensorFlow's stateless generator.

    Args:
        seeds: int64 [N].
        stream: sequence of the seed: 0 for z, then one per layer's noise.
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
    """Returns the variables that traced functions read, without untrained layers."""
    used = {id(v): v for f in functions for v in f.graph.variables}
    return list(used.values())


def _twice(images: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"images": ops.uint8_images(images), "floats": images}


def resolution_of(generator: Generator, resolution: int | None) -> int:
    """Returns the resolution of the images.

    Raises:
        UserError: the model has not learned this resolution.
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


def truncation_center(
    generator: Generator,
) -> Callable[[tf.Tensor | None], tf.Tensor | None]:
    """Returns a function from labels to the center of truncation, [N, 1, w_dim].

    It is the mean w of the class for one-hot labels, and of all images otherwise; None
    for an unconditional model.
    """
    classes = generator.config.classes
    if not classes:
        return lambda labels: None
    if generator.config.label_examples:  # vectors: any may come, w_avg serves all
        return lambda labels: tf.convert_to_tensor(generator.w_avg)[None, None]
    # As many latents as in `sampling.draw`, fewer for very many classes.
    count = min(sampling.CENTER_LATENTS, max(1_000_000 // classes, 1000))
    centers = sampling.class_centers(generator, count=count)

    def center(labels):
        ones = tf.reduce_sum(tf.cast(labels == 1, tf.int32), axis=1, keepdims=True)
        zeros = tf.reduce_sum(tf.cast(labels == 0, tf.int32), axis=1, keepdims=True)
        one_hot = (ones == 1) & (zeros == classes - 1)
        means = tf.matmul(labels, tf.constant(centers))  # in the graph, not an input
        return tf.where(one_hot, means, tf.convert_to_tensor(generator.w_avg))[:, None]

    return center
