"""The installed command: `stylegan-tf VERB --flags` is `python launch/VERB.py --flags`.

Verbs:
    train          train a model, or go on with a run
    make_dataset   turn pictures into a data set, or check one
    generate       draw pictures with a model
    explore        steer a model on a page in the browser
    serve          a model over HTTP, for programs
    figures        draw the figures of the paper with a model
    directions     find directions in w that change pictures in a way one can name
    encode         train an encoder, which tells the styles of pictures at once
    project        find the styles of given pictures
    evaluate       measure a model
    runs           list training runs
    compare        lay runs side by side: a table, a page with curves and pictures
    sweep          train a run for each combination of settings, and compare them
    export         a model for TensorFlow, ONNX, LiteRT and Keras
    convert        official network pickles to models of ours, and back

`stylegan-tf VERB --help` is the manual of each; `stylegan-tf --version` tells the
versions of the package and of what it runs on.
"""

import difflib
import importlib
import sys

from stylegan_tf_launch import cli, parsing

from stylegan_tf.command_line import VERBS


def main() -> None:
    """Runs the script whose verb the command line begins with."""
    verb, *rest = sys.argv[1:] or ["--help"]
    if verb in ("-h", "--help", "help"):
        print(__doc__.strip())
        return
    if verb == "--version":
        print(parsing.version_text())
        return
    verb = verb.replace("-", "_")
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, 1, 0.7)
        hint = f"did you mean {near[0]}? There" if near else "there"
        print(
            f"error: no verb {verb!r}; {hint} are {', '.join(VERBS)}", file=sys.stderr
        )
        sys.exit(2)
    script = importlib.import_module(f"stylegan_tf_launch.{verb}")
    cli.run(script.main, script.FLAGS, [f"stylegan-tf {verb}", *rest])


if __name__ == "__main__":
    main()
