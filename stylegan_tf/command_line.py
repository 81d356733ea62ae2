"""The commands that messages name, as this process's user can type them.

`stylegan-tf generate` where the installed command was called, `python
launch/generate.py` where a script was, from the folder it was called from.
"""

import re
import sys
from pathlib import Path

VERBS = ("train", "make_dataset", "generate", "explore", "serve", "figures")
VERBS += ("directions", "encode", "project", "evaluate", "runs", "compare", "sweep")
VERBS += ("export", "convert")
PROGRAM, INSTALLED = "stylegan-tf", "stylegan_tf_launch"
_NAMED = re.compile(rf"(?<![\w./-])(python )?(launch/)?({'|'.join(VERBS)})\.py\b")


def command_words(verb: str) -> tuple[str, ...]:
    """Returns the words that a command of this package begins with.

    Args:
        verb: one of `VERBS`.
    """
    script = Path(sys.argv[0] if sys.argv else "")
    ours = script.stem in VERBS and script.with_name("cli.py").is_file()
    # Not a train.py of somebody's own, nor `python -m` in an installed package.
    if ours and script.suffix == ".py" and script.parent.name != INSTALLED:
        return ("python", str(script.with_name(f"{verb}.py")))
    if script.stem != PROGRAM and Path(f"launch/{verb}.py").is_file():
        return ("python", f"launch/{verb}.py")
    return (PROGRAM, verb)


def typed_command() -> list[str]:
    """Returns this process's command, which runs may keep and model cards may show.

    An installed program or module is named without its folder, often a user's home.
    """
    program = Path(sys.argv[0]).stem
    if program == PROGRAM:
        return [PROGRAM, *sys.argv[1:]]
    if program in VERBS:
        return [*command_words(program), *sys.argv[1:]]
    return list(sys.argv)


def as_typed(text: str) -> str:
    """Puts the installed command, where it was called, in place of a text's scripts.

    These are named as "python launch/train.py", "launch/train.py" or "train.py".
    """

    def typed(match: re.Match[str]) -> str:
        words = command_words(match[3])
        return " ".join(words) if words[0] == PROGRAM else match[0]

    return _NAMED.sub(typed, text)
