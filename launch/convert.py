"""Turns NVIDIA's official network pickles into models of this package, and back.

    python launch/convert.py --pickle=network-snapshot-010000.pkl --out=ffhq
    python launch/convert.py --pickle=stylegan2-ffhq-config-f.pkl --out=ffhq2 --report
    python launch/convert.py --model=runs/00003-photos-paper256 --out=photos.pkl
    python launch/convert.py --model=generator.keras --out=generator.pkl

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

Every script takes a pickle as it is, as in generate.py --model=x.pkl, and train.py
--init=x.pkl takes its G, D and Gs. Convert one to open it faster, or to use it without
this package.

--model writes a pickle: of a run its G, D and Gs, of an official pickle its networks,
of any other model its generator as Gs. The official networks are square, of 3 x 3
convolutions on a 4 x 4 start, with labels summed in the discriminator's output. A model
without a counterpart, such as a DCGAN, is refused. The file has every variable under
its official name and in its official layout. This package reads it, and so do
converters that read the variables. NVIDIA's own code does not: it compiles the program
text of a pickle, which this file leaves out.
"""

from collections.abc import Sequence
from pathlib import Path

from stylegan_tf_launch import cli

FLAGS, define = cli.flag_set()
define.path(
    "pickle", None, "A .pkl or .pt of another project to convert into a folder."
)
define.path(
    "model",
    None,
    "A model to write as an official pickle: a run's folder, a .keras file, a "
    "checkpoint such as RUN/checkpoints/ckpt-1000, or an official .pkl.",
)
define.path(
    "out", None, "With --pickle a folder, with --model a file that ends in .pkl."
)
define.boolean(
    "report",
    False,
    "With --pickle: print every variable and the weight that holds it.",
)


def main(argv: Sequence[str]) -> int:
    """Converts as the flags say; returns the exit code."""
    from stylegan_tf.errors import UserError

    if bool(FLAGS.pickle) == bool(FLAGS.model):
        given = "both --pickle and --model were" if FLAGS.pickle else "nothing was"
        raise UserError(
            f"{given} given; use --pickle=x.pkl --out=FOLDER to read an official "
            f"pickle, or --model=... --out=x.pkl to write one."
        )
    if not FLAGS.out:
        target = "the folder to fill" if FLAGS.pickle else "the .pkl file to write"
        raise UserError(f"name {target} with --out=...")
    out = Path(FLAGS.out).expanduser()
    return _read(FLAGS.pickle, out) if FLAGS.pickle else _write(FLAGS.model, out)


def _read(pickle: str, out: Path) -> int:
    """Converts an official pickle into a folder of our files."""
    from stylegan_tf.errors import UserError

    if out.suffix in (".pkl", ".keras") or out.is_file():
        raise UserError(f"--out={out} is a file; --pickle fills a folder, name one.")
    cli.load_tensorflow()
    from stylegan_tf import export, models
    from stylegan_tf.official import networks

    path = Path(pickle).expanduser()
    loaded = networks.load_pickle(path)
    tables = [report.table() for report in loaded.reports]
    lines = tables if FLAGS.report else [str(report) for report in loaded.reports]
    print("\n".join(lines))
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.txt").write_text("\n".join([str(path), *tables]) + "\n")
    if loaded.networks["D"]:
        loaded.networks["D"].save(out / "discriminator.keras")
        print(f"discriminator: {out / 'discriminator.keras'}")
    if loaded.generator:
        origin = export.provenance_of_model(path)
        export.save_model(loaded.generator, out, origin=origin)
        print(f"generator: {out / models.KERAS_FILE}, {out / models.SAVED_MODEL}")
        print(f"pictures: python launch/generate.py --model={out}")
    return 0


def _write(model: str, out: Path) -> int:
    """Writes a model as an official pickle."""
    from stylegan_tf.errors import UserError

    if out.suffix != ".pkl":
        raise UserError(
            f"--out={out} is no .pkl file; --model is written as one, name it x.pkl."
        )
    cli.load_tensorflow()
    from stylegan_tf import models
    from stylegan_tf.official import networks

    growth = models.growth_of(model)
    g, d, gs = models.load_networks(model)
    out.parent.mkdir(parents=True, exist_ok=True)
    networks.save_pickle(out, g, d, gs, growth)
    named = {"G": g, "D": d, "Gs": gs}
    print(f"{out}: {', '.join(name for name, network in named.items() if network)}")
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS)
