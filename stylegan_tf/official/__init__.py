"""Checkpoints of other StyleGAN projects: read into our networks, and written.

tf_pickles   NVIDIA's TensorFlow pickles as states
arguments    arguments of the official build functions as our configs, and back
names        names and layouts of the official variables
networks     states as our networks, and back
writing      writes official pickles
"""
