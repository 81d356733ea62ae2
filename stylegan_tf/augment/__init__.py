"""Augmentation for small data sets: DiffAugment, ADA and its controller."""
