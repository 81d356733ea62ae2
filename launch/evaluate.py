"""Evaluates a model: FID, KID, precision and recall, path length, disentanglement.

    python launch/evaluate.py --model=runs/00000-demo-demo
    python launch/evaluate.py --model=runs/00000-demo-demo --metrics=all --num=5000
    python launch/evaluate.py --model=generator.keras --data=photos/ --metrics=pr50k3
    python launch/evaluate.py --model=x.pkl --data=ffhq/ --features=inception:FILE

Prints a table, and adds to metrics.jsonl and TensorBoard in the run's folder. A metric
recorded for the same model, data and network is not computed again. An evaluation that
was stopped continues with the same command.

A score carries the name of its feature network, fid50k[builtin-v1], and compares only
with scores of the same name. Only fid50k[inception-2015] is the FID of papers.

Metrics (all is every metric that the network can compute; the others are listed with
the reason):
{metrics}

fid5k, kid10k, pr5k3, ppl5k_wend, ls5k are the same with another number of pictures.
"""

from collections.abc import Sequence

from stylegan_tf_launch import cli

from stylegan_tf.metrics import suite

__doc__ = __doc__.replace("{metrics}", suite.metrics_table())

FLAGS, define = cli.flag_set()
define.path("model", None, cli.MODEL)
define.path(
    "data",
    None,
    "Real pictures to compare with, as train.py takes them: demo, a folder, a zip, a "
    "data set. By default the run's training data.",
)
define.list("metrics", ["fid50k"], "Names of metrics, see above.")
define.path(
    "features",
    "builtin",
    "The feature network: builtin, random, efficientnet-lite0, keras:NAME, "
    "inception:FILE or vgg16-lpips:FILE.",
)
define.integer(
    "num",
    None,
    "Pictures drawn for each metric, in place of the number in its name (which becomes "
    "fid5k). 5000 is a quick look.",
    lower_bound=1,
    upper_bound=suite.MOST_PICTURES,
)
define.bool(
    "mirror",
    None,
    "The model was trained on mirrored pictures too. By default by its run, and no for "
    "a model of no run.",
)
define.integer(
    "batch",
    None,
    "Pictures per batch, over all devices. By default by their size.",
    lower_bound=1,
    upper_bound=1 << 16,
)
define.enum(
    "strategy",
    "auto",
    ["auto", "one", "mirrored"],
    "Devices of this machine that draw: auto takes all GPUs, else one device.",
)
define.path("cache", None, "Folder of converted data sets and their statistics.")
define.path(
    "nearest",
    None,
    "Write a sheet of the generated pictures that are nearest to training pictures, "
    "each beside these, chosen from --num (1000).",
)
define.path(
    "out",
    None,
    "Folder for metrics.jsonl and TensorBoard. By default the run's, or out/ for a "
    "model of no run.",
)


def main(argv: Sequence[str]) -> int:
    """Evaluates as the flags say; returns the exit code."""
    cli.announce_loading()
    from stylegan_tf.errors import UserError

    cli.check_model(FLAGS.model)
    requests = suite.parse_metrics(FLAGS.metrics, FLAGS.num)
    cli.load_tensorflow(exact=True, models=[FLAGS.model])
    from stylegan_tf.metrics import results

    evaluation = _open()
    refused = {r: reason for r in requests if (reason := evaluation.refusal(r))}
    if refused and "all" not in FLAGS.metrics:
        name, reason = next((r.name, reason) for r, reason in refused.items())
        raise UserError(f"{name} cannot be computed: {reason}.")
    requests = [r for r in requests if r not in refused]
    evaluation.announce(requests)
    if FLAGS.nearest:
        _write_nearest(evaluation)
    rows = evaluation.run(requests)
    results.write_summaries(evaluation.out, rows)
    print(results.results_table(rows, {r.name: x for r, x in refused.items()}))
    print(f"in {evaluation.out / results.FILE}")
    return 0


def _write_nearest(evaluation) -> None:
    from stylegan_tf.figures import save_image
    from stylegan_tf.figures.facts import picture_texts
    from stylegan_tf.metrics.nearest import nearest_figure

    sheet, share = nearest_figure(evaluation, FLAGS.num or 1000)
    model = {"model": FLAGS.model}
    texts = picture_texts("nearest", model, Data=evaluation.manifest.name)
    path = save_image(FLAGS.nearest, sheet, texts)
    near = f"{100 * share:.1f} % of {FLAGS.num or 1000} pictures are as near to a"
    print(
        f"{path}: {near} training picture as that is to its own neighbor; of copies "
        "100 % are, of new pictures about half"
    )


def _open():
    from stylegan_tf import devices
    from stylegan_tf.metrics import features
    from stylegan_tf.metrics.evaluation import Evaluation
    from stylegan_tf.metrics.subject import open_subject
    from stylegan_tf.remote import is_remote

    strategy = devices.make_strategy(FLAGS.strategy)
    subject = open_subject(FLAGS.model, strategy, FLAGS.data, FLAGS.cache)
    channels = subject.model.config.channels
    network = features.open_network(FLAGS.features, subject.data, channels, FLAGS.cache)
    return Evaluation(
        subject.model,
        subject.data,
        network,
        strategy,
        FLAGS.out or (None if is_remote(FLAGS.model) else subject.run) or "out",
        mirror=subject.mirror if FLAGS.mirror is None else FLAGS.mirror,
        nimg=subject.nimg,
        settings=subject.settings,
        batch=FLAGS.batch,
        cache=FLAGS.cache,
        progress=True,
    )


if __name__ == "__main__":
    cli.run(main, FLAGS)
