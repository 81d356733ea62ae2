"""Checkpoints of other StyleGAN projects: read into our networks, and written.

tf_pickles   NVIDIA's TensorFlow pickles as states
torch_pickles, torch_arguments, torch_names, torch_networks
             NVIDIA's PyTorch pickles as networks
rosinality   state dicts of rosinality's StyleGAN2, in the same way
arguments    arguments of the official build functions as our configs, and back
names        names and layouts of the official variables
networks     states as our networks, and back
writing      writes official pickles
"""
