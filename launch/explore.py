"""Opens a page on which a model is steered by hand.

    python launch/explore.py --model=runs/00000-demo-demo
    python launch/explore.py --model=generator.keras --open --port=8081
    python launch/explore.py --model=runs/00000-demo-demo --directions=smile.npz

Seeds, truncation, style mixing, classes, noise and directions are controls; dragging
the picture moves through latent space. Pictures are kept, saved, or taken away as the
command line of generate.py that draws them again, to the bit.

The page is served to this machine only, without an account, and asks for nothing from
any other. From another machine, through SSH:

    ssh -L 8080:127.0.0.1:8080 HOST     and then http://127.0.0.1:8080 at home

Needs: pip install "stylegan_tf[explore]"
"""

from collections.abc import Sequence

from stylegan_tf_launch import cli

FLAGS, define = cli.flag_set()
define.path("model", None, cli.MODEL)
define.integer("port", 8080, "Port to serve on.", lower_bound=1, upper_bound=65535)
define.string(
    "host",
    "127.0.0.1",
    "Address to serve on. Others than the default let other machines in, without "
    "asking who they are.",
)
define.path(
    "directions",
    None,
    "Directions of an .npz file, beside the model's own (PCA, SeFa).",
)
define.bool("open", False, "Show the page in the browser.")


def main(argv: Sequence[str]) -> int:
    """Serves the page until Ctrl-C; returns the exit code."""
    from stylegan_tf.explorer import server

    cli.check_model(FLAGS.model)
    server.check_server(FLAGS.host, FLAGS.port)

    cli.load_tensorflow(exact=True)
    from stylegan_tf import models
    from stylegan_tf.explorer.engine import Engine, offered_directions

    model = models.load(FLAGS.model)
    engine = Engine(
        model, FLAGS.model, offered_directions(model, path=FLAGS.directions)
    )
    try:
        server.serve(engine, FLAGS.host, FLAGS.port, FLAGS.open)
    except KeyboardInterrupt:
        print()
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS)
