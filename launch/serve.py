r"""Serves a model over HTTP: pictures by seed, for programs.

    python launch/serve.py --model=runs/00000-demo-demo
    python launch/serve.py --model=generator.keras --port=8001 --directions=smile.npz
    curl "http://127.0.0.1:8000/v1/images?seeds=7&psi=0.5" > seed0007.png

Parameters have the names and the notation of generate.py's flags, and the same seed is
the same picture. http://127.0.0.1:8000/docs lists them. Several seeds are
answered with JSON. Requests that come at the same time are drawn together; if too many
wait, they are answered with 429 and the seconds to wait. /healthz says whether the
model is loaded, /metrics counts for Prometheus.

SIGTERM and Ctrl-C end it: requests that were accepted are answered first; a second
signal does not wait.

It serves this machine only, without accounts, and not the pages of other sites. Behind
a proxy, or with --host=0.0.0.0, say under which names:

    python launch/serve.py --model=generator.keras --host=0.0.0.0 \
      --trusted_hosts=pictures.example.org

Needs: pip install "stylegan_tf[serve]"
"""

from collections.abc import Sequence

from stylegan_tf_launch import cli

MOST_IMAGES, MOST_BATCH = 100_000, 256

FLAGS, define = cli.flag_set()
define.path("model", None, cli.MODEL)
cli.define_address(define, port=8000)
define.list(
    "trusted_hosts",
    [],
    "Other names that it is served under, such as a proxy's: "
    "pictures.example.org,*.example.net. All others but this machine's are refused.",
)
define.path("directions", None, "Named directions, from launch/directions.py.")
define.list(
    "batch_sizes",
    [],
    "Pictures per call of the network, such as 1,4,16; each size is compiled once. By "
    "default that of generate.py; pictures of other sizes may differ from its own by "
    "rounding.",
)
define.integer(
    "most_waiting",
    256,
    "Pictures that wait at most; requests beyond are answered with 429.",
    lower_bound=1,
    upper_bound=MOST_IMAGES,
)
define.integer(
    "most_seeds",
    64,
    "Pictures of an answer, at most.",
    lower_bound=1,
    upper_bound=MOST_IMAGES,
)
define.float(
    "grace",
    30,
    "Seconds that accepted requests may take after a signal.",
    lower_bound=1,
    upper_bound=3600,
)
define.bool(
    "metadata",
    True,
    "Write into PNGs how they were drawn, the model's path included, as generate.py "
    "does.",
)


def main(argv: Sequence[str]) -> int:
    """Serves until a signal; returns the exit code."""
    from stylegan_tf.serving import server
    from stylegan_tf.trust import Trust

    cli.announce_loading()
    cli.check_model(FLAGS.model)
    server.check_serving()
    cli.find_models([FLAGS.model])
    sizes, trust = _batch_sizes(), Trust(FLAGS.host, tuple(FLAGS.trusted_hosts))
    from stylegan_tf.serving.service import Service

    def load():
        cli.load_tensorflow(exact=True)
        from stylegan_tf import models
        from stylegan_tf.serving.drawing import BatchDrawer

        model = models.load(FLAGS.model)
        return BatchDrawer(model, FLAGS.model, FLAGS.directions, sizes)

    service = Service(FLAGS.most_waiting, FLAGS.most_seeds, FLAGS.metadata)
    server.run_server(load, service, FLAGS.host, FLAGS.port, trust, FLAGS.grace)
    return 0


def _batch_sizes() -> list[int]:
    """Returns the sizes of --batch_sizes.

    Raises:
        UserError: they are none.
    """
    from stylegan_tf.errors import UserError

    sizes = [int(t) if t.isdecimal() and len(t) < 5 else 0 for t in FLAGS.batch_sizes]
    if not all(1 <= size <= MOST_BATCH for size in sizes):
        raise UserError(
            f"--batch_sizes={','.join(FLAGS.batch_sizes)}: write numbers from 1 to "
            f"{MOST_BATCH}, such as 1,8."
        )
    return sizes


if __name__ == "__main__":
    cli.run(main, FLAGS)
