"""Trains the feature network `builtin`.

`train_on_demo` makes the shipped weights. It learns the factors of the demo's faces
from images that no data set holds. In training every layer is followed by batch
normalization (Ioffe & Szegedy 2015), which `fold_normalization` merges into the
weights.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from stylegan_tf.data import demo
from stylegan_tf.metrics.features.builtin import (
    CONVOLUTIONS,
    SIDE,
    SIZE,
    BuiltinFeatures,
    Head,
    resize_inputs,
)
from stylegan_tf.progress import ProgressBar

# Data sets of the demo use seed 0, so none of them holds these images.
TRAIN_SEED, HELD_OUT_SEED = 1, 2
SIZES = {64: 0.5, 32: 0.3, 16: 0.2}  # pixels per side -> share of the images
COUNT, EPOCHS, BATCH, RATE = 24_000, 10, 64, 2e-3
MOMENTUM, EPSILON = 0.95, 1e-3  # of batch normalization

Batch = tuple[tf.Tensor, ...]
DEMO_HEADS = tuple(
    Head(name, len(f.names), f.low, f.high) for name, f in demo.FACTORS.items()
)


def trainable_network(channels: int, outputs: int, seed: int = 0) -> keras.Model:
    """Returns the network in the form that is trained.

    Args:
        channels: of the images.
        outputs: columns of the heads.
        seed: of the weights.

    Returns:
        A model from float [N, 64, 64, channels] in [0, 255] to features [N, 128] and
        heads [N, outputs].
    """
    kernels = initializers(seed)
    images = keras.Input((SIDE, SIDE, channels))
    x = layers.Rescaling(1 / 127.5, -1)(images)
    for i, (kernel, stride, maps, pool) in enumerate(CONVOLUTIONS):
        convolution = layers.Conv2D(
            maps,
            kernel,
            stride,
            "same",
            use_bias=False,
            kernel_initializer=next(kernels),
            name=f"conv{i}",
        )
        x = layers.ReLU()(_normalized(convolution(x), f"conv{i}"))
        x = layers.AveragePooling2D(pool)(x) if pool > 1 else x
    dense = layers.Dense(
        SIZE, use_bias=False, kernel_initializer=next(kernels), name="dense"
    )
    features = layers.ReLU()(_normalized(dense(layers.Flatten()(x)), "dense"))
    heads = layers.Dense(outputs, kernel_initializer=next(kernels), name="heads")
    return keras.Model(images, [features, heads(features)])


def initializers(seed: int) -> Iterator[keras.initializers.Initializer]:
    """Yields seeded initializers, independent of Keras' global seed."""
    stream = random.Random(seed)
    while True:
        yield keras.initializers.GlorotUniform(stream.randint(1, 10**9))


def _normalized(x, name: str):
    norm = layers.BatchNormalization(
        momentum=MOMENTUM, epsilon=EPSILON, name=f"{name}_norm"
    )
    return norm(x)


def fold_normalization(model: keras.Model) -> dict[str, np.ndarray]:
    """Merges batch normalization into the kernels; returns `BuiltinFeatures`' weights.

    gamma (k * x - mean) / deviation + beta = (k gamma / deviation) * x + bias.
    """
    weights = {}
    for name in [*(f"conv{i}" for i in range(len(CONVOLUTIONS))), "dense"]:
        kernel = model.get_layer(name).kernel.numpy()
        norm = model.get_layer(f"{name}_norm")
        scale = norm.gamma.numpy() / np.sqrt(norm.moving_variance.numpy() + EPSILON)
        weights[f"{name}/kernel"] = kernel * scale
        weights[f"{name}/bias"] = norm.beta.numpy() - norm.moving_mean.numpy() * scale
    weights["heads/kernel"], weights["heads/bias"] = model.get_layer(
        "heads"
    ).get_weights()
    return weights


# ---------------------------------------------------------------------------
# The training loop


def fit_network(
    variables: Sequence[keras.Variable],
    loss: Callable[[Batch], tf.Tensor],
    batches: Iterator[Batch],
    steps: int,
    rate: float = RATE,
    progress: bool = False,
    title: str = "training",
) -> list[float]:
    """Minimizes a loss by Adam with a cosine learning-rate schedule.

    Args:
        variables: the trained variables.
        loss: maps a batch to a scalar; it calls models with training=True.
        batches: at least `steps` batches, all of one shape.
        steps: of training.
        rate: the highest learning rate.
        progress: show a bar.
        title: of the bar.

    Returns:
        The loss of each step.
    """
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=rate, warmup_steps=min(100, steps // 10)
    )
    optimizer = keras.optimizers.Adam(schedule)
    optimizer.build(variables)

    @tf.function(autograph=False)
    def step(batch):
        with tf.GradientTape() as tape:
            value = loss(batch)
        gradients = tape.gradient(value, [v.value for v in variables])
        optimizer.apply(gradients, variables)
        return value

    bar = ProgressBar(title=title, shown=progress, total=steps, unit="step")
    history = []
    with bar:
        for _, batch in zip(range(steps), batches, strict=False):
            history.append(float(step(batch)))
            bar.update()
    return history


def head_loss(heads: Sequence[Head], outputs: tf.Tensor, truth: tf.Tensor) -> tf.Tensor:
    """Returns the mean loss of the heads, each scaled so that chance costs 1.

    Args:
        heads: in the order of the outputs.
        outputs: float [N, outputs].
        truth: float [N, len(heads)], a value's index, or a number in [-1, 1].

    Returns:
        A scalar: the mean over heads of cross-entropy / log(values), or of squared
        error / variance, where the variance of uniform numbers in [-1, 1] is 1/3.
    """
    losses, start = [], 0
    for i, head in enumerate(heads):
        columns, targets = outputs[:, start : start + head.width], truth[:, i]
        if head.values:
            entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(
                tf.cast(targets, tf.int32), columns
            )
            losses.append(tf.reduce_mean(entropy) / np.log(max(head.values, 2)))
        else:
            losses.append(3 * tf.reduce_mean(tf.square(columns[:, 0] - targets)))
        start += head.width
    return tf.add_n(losses) / len(losses)


# ---------------------------------------------------------------------------
# The shipped network


def train_on_demo(
    count: int = COUNT, epochs: int = EPOCHS, seed: int = 0, progress: bool = False
) -> dict[str, np.ndarray]:
    """Trains on the demo's faces; returns the weights.

    With TensorFlow's deterministic operations the same arguments give the same weights
    to the last bit on the same machine. Other machines round sums in another order.

    Args:
        count: number of images, drawn at 64, 32 and 16 pixels.
        epochs: passes over the images, slightly transformed each time.
        seed: of weights, order and transforms.
        progress: show bars.
    """
    images, truth = mixed_faces(count, TRAIN_SEED, progress)
    model = trainable_network(3, sum(head.width for head in DEMO_HEADS), seed)

    def loss(batch):
        pixels, targets, parameters, noise = batch
        inputs = apply_transforms(pixels, parameters, noise)
        return head_loss(DEMO_HEADS, model(inputs, training=True)[1], targets)

    def batches():
        rng = np.random.default_rng(seed)
        for _ in range(epochs):
            for rows in np.split(rng.permutation(count), range(BATCH, count, BATCH)):
                if len(rows) == BATCH:
                    parameters = sample_transforms(rng, BATCH, SLIGHT)
                    noise = tf.constant(rng.integers(2**31, size=2), tf.int32)
                    yield tf.constant(images[rows]), truth[rows], parameters, noise

    steps = epochs * (count // BATCH)
    fit_network(model.trainable_variables, loss, batches(), steps, progress=progress)
    return fold_normalization(model)


def mixed_faces(
    count: int, seed: int, progress: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Draws faces of all `SIZES`, resized to the network's input, and their factors.

    Returns:
        uint8 [count, 64, 64, 3], float32 [count, factors].
    """
    edges = np.round(np.cumsum([0, *SIZES.values()]) * count).astype(int)
    parts = [
        demo_faces(range(a, b), size, seed, progress)
        for size, a, b in zip(SIZES, edges, edges[1:], strict=False)
    ]
    inputs = [np.round(_resized(images)).astype(np.uint8) for images, _ in parts]
    return np.concatenate(inputs), np.concatenate([truth for _, truth in parts])


def demo_faces(
    indices: Sequence[int], size: int, seed: int, progress: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Draws faces of the demo at one size, and their factors for `head_loss`.

    Returns:
        uint8 [N, size, size, 3], float32 [N, factors].
    """
    bar = ProgressBar(indices, f"drawing at {size}", progress, unit="picture")
    images = [demo.draw_face(i, size, seed=seed) for i in bar]
    truth = [factor_targets(demo.factors(i, seed)) for i in indices]
    shape = (0, size, size, 3)
    return np.array(images or np.zeros(shape), np.uint8), np.array(truth, np.float32)


def factor_targets(values: Mapping[str, int | float]) -> list[float]:
    """Returns a face's factors: value indices, and numbers scaled to [-1, 1]."""
    return [
        values[h.name]
        if h.values
        else 2 * (values[h.name] - h.low) / (h.high - h.low) - 1
        for h in DEMO_HEADS
    ]


def _resized(images: np.ndarray) -> np.ndarray:
    parts = [
        resize_inputs(images[i : i + 500]).numpy() for i in range(0, len(images), 500)
    ]
    return np.concatenate(parts or [np.zeros((0, SIDE, SIDE, 3), np.float32)])


def factor_scores(
    network: BuiltinFeatures, images: np.ndarray, truth: np.ndarray
) -> dict[str, float]:
    """Measures how well a network reads the factors of held-out faces.

    Args:
        network: one with the demo's heads.
        images: see `demo_faces`.
        truth: see `demo_faces`.

    Returns:
        Factor -> accuracy in [0, 1], or R2 = 1 - squared error / variance.
    """
    factors, scores = network.factors(images), {}
    for i, head in enumerate(DEMO_HEADS):
        found = factors[head.name]
        if head.values:
            scores[head.name] = float(np.mean(found.argmax(axis=1) == truth[:, i]))
            continue
        real = head.low + (truth[:, i] + 1) / 2 * (head.high - head.low)
        scores[head.name] = float(1 - np.mean((found - real) ** 2) / np.var(real))
    return scores


# ---------------------------------------------------------------------------
# Random transforms

TRANSFORMS = ("right", "down", "zoom", "turn", "light", "contrast", "blur", "noise")
ONE_SIDED = ("blur", "noise")  # in [0, largest]; the others in [-largest, largest]
# Largest parameters: pixels of 64, pixels, log of the factor, radians, gray levels,
# log of the factor, share of the blurred image, standard deviation in gray levels.
SLIGHT = (1.0, 1.0, 0.02, 0.0, 6.0, 0.06, 0.5, 6.0)
STRONG = (8.0, 8.0, 0.2, 0.25, 30.0, 0.3, 1.0, 24.0)


def sample_transforms(
    rng: np.random.Generator, n: int, largest: Sequence[float]
) -> np.ndarray:
    """Samples uniform transform parameters of n images, float32 [n, 8]."""
    low = [0.0 if name in ONE_SIDED else -1.0 for name in TRANSFORMS]
    return (rng.uniform(low, 1.0, (n, len(TRANSFORMS))) * largest).astype(np.float32)


def apply_transforms(
    images: tf.Tensor, parameters: tf.Tensor, seed: tf.Tensor
) -> tf.Tensor:
    """Transforms images, each by its own parameters.

    Args:
        images: [N, H, W, C] in [0, 255].
        parameters: float [N, 8], in the order of `TRANSFORMS`.
        seed: int [2], of the noise.

    Returns:
        float32 [N, H, W, C] in [0, 255].
    """
    x = tf.cast(images, tf.float32)
    parameters = tf.cast(parameters, tf.float32)
    *_, light, contrast, blur, noise = (
        c[:, None, None, None] for c in tf.unstack(parameters, axis=1)
    )
    x = _moved(x, parameters)
    x += blur * (_blurred(x) - x)
    x = (x - 127.5) * tf.exp(contrast) + 127.5 + light
    x += noise * tf.random.stateless_normal(tf.shape(x), seed)
    return tf.clip_by_value(x, 0.0, 255.0)


def _moved(x: tf.Tensor, parameters: tf.Tensor) -> tf.Tensor:
    """Rotates and scales about the center, then shifts; mirrors at the border."""
    right, down, zoom, turn = tf.unstack(parameters[:, :4], axis=1)
    middle_x, middle_y = ((s - 1) / 2 for s in (x.shape[2], x.shape[1]))
    # Rows of the inverse map, from output to input coordinates.
    cos, sin = (f(turn) * tf.exp(-zoom) for f in (tf.cos, tf.sin))
    from_x, from_y = middle_x + right, middle_y + down
    zero = tf.zeros_like(cos)
    rows = [cos, sin, middle_x - cos * from_x - sin * from_y]
    rows += [-sin, cos, middle_y + sin * from_x - cos * from_y, zero, zero]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=x,
        transforms=tf.stack(rows, axis=1),
        output_shape=tf.constant(list(x.shape[1:3])),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )


def _blurred(x: tf.Tensor) -> tf.Tensor:
    """Applies a 3 x 3 mean twice; padding does not count at the border."""
    for _ in range(2):
        x = tf.nn.avg_pool2d(x, 3, 1, "SAME")
    return x
