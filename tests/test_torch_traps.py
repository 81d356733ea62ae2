"""What is easily wrong in StyleGAN2-ADA's and StyleGAN3's files, and what sees it.

Each fault is made on purpose, and a test of the reference numbers, or of a file made
here, has to fail. A trap that the reader cannot fall into: the place of numbers in
their streams, "cuda:0" in all that persistence.py writes, is not looked at.
"""

import tempfile
import types
from pathlib import Path

import ada_golden
import golden
import numpy as np
import persistence
import pytest
import tensorflow as tf
import test_filters
import test_torch_networks
import test_torch_pickles

from stylegan_tf.config import networks as networks_config
from stylegan_tf.config import stylegan3 as plans
from stylegan_tf.errors import UserError
from stylegan_tf.formats import safe_pickle, torch_files
from stylegan_tf.networks import (
    discriminator,
    equalized,
    filters,
    ops,
    stylegan2,
    stylegan3,
)
from stylegan_tf.networks.generator import Generator
from stylegan_tf.networks.mapping import Mapping
from stylegan_tf.official import (
    arguments,
    tf_pickles,
    torch_arguments,
    torch_names,
    torch_networks,
    torch_pickles,
)

COND = "adapt_r16_cond3.pkl"
GRAY = "adapt_r16_origG_skipD.pkl"
CLAMPED = "adapt_r16_resnetG_origD.pkl"
T, R = "sg3t_r16_cond3.pkl", "sg3r_r32_torch2.pkl"
TF_COND = "adatf_r16_cond3_G_D_Gs.pkl"
TF_WHOLE = "adatf_r16_resnetG_origD_G_D_Gs.pkl"


def draws(name: str) -> None:
    """The whole comparison of a file with the official numbers."""
    if name in ada_golden.TF_PICKLES:
        test_torch_networks.test_files_of_tensorflow_draw_the_same(name)
    else:
        test_torch_networks.test_files_of_pytorch_draw_the_same(name)


def reads(name: str) -> None:
    test_torch_pickles.test_official_files_are_read_exactly(name)


def reads_made(protocol: int) -> None:
    """The reading of a file made here, in a protocol that none of those kept is of."""
    with tempfile.TemporaryDirectory() as folder:
        made = {"G_ema": test_torch_pickles.generator()}
        path = persistence.writer(Path(folder))(made, protocol)
        assert torch_pickles.read_snapshot(path).networks["Gs"]


def knows(test: str) -> None:
    """A test of files made here, which looks at the trap directly."""
    with tempfile.TemporaryDirectory() as folder:
        getattr(test_torch_pickles, test)(persistence.writer(Path(folder)))


def draws_by_default(name: str) -> None:
    """Whole styles, as they are with psi 1, unless another is asked for."""
    found, numbers = test_torch_networks.opened(name)
    g, labels = found.networks["Gs"], ada_golden.labels(numbers, "in/c")
    image = g(numbers["in/z"], labels, noise="const")
    numbers.check("out/G_ema/img_const", golden.nchw(image))


def layers_of(preset: str) -> None:
    test_filters.test_layers_are_those_of_the_official_presets(preset)


def spoiled(end: str, change):
    """A fault: `change` of every tensor whose name ends so, on its way to ours."""

    def fault(patch):
        ours = torch_networks._ours

        def spoil(entry, array):
            return ours(entry, change(array) if entry.name.endswith(end) else array)

        patch.setattr(torch_networks, "_ours", spoil)

    return fault


def replaced(where, name: str, value):
    """A fault: something else under a name."""
    return lambda patch: patch.setattr(where, name, value)


def without(table: dict, name: str):
    return lambda patch: patch.delitem(table, name)


def changed_default(name: str, value):
    """A fault: another default of an argument of the generator."""

    def fault(patch):
        right = Generator.call

        def wrong(self, *args, **kwargs):
            return right(self, *args, **({name: value} | kwargs))

        patch.setattr(Generator, "call", wrong)

    return fault


def noise_of_its_own(patch) -> None:
    """Every picture with fresh noise, whatever was asked for."""
    right = stylegan2.StyleGAN2Synthesis.call

    def wrong(self, ws, *args, **kwargs):
        return right(self, ws, *args, **(kwargs | {"noise": "random"}))

    patch.setattr(stylegan2.StyleGAN2Synthesis, "call", wrong)


def none_is_missing(patch) -> None:
    patch.setattr(torch_arguments._Arguments, "given", torch_arguments._Arguments.take)


def rounded_widths(patch) -> None:
    right = networks_config._fmaps

    def wrong(config, resolution):
        exact = config.fmap_base / 2 ** (resolution.bit_length() - 2)
        return min(round(exact), config.fmap_max) if exact > 1 else right(config, 4)

    patch.setattr(networks_config, "_fmaps", wrong)


def one_writer(patch) -> None:
    """No clamp unless one was asked for, as in stylegan2-ada-pytorch alone."""
    right = torch_arguments._shared
    patch.setattr(torch_arguments, "_shared", lambda inner, clamp: right(inner, None))


def doubled_widths(patch) -> None:
    right = torch_arguments._shared

    def wrong(inner, clamp):
        found = right(inner, clamp)
        return found | {"fmap_base": 2 * found["fmap_base"]}

    patch.setattr(torch_arguments, "_shared", wrong)


def wide_head(patch) -> None:
    """The first dense layer as wide as TensorFlow's: as maps at 2 x 2 pixels."""
    right = networks_config.DiscriminatorConfig.fmaps

    def wrong(self, resolution):
        return right(self, resolution // 2)

    patch.setattr(networks_config.DiscriminatorConfig, "fmaps", wrong)


def joint_norm(patch) -> None:
    def beside(self, z, labels):
        return ops.pixel_norm(tf.concat([z, self.embedding(labels)], axis=-1))

    patch.setattr(Mapping, "_with_label", beside)


def full_bias(patch) -> None:
    def added(self, x):
        return x if self.bias is None else x + tf.convert_to_tensor(self.bias)

    patch.setattr(equalized._Equalized, "_add_bias", added)


def parameters_alone(patch) -> None:
    part = torch_pickles._part

    def some(node, key):
        return {} if key == "_buffers" else part(node, key)

    patch.setattr(torch_pickles, "_part", some)


def up(change):
    """A fault of the first filter: `change(taps, factor, padding)`."""

    def fault(patch):
        right = filters.upsample_by

        def wrong(x, taps, factor, padding):
            taps, padding = change(taps, factor, padding)
            return right(x, taps, factor, padding)

        patch.setattr(filters, "upsample_by", wrong)

    return fault


def forward_transform(patch) -> None:
    right = stylegan3.FourierFeatures._moved

    def wrong(self, w, transform):
        return right(self, w, tf.linalg.inv(tf.convert_to_tensor(transform)))

    patch.setattr(stylegan3.FourierFeatures, "_moved", wrong)


def rotation_last(patch) -> None:
    """The user's transform between the shift and the rotation of the style."""
    right = stylegan3.FourierFeatures._moved

    def wrong(self, w, transform):
        flat = tf.eye(3)
        f, _ = right(self, w, flat)
        _, phases = right(self, w, transform)
        turned = tf.matmul(f, tf.convert_to_tensor(transform)[:2, :2], transpose_b=True)
        return turned, phases

    patch.setattr(stylegan3.FourierFeatures, "_moved", wrong)


def moved_frequencies(patch) -> None:
    """Shifts by the frequencies that the transform has turned."""
    right = stylegan3.FourierFeatures._moved

    def wrong(self, w, transform):
        names = ("config", "affine_kernel", "affine_bias", "frequencies", "phases")
        own = types.SimpleNamespace(**{name: getattr(self, name) for name in names})
        f, _ = right(own, w, transform)
        own.frequencies = f
        return f, right(own, w, transform)[1]

    patch.setattr(stylegan3.FourierFeatures, "_moved", wrong)


def unscaled_clamp(patch) -> None:
    """The second convolution of a residual block within the clamp after its gain."""
    right, clamp = stylegan2.StyledConv2D.call, ops.clamp

    def wrong(self, x, w, noise=None):
        with pytest.MonkeyPatch.context() as inner:
            if self.name == "conv1" and "block4/" not in self.path:
                wide = lambda x, limit: clamp(x, limit * 2**0.5)  # noqa: E731
                inner.setattr(ops, "clamp", wide)
            return right(self, x, w, noise)

    patch.setattr(stylegan2.StyledConv2D, "call", wrong)


def clamped_skips(patch) -> None:
    right = stylegan2.StyleGAN2Block.shortcut

    def wrong(self, x):
        return ops.clamp(right(self, x), self.config.conv_clamp)

    patch.setattr(stylegan2.StyleGAN2Block, "shortcut", wrong)


def clamped_dense_layers(patch) -> None:
    right = equalized.EqualizedDense.call
    patch.setattr(
        equalized.EqualizedDense, "call", lambda self, x: ops.clamp(right(self, x), 0.9)
    )


def styles_of_their_own(patch) -> None:
    """ToRGB with the style of its block, not with that of the next convolution."""
    block, right = stylegan2.StyleGAN2Block.call, stylegan2.StyleGAN2Synthesis._add
    used = []

    def call(self, x, styles, noise):
        used.append(styles[-1])
        return block(self, x, styles, noise)

    def wrong(self, image, r, x, w):
        return right(self, image, r, x, used[-1])

    patch.setattr(stylegan2.StyleGAN2Block, "call", call)
    patch.setattr(stylegan2.StyleGAN2Synthesis, "_add", wrong)


def loud_projection(patch) -> None:
    right = discriminator.DiscriminatorHead._embed

    def wrong(self, labels):
        found = right(self, labels)
        return found * found.shape[1] ** 0.5

    patch.setattr(discriminator.DiscriminatorHead, "_embed", wrong)


def quiet_activation(patch) -> None:
    right = ops.activation
    patch.setattr(ops, "activation", lambda x, kind, gain: right(x, kind, 1.0))


def no_cutoff(patch) -> None:
    right = Generator.truncate

    def wrong(self, ws, psi=1.0, cutoff=None, center=None):
        return right(self, ws, psi, None, center)

    patch.setattr(Generator, "truncate", wrong)


def contiguous_groups(patch) -> None:
    right = ops.minibatch_stddev

    def wrong(x, group=4, features=1):
        n = x.shape[0]
        g = ops.group_size(n, group)
        order = np.arange(n).reshape(-1, g).T.ravel()
        back = np.argsort(order)
        return tf.gather(right(tf.gather(x, order), group, features), back)

    patch.setattr(ops, "minibatch_stddev", wrong)


def contiguous_tensors(patch) -> None:
    def flat(self):
        count = int(np.prod(self.shape))
        return self.storage.values[:count].reshape(self.shape)

    patch.setattr(torch_files.TensorNode, "array", flat)


def separable(patch) -> None:
    """The second filter along the axes where it should be radial."""
    right = filters.downsample_by

    def wrong(x, taps, factor):
        if len(taps.shape) == 2:
            taps = tf.reduce_sum(taps, axis=0)
        return right(x, taps, factor)

    patch.setattr(filters, "downsample_by", wrong)


FAULTS = {
    "the kernel behind a doubling is not turned": (
        replaced(torch_names, "_turned", torch_names._conv),
        draws,
        COND,
    ),
    "one is added to a style twice": (
        replaced(torch_names, "_minus_one", torch_names._same),
        draws,
        COND,
    ),
    "the mapping's biases learn at full rate": (full_bias, draws, COND),
    "the mapping's weights learn at full rate": (
        spoiled("mapping.fc0.weight", lambda x: x * 100),
        draws,
        COND,
    ),
    "psi is 0.5 by default": (changed_default("psi", 0.5), draws_by_default, COND),
    "noise is random whatever is asked for": (noise_of_its_own, draws, COND),
    "None is a missing value": (none_is_missing, knows, "test_none_is_not_missing"),
    "widths are rounded": (rounded_widths, knows, "test_widths_are_cut"),
    "repositories have the same defaults": (
        one_writer,
        knows,
        "test_defaults_depend_on_the_repository",
    ),
    "R's widths are doubled once more": (
        doubled_widths,
        knows,
        "test_r_is_not_doubled_again",
    ),
    "the head is as wide as TensorFlow's": (
        wide_head,
        knows,
        "test_the_head_is_as_wide_as_the_last_maps",
    ),
    "toRGB's style has no gain": (
        spoiled("torgb.weight", lambda x: x * np.float32(x.shape[1] ** 0.5)),
        draws,
        COND,
    ),
    "the activation between the filters has no gain": (quiet_activation, draws, T),
    "buffers are left out": (parameters_alone, reads, T),
    "the mean style is left out": (spoiled("w_avg", np.zeros_like), draws, COND),
    "noise maps are left out": (spoiled("noise_const", np.zeros_like), draws, COND),
    "magnitudes are left out": (
        spoiled("magnitude_ema", np.ones_like),
        draws,
        T,
    ),
    "frequencies are those of a new network": (
        spoiled("freqs", lambda f: f * np.float32(1.01)),
        draws,
        T,
    ),
    "x and y are swapped": (spoiled("freqs", lambda f: f[:, ::-1]), draws, T),
    "phases are left out": (spoiled("phases", np.zeros_like), draws, T),
    "the first filter has no gain": (
        up(lambda taps, factor, padding: (taps / factor, padding)),
        draws,
        T,
    ),
    "maps are one pixel off": (
        up(lambda taps, factor, pads: (taps, (pads[0] - 1, pads[1] + 1))),
        draws,
        T,
    ),
    "the transform is that of the picture": (forward_transform, draws, T),
    "the transform does not come first": (rotation_last, draws, T),
    "a shift goes by turned frequencies": (moved_frequencies, draws, T),
    "frequencies out of the band are as loud": (
        replaced(tf, "clip_by_value", lambda x, low, high: tf.ones_like(x) * x),
        draws,
        R,
    ),
    "filters are separable where they are radial": (separable, draws, R),
    "channels are rounded down": (
        lambda patch: patch.setattr(plans, "round", int, raising=False),
        layers_of,
        "stylegan3-t-1024",
    ),
    "labels and z are normalized together": (joint_norm, draws, COND),
    "the label mapping is of another length": (
        replaced(torch_arguments, "MAPPING", {}),
        draws,
        COND,
    ),
    "the projection on the label has no gain": (loud_projection, draws, COND),
    "truncation reaches every layer": (no_cutoff, draws, T),
    "toRGB has styles of its own": (styles_of_their_own, draws, COND),
    "groups of the statistic are of 2": (
        replaced(torch_arguments, "WHOLE_BATCH", 2),
        draws,
        GRAY,
    ),
    "groups of the statistic are of 2, TensorFlow": (
        replaced(arguments, "WHOLE_BATCH", 2),
        draws,
        TF_WHOLE,
    ),
    "groups of the statistic are contiguous": (contiguous_groups, draws, CLAMPED),
    "nothing is clamped": (replaced(ops, "clamp", lambda x, limit: x), draws, CLAMPED),
    "the clamp has no share of a block's gain": (unscaled_clamp, draws, CLAMPED),
    "the residual path is clamped": (clamped_skips, draws, CLAMPED),
    "dense layers are clamped": (clamped_dense_layers, draws, CLAMPED),
    "the clamp of version 5 is not read": (
        without(arguments.GENERATOR, "conv_clamp"),
        draws,
        TF_WHOLE,
    ),
    "the last block takes rows, columns, maps": (
        spoiled("b4.fc.weight", lambda x: x[:, ::-1]),
        draws,
        COND,
    ),
    "strides are not looked at": (contiguous_tensors, reads, CLAMPED),
    "bytes of protocol 2": (
        without(torch_pickles._CALLS, "_codecs.encode"),
        reads,
        "sg3t_r16_cond3_Gema_only.pkl",
    ),
    "sets of protocol 2": (
        without(torch_pickles._CALLS, "__builtin__.set"),
        reads,
        "sg3t_r16_cond3_Gema_only.pkl",
    ),
    "sets of protocol 3": (
        without(torch_pickles._CALLS, "builtins.set"),
        reads_made,
        3,
    ),
    "arrays of protocol 5": (
        without(torch_pickles._CALLS, "numpy._core.numeric._frombuffer"),
        reads,
        R,
    ),
    "numbers of NumPy 2": (
        without(torch_pickles._CALLS, "numpy._core.multiarray.scalar"),
        reads,
        R,
    ),
    "the four keys of version 5": (replaced(tf_pickles, "ENDS", ()), draws, TF_COND),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_seen(fault, monkeypatch):
    make, check, name = FAULTS[fault]
    make(monkeypatch)
    with pytest.raises((AssertionError, UserError)):
        check(name)


def test_without_a_fault_nothing_is():
    """Each check is a test of its own elsewhere, which passes."""
    drawn = {*test_torch_networks.TORCH, *test_torch_networks.TF}
    read, presets = test_torch_pickles.TORCH, test_filters.PRESETS.meta["presets"]
    known = {draws: drawn, reads: read, layers_of: presets, reads_made: (3,)}
    known |= {draws_by_default: drawn, knows: vars(test_torch_pickles)}
    draws_by_default(COND)
    assert all(name in known[check] for _, check, name in FAULTS.values())
    reads_made(3)


def test_the_entrance_at_4_x_4_pixels_is_free():
    """Of PyTorch's architecture `skip`: no clamp there, and nowhere else."""
    from stylegan_tf.networks.discriminator import Discriminator

    state = torch_pickles.read_snapshot(ada_golden.FOLDER / GRAY).networks["D"]
    state.arguments["conv_clamp"] = 1.5
    c = torch_arguments.torch_discriminator_config(state)
    d = Discriminator(c)
    limits = [getattr(d, f"from_rgb{r}").limit for r in (4, 8, 16)]
    assert limits == [0.0, 1.5, 1.5]
    assert c.head_width == c.fmaps(4)


def test_the_tables_are_separate():
    """What PyTorch's files may ask for, TensorFlow's may not."""
    own = set(torch_pickles._CALLS) - set(safe_pickle.CALLS)
    assert torch_pickles.RECONSTRUCT in own and len(own) == 6
