"""What every registered layer and network must be able to do, one list for all.

Rebuild from its config, say its output shape, run traced, travel through `.keras` and
`tf.train.Checkpoint`, compute in bfloat16 with float32 weights, run on two replicas,
and give every trainable weight a gradient. A new class joins by one line in `SPECS`.
"""

import dataclasses
import functools
import importlib
import json
import os
import pkgutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from golden import close

from stylegan_tf import networks
from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig
from stylegan_tf.config.networks import MODULATIONS, STYLEGAN2
from stylegan_tf.config.stylegan3 import StyleGAN3Config
from stylegan_tf.devices import make_strategy
from stylegan_tf.networks import layers
from stylegan_tf.networks.dcgan import DCGANDiscriminator, DCGANSynthesis
from stylegan_tf.networks.discriminator import (
    Discriminator,
    DiscriminatorBlock,
    DiscriminatorHead,
)
from stylegan_tf.networks.encoder import Encoder, StyleHead, backbone_config
from stylegan_tf.networks.generator import Generator
from stylegan_tf.networks.growing import SynthesisNetwork
from stylegan_tf.networks.mapping import Mapping
from stylegan_tf.networks.stylegan2 import (
    ModulatedConv2D,
    ModulatedToRGB,
    StyledConv2D,
    StyleGAN2Block,
    StyleGAN2Synthesis,
)
from stylegan_tf.networks.stylegan3 import (
    FilteredLayer,
    FourierFeatures,
    StyleGAN3Synthesis,
)
from stylegan_tf.networks.synthesis import Synthesis, SynthesisBlock

ROOT = Path(__file__).parents[1]
N = 4  # examples; a group of the minibatch statistic on each of two replicas is 2
TINY = {"resolution": 8, "fmap_base": 16, "fmap_max": 4, "classes": 3}
G = GeneratorConfig(**TINY, z_dim=6, w_dim=6, mapping_width=6, mapping_layers=2)
D = DiscriminatorConfig(**TINY, mbstd_group=2)
PLAIN = dataclasses.replace(
    G,
    use_styles=False,
    const_input=False,
    use_noise=False,
    use_pixel_norm=True,
    use_instance_norm=False,
)
X, W, NOISE = (N, 8, 8, 4), (N, 6), (N, 8, 8, 1)
FADING = {"alpha": 0.5}  # so that no weight is idle
CONST = {"noise": "const"}


def g_of(architecture, **changes):
    return dataclasses.replace(G, architecture=architecture, **changes)


def d_of(architecture, **changes):
    return dataclasses.replace(D, architecture=architecture, **changes)


@dataclass(eq=False)
class Spec:
    """One way to make a layer, and what to call it with."""

    cls: type
    inputs: list  # shapes of the positional arguments, nested as they are
    kwargs: dict = field(default_factory=dict)
    options: dict = field(default_factory=dict)  # keyword arguments of the call
    float32: bool = False  # the output is, under any policy
    variant: str = ""

    @property
    def name(self):
        return f"{self.cls.__name__} {self.variant}".strip()


SPECS = [
    Spec(layers.EqualizedDense, [(N, 6)], {"units": 5}),
    Spec(layers.EqualizedDense, [(N, 6)], {"units": 5, "lrmul": 0.01}, variant="slow"),
    Spec(layers.EqualizedConv2D, [X], {"filters": 5}),
    Spec(layers.EqualizedConv2D, [X], {"filters": 5, "resample": "up"}, variant="up"),
    Spec(
        layers.EqualizedConv2D,
        [X],
        {"filters": 5, "kernel_size": 1, "resample": "down", "use_bias": False},
        variant="down",
    ),
    Spec(layers.LearnedConstant, [W], {"shape": (4, 6, 3)}),
    Spec(layers.ScaledNoise, [X, NOISE]),
    Spec(layers.Bias, [X]),
    Spec(layers.AdaIN, [X, W]),
    Spec(layers.AdaIN, [X, W], {"normalize": False}, variant="modulation"),
    Spec(layers.Epilogue, [X, W, NOISE]),
    Spec(
        layers.Epilogue,
        [X, W, NOISE],
        {"noise_position": "after_adain", "use_pixel_norm": True, "activation": "relu"},
        variant="after_adain",
    ),
    Spec(layers.ToRGB, [X], {"channels": 3}, float32=True),
    Spec(layers.FromRGB, [(N, 8, 8, 3)], {"filters": 5, "activation": "relu"}),
    Spec(layers.MinibatchStddev, [X], {"group": 2, "features": 2}),
    Spec(Mapping, [(N, 6), (N, 3)], {"config": G}, float32=True),
    Spec(
        SynthesisBlock,
        [(N, 6), [W, W], [(N, 4, 4, 1)] * 2],
        {"config": G, "resolution": 4},
        variant="4",
    ),
    Spec(
        SynthesisBlock,
        [(N, 4, 4, 4), [W, W], [(N, 8, 8, 1)] * 2],
        {"config": G, "resolution": 8},
        variant="8",
    ),
    Spec(Synthesis, [(N, 4, 6)], {"config": G}, CONST | FADING, float32=True),
    Spec(Generator, [(N, 6), (N, 3)], {"config": G}, CONST | FADING, float32=True),
    Spec(
        Generator,
        [(N, 6), (N, 3)],
        {"config": PLAIN},
        CONST | FADING,
        float32=True,
        variant="traditional",
    ),
    Spec(DiscriminatorBlock, [X], {"config": D, "resolution": 8}),
    Spec(DiscriminatorHead, [(N, 4, 4, 4), (N, 3)], {"config": D}, float32=True),
    Spec(Discriminator, [(N, 8, 8, 3), (N, 3)], {"config": D}, FADING, float32=True),
]


def more(cls, inputs, variant="", options=None, **kwargs):
    """As `Spec`, shorter."""
    return Spec(cls, inputs, kwargs, options or {}, cls in FLOAT32, variant)


FIR = (1, 3, 3, 1)
FLOAT32 = (ModulatedToRGB, StyleGAN2Synthesis, DCGANSynthesis)
FLOAT32 += (Generator, Discriminator, DCGANDiscriminator)
FLOAT32 += (Encoder, StyleHead)
FLOAT32 += (FourierFeatures, StyleGAN3Synthesis, Mapping, DiscriminatorHead)
SKIP, DCGAN = g_of("skip"), g_of("dcgan", mapping_layers=0, w_dim=12)
Z, FACES, LABELS, WS = (N, 6), (N, 8, 8, 3), (N, 3), (N, 4, 6)
Y, WIDE_NOISE = (N, 4, 4, 4), (N, 16, 16, 1)

SPECS += [
    more(layers.EqualizedConv2D, [X], "taps", filters=5, resample="up", taps=FIR),
    more(
        layers.EqualizedConv2D,
        [X],
        "down taps",
        filters=5,
        kernel_size=1,
        resample="down",
        taps=FIR,
        use_bias=False,
    ),
    more(layers.LearnedConstant, [W], "normal", shape=(4, 6, 3), initializer="normal"),
    more(layers.ScaledNoise, [X, NOISE], "one weight", per_channel=False),
    more(layers.ScaledNoise, [X, NOISE], "slow", lrmul=0.01),
    more(ModulatedConv2D, [X, W], "plain", filters=5, demodulate=False),
    more(ModulatedToRGB, [X, W], channels=3),
    more(StyledConv2D, [X, W, NOISE], config=SKIP, filters=5),
    more(StyledConv2D, [X, W, WIDE_NOISE], "up", config=SKIP, filters=5, resample="up"),
    more(StyleGAN2Block, [Z, [W], [(N, 4, 4, 1)]], "4", config=SKIP, resolution=4),
    more(DCGANSynthesis, [(N, 1, 12)], config=DCGAN),
    more(Generator, [Z, LABELS], "dcgan", config=DCGAN),
    more(DCGANDiscriminator, [FACES, LABELS], config=d_of("dcgan")),
    more(DCGANDiscriminator, [FACES], "no labels", config=d_of("dcgan", classes=0)),
    more(
        Discriminator,
        [FACES, LABELS],
        "projection",
        FADING,
        config=d_of("stylegan", conditioning="projection"),
    ),
]
# StyleGAN2-ADA's labels and clamps, StyleGAN3's networks.
OWN = g_of("skip", label_norm="own", label_width=5, conv_clamp=1.0)
CMAP = d_of(
    "residual",
    conditioning="projection",
    conv_clamp=1.0,
    head_width=5,
    projection_width=7,
    mapping_layers=2,
    mapping_width=3,
    label_width=4,
)
BANDS = StyleGAN3Config(layers=3, critical=1, margin=2)
T = g_of("stylegan3", stylegan3=BANDS)
R = dataclasses.replace(
    T, stylegan3=dataclasses.replace(BANDS, layers=2, kernel_size=1, radial=True)
)
INSIDE = (N, 12, 12, 4)
SPECS += [
    more(Mapping, [Z, LABELS], "own norm", config=OWN),
    more(Generator, [Z, LABELS], "ada", CONST, config=OWN),
    more(DiscriminatorHead, [Y, LABELS], "label mapping", config=CMAP),
    more(Discriminator, [FACES, LABELS], "ada", config=CMAP),
    more(FourierFeatures, [W], config=T),
    more(FilteredLayer, [INSIDE, W], "0", config=T, index=0),
    more(FilteredLayer, [INSIDE, W], "radial", config=R, index=0),
    more(StyleGAN3Synthesis, [(N, 5, 6)], "T", config=T),
    more(StyleGAN3Synthesis, [WS], "R", config=R),
    more(Generator, [Z, LABELS], "stylegan3", config=T),
]
BACKBONE = backbone_config(G, 2)
SPECS += [
    more(StyleHead, [(N, 16, 16, 3)], config=BACKBONE, styles=2, w_dim=5),
    more(Encoder, [(N, 16, 16, 3)], "16", config=g_of("skip", resolution=16)),
    more(Encoder, [FACES], "w", config=G, space="w", width=2, fingerprint="f"),
    more(Encoder, [FACES], "stylegan3", config=T, about={"steps": 3}),
]
for way in MODULATIONS:
    changed = {"filters": 5, "modulation": way}
    SPECS += [
        more(ModulatedConv2D, [X, W], way, **changed),
        more(ModulatedConv2D, [X, W], f"up {way}", resample="up", taps=FIR, **changed),
    ]
for kind in STYLEGAN2:
    grows = FADING if kind == "revised" else {}
    g, d = g_of(kind), d_of(kind)
    inputs = [Y, [W, W], [NOISE] * 2]
    SPECS += [
        more(StyleGAN2Block, inputs, f"8 {kind}", config=g, resolution=8),
        more(StyleGAN2Synthesis, [WS], kind, CONST | grows, config=g),
        more(Generator, [Z, LABELS], kind, CONST | grows, config=g),
        more(DiscriminatorBlock, [X], f"8 {kind}", config=d, resolution=8),
        more(Discriminator, [FACES, LABELS], kind, grows, config=d),
    ]
NETWORKS = [s for s in SPECS if issubclass(s.cls, keras.Model)]


def each(specs=None):
    specs = SPECS if specs is None else specs
    return pytest.mark.parametrize("spec", specs, ids=lambda spec: spec.name)


def tensors(spec):
    """The same random inputs every time."""
    rng = np.random.default_rng(0)
    shapes = keras.tree.map_shape_structure(np.array, spec.inputs)

    def one(shape):
        return tf.constant(rng.normal(size=tuple(shape)), tf.float32)

    return keras.tree.map_structure(one, shapes)


def make(spec, dtype="float32"):
    """The layer, built by its first call as Keras does it."""
    layer = spec.cls(**spec.kwargs, dtype=dtype)
    layer(*tensors(spec), **spec.options)
    return layer


def copy_weights(source, target):
    for a, b in zip(source.weights, target.weights, strict=True):
        b.assign(a.numpy())


@functools.cache
def layer_of(spec):
    """One that many tests use and none changes; no weight is at a round number."""
    layer, rng = make(spec), np.random.default_rng(1)
    for weight in layer.weights:
        weight.assign(weight.numpy() + 0.3 * rng.normal(size=weight.shape))
    return layer


@functools.cache
def fast_of(spec):
    """The same in bfloat16."""
    fast = make(spec, "mixed_bfloat16")
    copy_weights(layer_of(spec), fast)
    return fast


@functools.cache
def output_of(spec):
    """What it makes of the test inputs."""
    return layer_of(spec)(*tensors(spec), **spec.options).numpy()


def test_every_registered_class_is_listed():
    names = [m.name for m in pkgutil.iter_modules(networks.__path__)]
    modules = {f"stylegan_tf.networks.{name}" for name in names}
    modules.add("stylegan_tf.networks.layers")
    for name in modules:
        importlib.import_module(name)
    registered = {
        cls
        for name, cls in keras.saving.get_custom_objects().items()
        if name.startswith(f"{layers.PACKAGE}>") and cls.__module__ in modules
    }
    assert registered == {spec.cls for spec in SPECS}


# ---------------------------------------------------------------------------


@each()
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_config_rebuilds_the_layer(spec, policy):
    layer = spec.cls(**spec.kwargs, dtype=policy)
    saved = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    again = keras.saving.deserialize_keras_object(saved)
    assert type(again) is spec.cls
    assert again.get_config() == layer.get_config()
    assert again.dtype_policy == layer.dtype_policy
    for name, value in spec.kwargs.items():
        assert getattr(again, name) == value


@each()
@pytest.mark.parametrize("made", [layer_of, fast_of], ids=["float32", "bfloat16"])
def test_output_is_as_announced(spec, made):
    """Shape and type, in the way that a Keras model asks for them."""
    layer = made(spec)
    symbols = keras.tree.map_structure(
        lambda x: keras.KerasTensor((None, *x.shape[1:])), tensors(spec)
    )
    announced = layer.compute_output_spec(*symbols, **spec.options)
    y = layer(*tensors(spec), **spec.options)
    assert announced.shape == (None, *y.shape[1:])
    assert announced.dtype == y.dtype.name


@each()
def test_eager_equals_traced(spec):
    layer = layer_of(spec)
    traced = tf.function(
        lambda *inputs: layer(*inputs, **spec.options), input_signature=signature(spec)
    )
    close(traced(*tensors(spec)), output_of(spec), 1e-5)
    half = keras.tree.map_structure(lambda x: x[:2], tensors(spec))
    close(traced(*half), layer(*half, **spec.options), 1e-5)


WHOLE = (Mapping, SynthesisNetwork, Generator, Discriminator, DCGANDiscriminator)
WHOLE += (Encoder,)


@each([s for s in SPECS if issubclass(s.cls, WHOLE)])
def test_an_input_of_another_model_is_named(spec):
    layer, given = layer_of(spec), tensors(spec)
    for i, x in enumerate(given):
        for wrong in (x[..., :-1], x[0]):
            inputs = [*given[:i], wrong, *given[i + 1 :]]
            with pytest.raises(ValueError, match="; this network takes \\[N, "):
                layer(*inputs, **spec.options)


def signature(spec):
    """Any number of examples."""
    return keras.tree.map_structure(
        lambda x: tf.TensorSpec([None, *x.shape[1:]]), tuple(tensors(spec))
    )


@each()
def test_saved_and_loaded_in_a_model(spec, tmp_path):
    layer = layer_of(spec)
    inputs = keras.tree.map_structure(lambda x: keras.Input(x.shape[1:]), tensors(spec))
    model = keras.Model(inputs, layer(*inputs, **spec.options))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert len(again.weights) == len(layer.weights)
    np.testing.assert_array_equal(again(tensors(spec)), output_of(spec))


LOAD = """
import sys, numpy as np, keras
import stylegan_tf
for i, path in enumerate(sys.argv[1:]):
    data = np.load(path + ".npz")
    model = keras.saving.load_model(path + ".keras")
    inputs = [data[name] for name in ("a", "b") if name in data]
    y = model(*inputs, **({"noise": "const"} if data["noise"] else {}))
    assert np.array_equal(y, data["y"]), path
    print("same")
"""


def test_networks_load_in_a_fresh_process(tmp_path):
    """Which does nothing but import the package."""
    paths = []
    for i, spec in enumerate(NETWORKS):
        model, inputs = layer_of(spec), tensors(spec)
        options = {k: v for k, v in spec.options.items() if k == "noise"}
        path = str(tmp_path / f"{i}")
        model.save(f"{path}.keras")
        y = model(*inputs, **options)
        named = dict(zip("ab", inputs, strict=False))
        np.savez(f"{path}.npz", **named, y=y, noise=bool(options))
        paths.append(path)
    code = [sys.executable, "-c", LOAD, *paths]
    eager = {k: v for k, v in os.environ.items() if k != "STYLEGAN_TF_LAZY"}
    out = subprocess.check_output(code, cwd=ROOT, text=True, env=eager)
    assert out.split() == ["same"] * len(NETWORKS)


@each()
def test_checkpoint_has_every_weight(spec, tmp_path):
    """TensorFlow skips layers kept in a list of a Keras object without a word."""
    layer = layer_of(spec)
    path = tf.train.Checkpoint(layer=layer).write(str(tmp_path / "checkpoint"))
    names = [name for name, _ in tf.train.list_variables(path)]
    kept = [n for n in names if n.endswith("VARIABLE_VALUE")]
    assert len(kept) == len(layer.weights)
    other = make(spec)
    for weight in other.weights:
        weight.assign(tf.zeros_like(weight))
    reader = tf.train.Checkpoint(layer=other).read(path)
    reader.assert_existing_objects_matched().assert_consumed()
    for a, b in zip(layer.weights, other.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


# ---------------------------------------------------------------------------


@each()
def test_bfloat16_computes_close_to_float32(spec):
    fast = fast_of(spec)
    assert {weight.dtype for weight in fast.weights} <= {"float32"}
    y = fast(*tensors(spec), **spec.options)
    assert y.dtype == (tf.float32 if spec.float32 else tf.bfloat16)
    y, want = tf.cast(y, tf.float32).numpy(), output_of(spec)
    assert np.isfinite(y).all()
    scale = np.sqrt(np.mean(want**2))
    assert np.sqrt(np.mean((y - want) ** 2)) < 0.03 * scale


@each()
def test_every_trainable_weight_has_a_finite_gradient(spec):
    layer = layer_of(spec)
    with tf.GradientTape() as tape:
        y = layer(*tensors(spec), **spec.options)
        target = np.random.default_rng(3).normal(size=y.shape)
        loss = tf.reduce_sum((y - target) ** 2)
    weights = layer.trainable_weights
    gradients = tape.gradient(loss, [w.value for w in weights])
    for weight, gradient in zip(weights, gradients, strict=True):
        assert gradient is not None, weight.path
        assert np.isfinite(gradient).all(), weight.path
        assert np.abs(gradient).max() > 0, weight.path


@pytest.fixture(scope="module")
def strategy():
    return make_strategy("mirrored")


@each()
def test_two_replicas_equal_one_device(spec, strategy):
    with strategy.scope():
        mirrored = make(spec)
    copy_weights(layer_of(spec), mirrored)
    halves = [
        keras.tree.map_structure(lambda x, i=i: x[2 * i : 2 * i + 2], tensors(spec))
        for i in range(2)
    ]

    def replica(context):
        return halves[context.replica_id_in_sync_group]

    placed = strategy.experimental_distribute_values_from_function(replica)
    results = strategy.run(lambda x: mirrored(*x, **spec.options), (placed,))
    results = strategy.experimental_local_results(results)
    assert len(results) == 2
    for half, y in zip(halves, results, strict=True):
        close(y, layer_of(spec)(*half, **spec.options), 1e-5)
