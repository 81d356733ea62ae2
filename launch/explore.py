"""Opens a page on which a model is steered by hand.

    python launch/explore.py --model=runs/00000-demo-demo
    python launch/explore.py --model=generator.keras --open --port=8081
    python launch/explore.py --model=runs/00000-demo-demo --directions=smile.npz
    python launch/explore.py --model=runs/00000-demo-demo --others=runs/00001-cats-demo

Seeds, truncation, style mixing, classes, noise and directions are controls; dragging
the picture moves through latent space. Pictures are kept, saved, or taken away as the
command line of generate.py that draws them again, to the bit.

With an encoder of encode.py, --encoder=FILE or encoder.keras in the run's folder or
beside the model's file, projections begin at its answer and take fewer steps.

Points of the picture can be dragged to other places (DragGAN), held by a mask. A
picture of your own is projected into the model, tuned, edited, mixed, and saved with
its styles; it stays on this machine.

The page is served to this machine only, without an account, and asks for nothing from
any other. From another machine, through SSH:

    ssh -L 8080:127.0.0.1:8080 HOST     and then http://127.0.0.1:8080 at home

Pages of other sites cannot use it. Through a tunnel with a name of its own, name it:

    python launch/explore.py --model=generator.keras --trusted_hosts=page.example.org

Needs: pip install "stylegan_tf[explore]"
"""

import copy
from collections.abc import Mapping, Sequence

from stylegan_tf_launch import cli

FLAGS, define = cli.flag_set()
define.path("model", None, cli.MODEL)
define.paths("others", None, "More models, which the page offers in a menu.")
cli.define_address(define, port=8080)
define.list(
    "trusted_hosts",
    [],
    "Other names that the page is served under, such as a tunnel's: "
    "page.example.org,*.example.net. All others but this machine's are refused.",
)
define.list(
    "framed_by",
    [],
    "Sites that may show the page in a frame, such as https://notebook.example.org.",
)
define.path(
    "directions",
    None,
    "Directions of an .npz file, beside the model's own (PCA, SeFa).",
)
define.path(
    "encoder",
    None,
    "The encoder of --model, of encode.py; by default encoder.keras in a run's folder, "
    "or beside a model's file, if it is there.",
)
define.bool("open", False, "Show the page in the browser.")


def main(argv: Sequence[str]) -> int:
    """Serves the page until Ctrl-C; returns the exit code."""
    cli.announce_loading()
    from stylegan_tf.explorer import server
    from stylegan_tf.trust import Trust

    cli.check_model(FLAGS.model)
    trust = Trust(FLAGS.host, tuple(FLAGS.trusted_hosts), tuple(FLAGS.framed_by))
    server.check_server(FLAGS.host, FLAGS.port)

    opened = [FLAGS.model, *(FLAGS.others or [])]
    cli.load_tensorflow(exact=True, models=opened)
    from stylegan_tf import models
    from stylegan_tf.explorer.engine import Engine, offered_directions
    from stylegan_tf.explorer.shelf import Shelf

    def open_engine(path: str) -> Engine:
        model, file = models.load(path), models.find_model(path)
        first = path == FLAGS.model
        given = FLAGS.directions if first else None
        encoder, encoder_file = _find_encoder(
            model, path, FLAGS.encoder if first else None
        )
        return Engine(
            model,
            path,
            offered_directions(model, path=given),
            describe=_facts,
            original=None if file.original else file.path,
            encoder=encoder,
            encoder_file=encoder_file,
        )

    shelf = Shelf(opened, open_engine)
    shelf.engine()  # before the page says where it is
    try:
        server.serve(shelf, FLAGS.host, FLAGS.port, FLAGS.open, trust)
    except KeyboardInterrupt:
        print()
    return 0


def _find_encoder(model, path: str, given: str | None):
    """Returns a model's encoder and its file: the given one, or one beside the model.

    One beside a model that has been trained on is of another checkpoint, and left out.
    """
    from stylegan_tf.errors import UserError
    from stylegan_tf.projector import load_encoder

    file = given or cli.find_encoder(path)
    try:
        return (load_encoder(file, model), file) if file else (None, None)
    except UserError as error:
        if given:
            raise
        print(f"{error}\nProjections begin at the mean picture.")
        return None, None


def _facts(words: Sequence[str]) -> Mapping[str, str]:
    """Returns the texts of a PNG that a command line of generate.py draws."""
    from stylegan_tf_launch import generate, recipes

    from stylegan_tf.latents import parse_numbers

    values = copy.deepcopy(generate.FLAGS)
    values(["generate", *(word for word in words if word.startswith("--"))])
    seeds = parse_numbers(values.seeds) if values.seeds else []
    classes = parse_numbers(values.classes, "classes") if values.classes else None
    return recipes.picture_facts(values, seeds, classes)


if __name__ == "__main__":
    cli.run(main, FLAGS)
