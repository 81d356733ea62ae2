"""Trains a StyleGAN, or goes on with a run that was stopped.

    python launch/train.py                                   faces of the built-in set
    python launch/train.py --data=photos/                    a folder of your pictures
    python launch/train.py --data=photos.zip --preset=paper256 --mirror
    python launch/train.py --data=photos/ --labels=auto      sub-folders are classes
    python launch/train.py --resume=runs/00003-photos-demo --kimg=200
    python launch/train.py --data=cats/ --init=runs/00003-photos-demo
    python launch/train.py --data=cats/ --init=stylegan2-ffhq-config-f.pkl
    python launch/train.py --data=photos/ --preset=paper1024 --dry_run

The same command again continues the newest run in --out with the same settings; only
--kimg and how much is reported may change. Ctrl-C, a closed terminal and SIGTERM save
everything first.
A run leaves pictures, logs, TensorBoard events, checkpoints and the finished model in
a numbered folder.

Presets:
{presets}

Any setting can be changed by its name: --set=generator.fmap_max=256. The names are
those of config.json in a run's folder.
"""

from collections.abc import Sequence

from stylegan_tf_launch import cli

import stylegan_tf
from stylegan_tf import config as configs
from stylegan_tf.command_line import typed_command
from stylegan_tf.config import presets
from stylegan_tf.errors import UserError
from stylegan_tf.runs.request import FLAGS as SETTINGS
from stylegan_tf.runs.request import PLACES, SURROUNDINGS

__doc__ = __doc__.replace("{presets}", presets.preset_table())

FLAGS, define = cli.flag_set()
define.path(
    "data",
    "demo",
    "demo (or demo:N), a folder, a zip, a data set made by make_dataset.py, a folder "
    "of official TFRecords, or tfds:NAME. What is not a data set yet is converted "
    "once and kept.",
)
define.enum("preset", None, list(presets.PRESETS), "The recipe, see above.")
define.string(
    "resolution",
    None,
    "N, or HEIGHTxWIDTH such as 512x768. By default the preset's for demo, and what "
    "the pictures have, up to the preset's limit, for your own.",
)
define.float(
    "kimg",
    None,
    "Thousands of images to train for.",
    **cli.bounds("schedule.total_kimg"),
)
define.integer(
    "batch",
    None,
    "Images per step at every resolution, over all devices.",
    **cli.bounds("schedule.batch"),
)
define.integer(
    "accumulate",
    None,
    "Rounds that each step is split into, to fit a large batch on a small device.",
    **cli.bounds("accumulate"),
)
define.boolean(
    "recompute",
    None,
    "Compute feature maps again instead of keeping them for gradients: less memory, "
    "more time, the same results up to rounding.",
)
define.float("gamma", None, "Weight of the R1 penalty.", **cli.bounds("loss.r1_gamma"))
define.path(
    "labels",
    None,
    "Train a class-conditional model: auto (sub-folders, labels.csv, dataset.json), "
    "or the path of a CSV or JSON file. none is unconditional.",
)
define.boolean("mirror", None, "Flip half of the real pictures.")
define.enum(
    "crop",
    "center",
    ["center", "pad", "none"],
    "How pictures of another shape are fitted when they are converted.",
)
define.enum(
    "precision",
    None,
    ["float32", "bfloat16", "auto"],
    "Arithmetic of the networks; weights and statistics stay float32. auto "
    "is bfloat16 on CPUs that multiply in it, float32 elsewhere.",
)
define.enum(
    "jit",
    None,
    ["off", "on", "auto"],
    "Compile each step by XLA, which takes minutes at each resolution. auto compiles "
    "on one GPU, and not on CPUs, where it is slower, on several devices or with "
    "--deterministic.",
)
define.enum(
    "strategy",
    "auto",
    ["auto", "one", "mirrored", "multiworker", "tpu"],
    "Devices: auto takes what TF_CONFIG says, else all GPUs, else one device.",
)
define.path("out", "runs", "Folder of the runs.")
define.path(
    "resume",
    "auto",
    "auto continues the newest run that fits, never starts a new one, a run's folder "
    "continues that one.",
)
define.path(
    "init",
    None,
    "Start from this model: a run's folder, a .keras or .safetensors file, a "
    "checkpoint, a .pkl or .pt of another project, or its address. The networks become "
    "like its own, whatever the preset says, and start at the resolution that it has "
    "learned (while one fades in, at the one that shows more); --set changes either. "
    "Its size and labels may differ.",
)
define.integer(
    "seed",
    None,
    "Random seed for weights, data order and latents.",
    **cli.bounds("seed"),
)
define.boolean(
    "deterministic", None, "Repeatable to the bit on a GPU too, at some cost in speed."
)
define.integer(
    "snapshot_ticks",
    None,
    "Log lines between checkpoints.",
    **cli.bounds("snapshot_ticks"),
)
define.float(
    "checkpoint_minutes",
    None,
    "Minutes after which a checkpoint is due in any case; 0 = never.",
    **cli.bounds("checkpoint_minutes"),
)
define.integer(
    "image_ticks",
    None,
    "Log lines between sheets of pictures.",
    **cli.bounds("image_ticks"),
)
define.list(
    "metrics",
    None,
    "Measure the model while it trains: names as in evaluate.py, such as "
    "fid5k,ppl5k_wend. The best model by the first of them is kept in model/best.",
)
define.float(
    "metrics_every",
    None,
    "Thousands of images between two measurements.",
    **cli.bounds("metrics_every"),
)
define.path(
    "features",
    None,
    "Feature network of the metrics, as in evaluate.py.",
)
define.multi_string(
    "set", [], "Any other setting, NAME=VALUE; may be given several times."
)
define.path(
    "cache",
    None,
    "Folder that keeps converted pictures. By default that in STYLEGAN_TF_CACHE, or "
    "~/.cache/stylegan_tf.",
)
define.boolean("download", False, "Let TFDS download what is not there.")
define.boolean(
    "dry_run",
    False,
    "Print schedule, sizes, memory and first batches, and train nothing.",
)

GROUPS = {
    "Pictures": ("data", "resolution", "labels", "mirror", "crop", "cache", "download"),
    "The run": ("out", "resume", "init", "kimg", "preset", "seed", "set", "dry_run"),
    "Steps": ("batch", "gamma", "accumulate", "recompute"),
    "The machine": ("precision", "jit", "strategy", "deterministic"),
    "Measurements": ("metrics", "metrics_every", "features"),
    "What is kept": ("snapshot_ticks", "checkpoint_minutes", "image_ticks"),
}


def default_texts() -> dict[str, str]:
    """Defaults of the flags that change a setting, for the manual."""
    made = [configs.flat(presets.make_config(name)) for name in presets.PRESETS]
    demo = configs.flat(presets.make_config("demo"))
    texts = {}
    for flag in (name for name in SETTINGS if FLAGS[name].default is None):
        value = demo[SETTINGS[flag]]
        if value in ("", (), None):
            continue
        text = f"{value:g}" if isinstance(value, float) else str(value).lower()
        alike = all(config[SETTINGS[flag]] == value for config in made)
        texts[flag] = text if alike else f"the preset's; demo: {text}"
    return texts | {"preset": "demo"}


def settings() -> dict[str, object]:
    """The settings that --set names, by dotted name."""
    given: dict[str, object] = {}
    for text in FLAGS.set:
        name, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--set={text} is not NAME=VALUE.")
        given[name] = cli.expand_home(value) if name in PLACES else value
    configs.check_changes(given)
    return given


def main(argv: Sequence[str]) -> int:
    """Trains as the flags say; returns the exit code."""
    cli.announce_loading()
    from stylegan_tf.runs.arguments import make_request
    from stylegan_tf.runs.places import check_places

    given = {name: FLAGS[name].value for name in SETTINGS if FLAGS[name].present}
    arguments = {
        "settings": settings(),
        "preset": FLAGS.preset,
        "resolution": FLAGS.resolution,
        "out": FLAGS.out,
        "resume": FLAGS.resume,
    }
    given |= {name: FLAGS[name].value for name in SURROUNDINGS if name in FLAGS}
    given["command"] = typed_command()
    # Looked at before TensorFlow is loaded; `train` makes the same request, in no time.
    request = make_request(given, parts={}, **arguments)
    check_places(request)
    cli.load_tensorflow(cluster=FLAGS.strategy == "multiworker")
    if FLAGS.dry_run:
        from stylegan_tf.runs import dry_run

        print(dry_run.dry_run_report(request))
        return 0
    return stylegan_tf.train(**given, **arguments).exit_code


if __name__ == "__main__":
    cli.run(main, FLAGS)
