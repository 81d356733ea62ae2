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

Pages of other sites cannot use it. Through a tunnel with a name of its own, name it:

    python launch/explore.py --model=generator.keras --trusted_hosts=page.example.org

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
define.bool("open", False, "Show the page in the browser.")


def main(argv: Sequence[str]) -> int:
    """Serves the page until Ctrl-C; returns the exit code."""
    cli.announce_loading()
    from stylegan_tf.explorer import server
    from stylegan_tf.trust import Trust

    cli.check_model(FLAGS.model)
    trust = Trust(FLAGS.host, tuple(FLAGS.trusted_hosts), tuple(FLAGS.framed_by))
    server.check_server(FLAGS.host, FLAGS.port)

    cli.load_tensorflow(exact=True)
    from stylegan_tf import models
    from stylegan_tf.explorer.engine import Engine, offered_directions

    model = models.load(FLAGS.model)
    engine = Engine(
        model, FLAGS.model, offered_directions(model, path=FLAGS.directions)
    )
    try:
        server.serve(engine, FLAGS.host, FLAGS.port, FLAGS.open, trust)
    except KeyboardInterrupt:
        print()
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS)
