"""The command line: one absl script a verb, thin from flags to one call.

Installed as `stylegan_tf_launch`; `python launch/VERB.py` and `stylegan-tf VERB` are
the same. Flags belong to their script (a `FlagValues` each), so several scripts can be
imported into one process.
"""
