"""Training from Python: data and parts as objects, callbacks, runs that go on."""

import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny
from PIL import Image

import stylegan_tf
from stylegan_tf import UserError, checkpoints, config, devices
from stylegan_tf.config import custom
from stylegan_tf.data.objects import open_images
from stylegan_tf.errors import DiskError, WorkerLostError
from stylegan_tf.networks.discriminator import discriminator_of
from stylegan_tf.networks.generator import generator_of
from stylegan_tf.runs import arguments, rundir, session
from stylegan_tf.runs.callbacks import callback_reports
from stylegan_tf.runs.plan import plan_run
from stylegan_tf.sampling.steering import style_affines
from stylegan_tf.training import losses, passes

TINY = {k: v for k, v in tiny.SETTINGS.items() if not k.endswith(".resolution")}
TINY |= {f"{net}.resolution": 8 for net in ("generator", "discriminator")} | tiny.FIXED
TINY = {k: v for k, v in TINY.items() if not k.endswith(".resolution")}
TINY |= {"generator.style_mixing_prob": 0.9}  # which StyleGAN's own networks fuse
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (24, 8, 8, 3), np.uint8)


def lenient(fake: tf.Tensor) -> tf.Tensor:
    """A loss of G."""
    return tf.nn.softplus(-fake) * 0.5


def relative(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """A loss of D that compares reals with fakes."""
    return tf.nn.softplus(fake - real)


def flipped(images: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
    """An augmentation."""
    return tf.where(uniforms[:, :1, None, None] < 0.5, images[:, :, ::-1], images)


class Plain(keras.layers.Layer):
    """A synthesis network that knows nothing of the package but the contract."""

    def __init__(self, config, **kwargs):
        super().__init__(**kwargs)
        self.settings = config
        self.dense = keras.layers.Dense(8 * 8 * 3)
        self.norm = keras.layers.BatchNormalization()

    def call(
        self, ws, noise=None, resolution=None, alpha=None, seed=None, training=False
    ):
        x = self.norm(self.dense(ws[:, 0]), training=training)
        return tf.tanh(tf.reshape(x, [-1, 8, 8, 3]))


class Judge(stylegan_tf.Block):
    """A discriminator made of the package's base class."""

    config_class = stylegan_tf.DiscriminatorConfig

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.dense = keras.layers.Dense(1)

    def call(self, images, labels=None, alpha=1.0, training=False):
        return self.dense(tf.reshape(images, [-1, 8 * 8 * 3]))


class Ticks:
    """A callback with some of the methods of a report."""

    def __init__(self):
        self.calls = []

    def start(self, trainer):
        self.calls.append("start")

    def tick(self, trainer, stats):
        self.calls.append(stats["progress/kimg"])

    def end(self, trainer, reason):
        self.calls.append(reason)


class Epochs(keras.callbacks.Callback):
    """Stops after the second tick."""

    def __init__(self):
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append((epoch, logs["loss/g"]))
        self.model.stop_training = epoch == 1


PARTS = {"g_loss": lenient, "d_loss": relative, "augment": flipped}
PARTS |= {"generator": Plain, "discriminator": Judge}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of own parts on an array with labels, stopped by a Keras callback."""
    folder = tmp_path_factory.mktemp("library")
    ticks, epochs = Ticks(), Epochs()
    run = stylegan_tf.train(
        (IMAGES, np.arange(24) % 3),
        settings=TINY,
        callbacks=[ticks, epochs],
        out=folder / "runs",
        cache=str(folder / "cache"),
        **PARTS,
    )
    return run, ticks, epochs


def test_callbacks_of_both_kinds_are_called(trained):
    run, ticks, epochs = trained
    assert ticks.calls == ["start", 0.008, 0.016, "interrupted"]
    assert [epoch for epoch, _ in epochs.seen] == [0, 1]
    assert [row["loss/g"] for row in run.stats] == pytest.approx(
        [loss for _, loss in epochs.seen], rel=1e-4
    )
    assert (run.reason, run.stopped_by, run.exit_code) == ("interrupted", "Epochs", 143)


class Asked:
    """A trainer that counts how often it is asked for its networks."""

    def __init__(self):
        self.average, self.times = SimpleNamespace(stop_training=False), 0

    @property
    def networks(self):
        self.times += 1
        return self


@pytest.mark.parametrize(
    ("callback", "asked"),
    [
        (Epochs(), False),
        (keras.callbacks.LambdaCallback(on_epoch_end=print), False),
        (keras.callbacks.LambdaCallback(on_train_batch_end=lambda *_: None), True),
    ],
)
def test_callbacks_that_look_at_no_batch_cost_nothing_at_a_step(callback, asked):
    trainer, [report] = Asked(), callback_reports([callback])
    report.step(trainer)
    assert bool(trainer.times) == asked


def test_names_of_own_parts_are_kept(trained):
    run, *_ = trained
    kept = json.loads((run.path / "config.json").read_text())
    assert kept["loss"]["g_loss"] == "custom:lenient"
    assert kept["loss"]["d_loss"] == "custom:relative"
    assert kept["augment"]["kind"] == "custom:flipped"
    assert kept["generator"]["network"] == "custom:Plain"
    assert kept["discriminator"]["network"] == "custom:Judge"
    assert kept["generator"]["classes"] == 3
    assert "stylegan_tf.train(" in (run.path / "command.txt").read_text()


def test_a_run_without_its_parts_asks_for_them(trained, monkeypatch, tmp_path):
    run, *_ = trained
    monkeypatch.setattr(custom, "_parts", {("g_loss", "lenient"): lenient})
    wanted = "d_loss=relative, generator=Plain, discriminator=Judge, augment=flipped"
    with pytest.raises(UserError, match=wanted):
        stylegan_tf.train(resume=run.path)
    with pytest.raises(UserError, match=r"register\(generator=Plain\)"):
        stylegan_tf.load(run.path)
    start, out = str(run.path), tmp_path / "runs"
    with pytest.raises(UserError, match=r"train from Python .*train\(init=.*Plain"):
        stylegan_tf.train("demo:24", init=start, out=out, cache=str(tmp_path))
    assert not out.exists()


def test_a_run_goes_on_to_its_model(trained):
    run, ticks, _ = trained
    path = run.path
    before = signal.getsignal(signal.SIGINT)
    assert run.resume(kimg=0.04, callbacks=[ticks]) is run
    assert signal.getsignal(signal.SIGINT) is before
    assert (run.path, run.reason, run.kimg) == (path, "finished", 0.04)
    assert ticks.calls[-1] == "finished"
    drawn = stylegan_tf.generate(run.generator, seeds=range(3))
    assert drawn.shape == (3, 8, 8, 3) and np.ptp(drawn) > 0
    exported = stylegan_tf.load(path / "model")
    np.testing.assert_array_equal(stylegan_tf.generate(exported, range(3)), drawn)
    # The statistics of batch normalization reach the average.
    assert np.abs(run.generator.synthesis.norm.moving_mean.numpy()).max() > 0
    with pytest.raises(UserError, match=r"network of your own \(custom:Plain\)"):
        style_affines(run.generator)
    assert isinstance(run.sheet, Image.Image) and run.sheet.size[0] > 8
    assert run.metrics == {}
    again = stylegan_tf.TrainingRun(path)
    assert again.reason == "finished" and "0.04 kimg" in repr(again)


def test_a_callback_that_fails_costs_no_training():
    class Failing:
        def tick(self, trainer, stats):
            raise RuntimeError("mine")

    saved = []
    trainer = SimpleNamespace(
        state=SimpleNamespace(nimg=8), save=lambda: saved.append(1)
    )
    [report] = callback_reports([Failing()])
    report.start(trainer)
    with pytest.raises(RuntimeError, match="mine"):
        report.tick(trainer, {})
    assert saved == [1]


# ---------------------------------------------------------------------------
# What is refused, each in a sentence


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"callbacks": [Ticks]}, "is a class; give an object"),
        ({"callbacks": [object()]}, "has none of the methods"),
        ({"g_loss": lambda fake: fake}, "a name of its own"),
        ({"g_loss": "harsh"}, "choose one of"),
        ({"data": IMAGES[..., :2]}, r"\[24, 8, 8, 2\]"),
        ({"data": {"images": IMAGES}}, "data is a dict"),
        ({"data": []}, "an empty list"),
        ({"data": (IMAGES, [1, 2])}, "24 pictures and 2 labels"),
        ({"data": "demo", "labels": [1, 2]}, "labels are given one by one"),
        ({"preset": stylegan_tf.Preset("", 8, 8, "", dict)}, "give it a name"),
    ],
)
def test_what_cannot_be_is_refused(given, text, tmp_path):
    with pytest.raises(UserError, match=text):
        stylegan_tf.train(**given, out=tmp_path / "runs", cache=str(tmp_path))
    assert not [*tmp_path.glob("runs/*")]


def test_an_unknown_argument_is_a_type_error():
    with pytest.raises(TypeError, match="did you mean gamma"):
        stylegan_tf.train(gama=1.0)


class Listed(Plain):
    """Keeps its layers where a checkpoint does not look."""

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.parts = [keras.layers.Dense(8 * 8 * 3)]

    def call(
        self, ws, noise=None, resolution=None, alpha=None, seed=None, training=False
    ):
        return tf.reshape(self.parts[0](ws[:, 0]), [-1, 8, 8, 3])


class Small(Plain):
    """Draws images of another size."""

    def call(
        self, ws, noise=None, resolution=None, alpha=None, seed=None, training=False
    ):
        return super().call(ws)[:, :4]


class Loose(stylegan_tf.Synthesis):
    """Takes its arguments by no names."""

    def call(self, ws, **options):
        return super().call(ws, **options)


def test_networks_are_held_to_their_contract():
    def make(own):
        names = custom.register(generator=own)
        sizes = {"resolution": 8, "z_dim": 4, "w_dim": 4, "mapping_width": 4}
        return stylegan_tf.Generator(
            stylegan_tf.GeneratorConfig(
                network=names["generator.network"], mapping_layers=1, **sizes
            )
        )

    with pytest.raises(UserError, match=r"must return \[2, 8, 8, 3\]"):
        make(Small)
    with pytest.raises(UserError, match="layers in a list"):
        make(Listed)
    with pytest.raises(UserError, match="is stylegan: subclass Synthesis, or take a"):
        make(type("Newer", (stylegan_tf.StyleGAN2Synthesis,), {}))
    with pytest.raises(UserError, match=r"Loose.call takes \*\*options"):
        make(Loose)


def test_functions_are_held_to_their_contract():
    names = custom.register(augment=cropped, g_loss=averaged)
    uniforms = tf.zeros([4, 8])
    with pytest.raises(UserError, match="must keep their shape"):
        passes._augmented_by(names["augment.kind"], tf.zeros([4, 8, 8, 3]), uniforms)
    loss = losses.generator_loss_of(names["loss.g_loss"])
    with pytest.raises(UserError, match="a loss is per example"):
        loss(tf.zeros([4, 1]))


def test_a_run_whose_first_step_is_refused_leaves_nothing(tmp_path, capsys):
    tiny = {"resolution": 8, "kimg": 0.1, "out": tmp_path / "runs"}
    tiny["settings"] = {"generator.fmap_max": 4, "discriminator.fmap_max": 4}
    with pytest.raises(UserError, match="a loss is per example"):
        stylegan_tf.train("demo:16", g_loss=averaged, cache=tmp_path / "c", **tiny)
    assert not list((tmp_path / "runs").glob("*-*"))
    assert "saved:" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "nimg", "stats", "stays"),
    [
        (UserError("refused"), 0, "", False),
        (UserError("refused"), 16, "", True),
        (UserError("refused"), 0, '{"nimg": 16}\n', True),
        (DiskError("full"), 0, "", True),
        (WorkerLostError("gone"), 0, "", True),
        (KeyError("a fault"), 0, "", True),
    ],
)
def test_a_refused_run_is_removed_only_before_its_first_tick(
    tmp_path, error, nimg, stats, stays
):
    run = rundir.create_run(tmp_path, stylegan_tf.presets.make("demo"), ["train"])
    checkpoints.write_progress(run.path, nimg)
    (run.path / "stats.jsonl").write_text(stats)
    with pytest.raises(type(error)), session._removed_if_refused(run):
        raise error
    assert run.path.exists() == stays


def cropped(images, uniforms):
    return images[:, 1:]


def averaged(fake):
    return tf.reduce_mean(fake)


# ---------------------------------------------------------------------------
# Data


def read(data, tmp_path, labels=None):
    """Pixels and labels of what `open_images` makes of an object."""
    with open_images(data, labels, str(tmp_path)) as source:
        pairs = [source.read(i, 8) for i in range(len(source))]
        print(source.fingerprint())
        return [np.asarray(p) for p, _ in pairs], [label for _, label in pairs], source


@pytest.mark.parametrize("low", [0, -1])
def test_floats_are_read_by_their_range(low, tmp_path):
    scaled = (IMAGES / 255 * (1 - low) + low).astype(np.float32)
    pixels, labels, source = read(scaled, tmp_path)
    np.testing.assert_array_equal(pixels, IMAGES)
    assert labels == [-1] * 24 and f"{low} is taken as black" in source.notes[-1]


def test_a_dataset_is_the_same_data_in_any_order(tmp_path):
    y = np.arange(24) % 3
    dataset = tf.data.Dataset.from_tensor_slices((IMAGES, y))
    first = read(dataset.batch(5), tmp_path)
    other = read(dataset.shuffle(24, seed=1), tmp_path)
    assert first[2].fingerprint() == other[2].fingerprint()
    np.testing.assert_array_equal(first[0], other[0])
    assert first[1] == other[1]
    found = {(p.tobytes(), label) for p, label in zip(*first[:2], strict=True)}
    assert found == {(p.tobytes(), label) for p, label in zip(IMAGES, y, strict=True)}
    unlabeled = read(dataset, tmp_path, "none")
    assert unlabeled[1] == [-1] * 24
    endless = read(dataset.shuffle(24).repeat().batch(7), tmp_path)[2]
    assert endless.fingerprint() == first[2].fingerprint()
    assert endless.notes == [
        "The dataset has no end; 24 different pictures of it are taken."
    ]
    assert not [*tmp_path.iterdir()]


def test_paths_are_read_in_their_order_with_classes_of_their_folders(tmp_path):
    paths = []
    for i, kind in enumerate(("b", "a", "b")):
        (tmp_path / kind).mkdir(exist_ok=True)
        paths.append(tmp_path / kind / f"{i}.png")
        Image.fromarray(IMAGES[i]).save(paths[-1])
    pixels, labels, source = read(paths, tmp_path, "auto")
    np.testing.assert_array_equal(pixels, IMAGES[:3])
    assert labels == [1, 0, 1] and source.class_names == ["a", "b"]
    assert read(paths, tmp_path)[1] == [-1] * 3
    with pytest.raises(UserError, match="are not there, such as"):
        read([*paths, tmp_path / "c.png"], tmp_path)


# ---------------------------------------------------------------------------
# Presets, and settings by themselves


def test_own_presets_are_entered_by_name():
    mine = stylegan_tf.Preset(
        "mine", 16, 16, "", lambda r, n: {"loss.r1_gamma": float(r)}, name="mine"
    )
    request = arguments.make_request({}, {}, {}, mine)
    assert request.preset == "mine"
    try:
        made = stylegan_tf.presets.make("mine", 32, mirror=True)
        assert (made.loss.r1_gamma, made.preset, made.mirror) == (32, "mine", True)
    finally:
        del stylegan_tf.presets["mine"]


def test_settings_are_a_preset_too():
    wanted = stylegan_tf.presets.make("demo", 16, seed=3)
    name = arguments.make_request({}, {}, {}, wanted).preset
    try:
        made = stylegan_tf.presets.make(name)
        assert made == config.update(wanted, {"preset": "custom"})
    finally:
        del stylegan_tf.presets[name]


def test_a_discriminator_follows_its_generator():
    g = stylegan_tf.GeneratorConfig(resolution=64, fmap_max=32, classes=2)
    d = stylegan_tf.TrainConfig(generator=g).discriminator
    assert (d.resolution, d.fmap_max, d.classes) == (64, 32, 2)
    assert stylegan_tf.TrainConfig().discriminator == stylegan_tf.DiscriminatorConfig()


def test_flags_of_the_command_line_are_keywords():
    flags = {"kimg": 2, "gamma": 3.0, "batch": 4, "metrics": ["fid50"]}
    request = arguments.make_request(flags, {"loss.r1_gamma": 5.0}, {}, "demo")
    assert request.command[2] == (
        "import stylegan_tf; stylegan_tf.train(kimg=2, gamma=3.0, batch=4, "
        'metrics=["fid50"], preset="demo", settings={"loss.r1_gamma": 5.0})'
    )
    assert request.changes["schedule.total_kimg"] == 2
    assert request.changes["loss.r1_gamma"] == 5.0  # as --set wins over --gamma
    assert request.changes["schedule.batch_at"] == {}
    assert request.flags["loss.r1_gamma"] == "gamma"


def test_completion_offers_the_common_names():
    assert {"load", "draw", "train", "generate"} <= {*dir(stylegan_tf)}


@pytest.mark.parametrize("given", [None, "0"])
def test_onednn_is_on_where_the_user_says_nothing(given):
    environment = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    environment |= {"STYLEGAN_TF_LAZY": "1"}
    environment |= {"TF_ENABLE_ONEDNN_OPTS": given} if given else {}
    code = "import stylegan_tf, os, sys; assert 'tensorflow' not in sys.modules\n"
    code += "print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"
    command = [sys.executable, "-c", code]
    assert subprocess.check_output(command, env=environment, text=True).strip() == (
        given or "1"
    )


class Doubled(stylegan_tf.Generator):
    """A generator of one's own: another mapping, the package's synthesis network."""

    def broadcast(self, w):
        return super().broadcast(2 * w)


def test_a_subclass_of_generator_is_saved_and_opened(tmp_path, monkeypatch):
    names = custom.register(generator=Doubled)
    settings = tiny.config().generator
    plain = stylegan_tf.Generator(settings)
    own = generator_of(config.update(settings, {"network": names["generator.network"]}))
    assert isinstance(own, Doubled)
    own.set_weights(tiny.noisy(plain).get_weights())
    ws = own.broadcast(tf.ones([1, 8]))
    np.testing.assert_array_equal(ws, 2 * plain.broadcast(tf.ones([1, 8])))
    own.save(tmp_path / "model.keras")
    again = stylegan_tf.load(tmp_path / "model.keras")
    assert isinstance(again, Doubled)
    drawn = [stylegan_tf.generate(model, range(2)) for model in (own, again, plain)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert np.any(drawn[0] != drawn[2])
    monkeypatch.setattr(custom, "_parts", {})
    with pytest.raises(UserError, match=r"register\(generator=Doubled\)"):
        stylegan_tf.load(tmp_path / "model.keras")


class Dimmed(stylegan_tf.Discriminator):
    """A discriminator that grows, as its base does."""

    def call(self, images, labels=None, alpha=1.0, training=False):
        return super().call(images / 2, labels, alpha, training)


@pytest.mark.parametrize(("own", "first"), [(Dimmed, 8), (Judge, 16)])
def test_networks_that_cannot_grow_begin_at_the_final_size(own, first, pictures):
    request = arguments.make_request(
        {"data": str(pictures)}, {}, {"discriminator": own}, "demo-ladder-f"
    )
    planned = plan_run(request, devices.make_strategy("one")).config
    assert planned.schedule.initial_resolution == first
    if own is Dimmed:
        assert isinstance(discriminator_of(planned.discriminator), Dimmed)
