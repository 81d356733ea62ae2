"""The installed command: `stylegan-tf VERB --flags` is `python launch/VERB.py --flags`.

Verbs:
    train          train a model, or go on with a run
    make_dataset   turn pictures into a data set, or check one
    generate       draw pictures with a model
    convert        official network pickles to models of ours, and back

`stylegan-tf VERB --help` is the manual of each.
"""

import importlib
import sys

from stylegan_tf_launch import cli

VERBS = ("train", "make_dataset", "generate", "convert")


def main() -> None:
    """Runs the verb that the command line begins with."""
    verb, *rest = sys.argv[1:] or ["--help"]
    if verb in ("-h", "--help", "help"):
        print(__doc__.strip())
        return
    verb = verb.replace("-", "_")
    if verb not in VERBS:
        print(f"error: no verb {verb!r}; there are {', '.join(VERBS)}", file=sys.stderr)
        sys.exit(2)
    script = importlib.import_module(f"stylegan_tf_launch.{verb}")
    cli.run(script.main, script.FLAGS, [f"stylegan-tf {verb}", *rest])


if __name__ == "__main__":
    main()
