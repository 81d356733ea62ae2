"""Turns checkpoints of other projects into models of this package, and back.

    python launch/convert.py --pickle=network-snapshot-010000.pkl --out=ffhq
    python launch/convert.py --pickle=stylegan2-ffhq-config-f.pt --out=ffhq2 --report
    python launch/convert.py --model=runs/00003-photos-paper256 --out=photos.pkl
    python launch/convert.py --model=generator.keras --out=generator.safetensors
    python launch/convert.py --model=x.pkl --out=x.safetensors --layout=rosinality
    python launch/convert.py --model=runs/00003-photos-paper256 --push=hf://me/photos

--pickle fills a folder with

    generator.keras       the moving average Gs, or G if the file has no Gs
    saved_model           the same for any TensorFlow program, without this package
    discriminator.keras   D, if the file has it
    report.txt            every variable of the file and the weight that holds it
    MODEL_CARD.md         facts about the model, and its license

It reads TensorFlow pickles of StyleGAN, StyleGAN2 (its skip, residual, original and
growing networks) and StyleGAN2-ADA, and, without PyTorch, PyTorch pickles of
StyleGAN2-ADA and StyleGAN3 (T and R), and the .pt files of rosinality's StyleGAN2.
Nothing in a file is run. The pickles of progressive GAN are not read.

Every script takes such a file as it is, as in generate.py --model=x.pkl, and train.py
--init=x.pkl takes its G, D and Gs. Convert one to open it faster, or to use it without
this package.

--model writes one file, whose kind is told by its name. Each is read again and compared
with the model before it is kept.

    x.keras         the generator, for this package
    x.safetensors   the generator: weights by our names, settings in the metadata; every
                    script opens it. With --layout=rosinality, a StyleGAN2 as the state
                    dict that editing tools in PyTorch load, and latent_avg; the
                    discriminator beside it
    x.pkl           an official TensorFlow pickle: of a run its G, D and Gs, of a
                    foreign file its networks, of any other model its generator as Gs

--push=hf://user/name uploads the folder to the Hugging Face Hub, as it is after
--pickle, or one that is made of --model; the card becomes its README. Every script then
opens hf://user/name. `hf auth login` stores the token that this needs.

A pickle's networks are square, of 3 x 3 convolutions on a 4 x 4 start, with labels
summed in the discriminator's output. A model without a counterpart, such as a DCGAN, is
refused. The file has every variable under its official name and in its official layout.
This package reads it, and so do converters that read the variables. NVIDIA's own code
does not: it compiles the program text of a pickle, which this file leaves out.
"""

import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path

from stylegan_tf_launch import cli

from stylegan_tf import hub
from stylegan_tf.command_line import command_words

FLAGS, define = cli.flag_set()
define.path(
    "pickle", None, "A .pkl or .pt of another project to convert into a folder."
)
define.path("model", None, f"A model to write as one file. {cli.MODEL}")
define.path(
    "out",
    None,
    "With --pickle a folder, with --model a file that ends in .keras, .safetensors or "
    ".pkl.",
)
define.enum(
    "layout",
    "own",
    ["own", "rosinality"],
    "Names and layout of the weights in a .safetensors file.",
)
define.string(
    "push",
    None,
    "Upload the folder to this repository of the Hugging Face Hub, hf://user/name.",
)
define.boolean("private", False, "With --push: create the repository as private.")
define.boolean(
    "report",
    False,
    "With --pickle: print every variable and the weight that holds it.",
)


def main(argv: Sequence[str]) -> int:
    """Converts as the flags say; returns the exit code."""
    cli.announce_loading()
    from stylegan_tf.errors import UserError

    if bool(FLAGS.pickle) == bool(FLAGS.model):
        given = "both --pickle and --model were" if FLAGS.pickle else "nothing was"
        raise UserError(
            f"{given} given; use --pickle=x.pkl --out=FOLDER to read a checkpoint of "
            f"another project, or --model=... --out=x.safetensors to write a file."
        )
    if FLAGS.push:
        hub.check_push(FLAGS.push)
    else:
        cli.refuse_flags(FLAGS, ["private"], "is of a repository, for --push.")
    if FLAGS.model and FLAGS.push and not FLAGS.out:
        return _push_model(FLAGS.model)
    if FLAGS.model and FLAGS.push:
        raise UserError(
            "--push uploads a folder that it makes; use --model with --out or --push."
        )
    if not FLAGS.out:
        target = "the folder to fill" if FLAGS.pickle else "the file to write"
        raise UserError(f"name {target} with --out=...")
    out = Path(FLAGS.out)
    if out.suffix != ".safetensors":
        cli.refuse_flags(FLAGS, ["layout"], "is of .safetensors files.")
    return _read(FLAGS.pickle, out) if FLAGS.pickle else _write(FLAGS.model, out)


def _read(pickle: str, out: Path) -> int:
    """Converts an official pickle into a folder of our files."""
    from stylegan_tf.errors import UserError

    if out.suffix in (".pkl", ".keras") or out.is_file():
        raise UserError(f"--out={out} is a file; --pickle fills a folder, name one.")
    cli.load_tensorflow(models=[pickle])
    from stylegan_tf import export, models
    from stylegan_tf.official import networks

    found = models.find_model(pickle)
    path = found.path
    if found.kind != "pickle":
        raise UserError(f"{path} is no checkpoint of another project; use --model.")
    loaded = networks.load_pickle(path)
    tables = [report.table() for report in loaded.reports]
    lines = tables if FLAGS.report else [str(report) for report in loaded.reports]
    print("\n".join(lines))
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.txt").write_text(
        "\n".join([str(path), *tables]) + "\n", encoding="utf-8"
    )
    if loaded.networks["D"]:
        loaded.networks["D"].save(out / "discriminator.keras")
        print(f"discriminator: {out / 'discriminator.keras'}")
    if loaded.generator:
        origin = export.provenance_of_model(path)
        export.save_model(loaded.generator, out, origin=origin)
        print(f"generator: {out / models.KERAS_FILE}, {out / models.SAVED_MODEL}")
        again = shlex.join([*command_words("generate"), f"--model={out}"])
        print(f"pictures: {again}")
    return _push(out) if FLAGS.push else 0


def _push_model(model: str) -> int:
    """Makes a model's folder and uploads it."""
    cli.load_tensorflow(models=[model])
    from stylegan_tf import export, models

    origin = export.provenance_of_model(model)
    with tempfile.TemporaryDirectory(prefix="push-") as folder:
        export.save_model(models.load(model), folder, origin=origin)
        return _push(Path(folder))


def _push(folder: Path) -> int:
    """Uploads a folder with its card as README."""
    from stylegan_tf import export
    from stylegan_tf.errors import UserError

    if not (folder / export.CARD_JSON).is_file():
        raise UserError(f"{folder} has no generator, so nothing is uploaded.")
    export.write_readme(folder, FLAGS.push)
    print(f"uploaded: {hub.push_folder(folder, FLAGS.push, FLAGS.private)}")
    return 0


def _write(model: str, out: Path) -> int:
    """Writes a model as one file of the kind that its name tells."""
    from stylegan_tf.errors import UserError

    writers = {
        ".pkl": _write_pickle,
        ".keras": _write_own,
        ".safetensors": _write_own if FLAGS.layout == "own" else _write_state_dicts,
    }
    if out.suffix not in writers:
        raise UserError(
            f"--out={out}: --model is written as a file; let its name end in "
            f"{', '.join(writers)}."
        )
    if out.is_dir():
        raise UserError(f"--out={out} is a folder; name a file.")
    cli.load_tensorflow(models=[model])
    out.parent.mkdir(parents=True, exist_ok=True)
    writers[out.suffix](model, out)
    return 0


def _write_pickle(model: str, out: Path) -> None:
    from stylegan_tf import models
    from stylegan_tf.official import saving

    growth = models.growth_of(model)
    g, d, gs = models.load_networks(model)
    saving.save_checked_pickle(out, g, d, gs, growth)
    named = {"G": g, "D": d, "Gs": gs}
    print(f"{out}: {', '.join(name for name, network in named.items() if network)}")


def _write_own(model: str, out: Path) -> None:
    """Writes a generator, as far as it has grown, as .keras or .safetensors."""
    from stylegan_tf import export, models

    generator = models.load(model)
    copy = export.copy_at_resolution(generator, generator.growth.resolution)
    export.save_generator(copy, out)
    again = shlex.join([*command_words("generate"), f"--model={out}"])
    print(f"{out}: {copy.count_params():,} weights; {again}")


def _write_state_dicts(model: str, out: Path) -> None:
    """Writes a StyleGAN2 in rosinality's layout."""
    from stylegan_tf import models
    from stylegan_tf.errors import UserError
    from stylegan_tf.official import saving

    g, d, gs = models.load_networks(model)
    if not (gs or g):
        raise UserError(f"{model} has a discriminator only, no generator to write.")
    for file in saving.save_state_dicts(out, gs or g, d):
        print(f"{file}: a state dict of rosinality's StyleGAN2")


if __name__ == "__main__":
    cli.run(main, FLAGS)
