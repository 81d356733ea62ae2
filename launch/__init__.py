"""The command line: one absl script per verb, thin: flags to one call.

Installed as `stylegan_tf_launch`; `python launch/VERB.py` and `stylegan-tf VERB` are
the same. Each script has its own `FlagValues`, so that one process can import several.
"""
