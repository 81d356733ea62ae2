"""Measures a model: how far its pictures are from real ones, how evenly latents move.

    python launch/evaluate.py --model=runs/00000-demo-demo
    python launch/evaluate.py --model=runs/00000-demo-demo --metrics=all --num=5000
    python launch/evaluate.py --model=generator.keras --data=photos/ --metrics=pr50k3
    python launch/evaluate.py --model=x.pkl --data=ffhq/ --features=inception:FILE

Prints a table, and adds to metrics.jsonl and TensorBoard in the run's folder. What is
there already for the same model, data and network is not computed again, and what was
stopped goes on where it was: give the same command again.

A number carries the name of the network that it was measured in, fid50k[builtin-v1],
and can be compared only with numbers of the same name. Only fid50k[inception-2015] is
the FID of papers.

Metrics (all is every one that the network can compute; the rest is listed with the
reason):
{metrics}

fid5k, kid10k, pr5k3, ppl5k_wend, ls5k are the same with another number of pictures.
"""

from collections.abc import Sequence

from stylegan_tf_launch import cli

from stylegan_tf.metrics import suite

__doc__ = __doc__.replace("{metrics}", suite.metrics_table())

FLAGS, define = cli.flag_set()
define.string("model", None, cli.MODEL)
define.string(
    "data",
    None,
    "Real pictures to compare with, as train.py takes them: demo, a folder, a zip, a "
    "data set. By default what the run was trained on.",
)
define.list("metrics", ["fid50k"], "Names, see above.")
define.string(
    "features",
    "builtin",
    "The network to measure in: builtin, random, keras:NAME, inception:FILE or "
    "vgg16-lpips:FILE.",
)
define.integer(
    "num",
    None,
    "Pictures drawn for each metric, whatever its name says; it is renamed: fid5k. "
    "5000 is a quick look.",
    lower_bound=1,
)
define.bool(
    "mirror",
    None,
    "Whether the model was trained on mirrored pictures too. By default as its run "
    "says, and no for a model of no run.",
)
define.integer(
    "batch",
    None,
    "Pictures at a time, over all devices. By default as their size suits.",
    lower_bound=1,
)
define.enum(
    "strategy",
    "auto",
    ["auto", "one", "mirrored"],
    "Devices of this machine that draw: auto takes all GPUs, else one device.",
)
define.string(
    "cache", None, "Folder that keeps converted pictures and what was measured of them."
)
define.string(
    "out",
    None,
    "Folder for metrics.jsonl and TensorBoard. By default the run's, or out/ for a "
    "model of no run.",
)


def main(argv: Sequence[str]) -> int:
    """Measures as the flags say; returns the exit code."""
    from stylegan_tf.errors import UserError

    cli.check_model(FLAGS.model)
    requests = suite.parse_metrics(FLAGS.metrics, FLAGS.num)
    cli.load_tensorflow(exact=True)
    from stylegan_tf.metrics import results

    evaluation = _open()
    refused = {r: why for r in requests if (why := evaluation.refusal(r))}
    if refused and "all" not in FLAGS.metrics:
        name, why = next((r.name, why) for r, why in refused.items())
        raise UserError(f"{name} cannot be computed: {why}.")
    requests = [r for r in requests if r not in refused]
    evaluation.announce(requests)
    rows = evaluation.run(requests)
    results.write_summaries(evaluation.out, rows)
    print(results.results_table(rows, {r.name: why for r, why in refused.items()}))
    print(f"in {evaluation.out / results.FILE}")
    return 0


def _open():
    from stylegan_tf import devices
    from stylegan_tf.metrics import features, subject
    from stylegan_tf.metrics.evaluation import Evaluation

    strategy = devices.make_strategy(FLAGS.strategy)
    subject = subject.open_subject(FLAGS.model, strategy, FLAGS.data, FLAGS.cache)
    channels = subject.model.config.channels
    network = features.open_network(FLAGS.features, subject.data, channels, FLAGS.cache)
    return Evaluation(
        subject.model,
        subject.data,
        network,
        strategy,
        FLAGS.out or subject.run or "out",
        mirror=subject.mirror if FLAGS.mirror is None else FLAGS.mirror,
        nimg=subject.nimg,
        batch=FLAGS.batch,
        cache=FLAGS.cache,
        progress=True,
    )


if __name__ == "__main__":
    cli.run(main, FLAGS)
