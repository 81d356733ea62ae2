"""What the server of `processes` imports before it forks: all that a training needs.

Nothing here may execute an operation: TensorFlow's threads do not survive a fork.
"""

import os

import stylegan_tf_launch.train  # noqa: F401  sets the variables of the environment

_stderr = os.dup(2)
os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what C++ says while it is loaded

import tensorflow  # noqa: E402, F401

import stylegan_tf.runs.dry_run  # noqa: E402
import stylegan_tf.runs.session  # noqa: E402, F401

os.dup2(_stderr, 2)
