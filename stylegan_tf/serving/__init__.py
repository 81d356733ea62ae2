"""Serves a generator over HTTP: requests, their queue, batches of images, answers."""
