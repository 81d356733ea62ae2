# Trains on pictures, or any other verb of stylegan-tf (docs/serving.md):
#
#   docker build -f docker/train.Dockerfile -t stylegan-train .
#   docker run --user "$(id -u)" -v "$PWD/photos:/data:ro" -v "$PWD/runs:/runs" \
#     stylegan-train train --data=/data --out=/runs
#
# For NVIDIA GPUs: --build-arg EXTRAS=gpu and docker run --gpus=all.
ARG BASE=python:3.12-slim

FROM ${BASE} AS build
ARG EXTRAS=onnx,litert,video
WORKDIR /source
COPY requirements.txt setup.py pyproject.toml MANIFEST.in ./
COPY README.md LICENSE CHANGELOG.md CITATION.cff ./
COPY launch launch
COPY stylegan_tf stylegan_tf
RUN python -m venv /opt/stylegan \
 && /opt/stylegan/bin/pip install --no-cache-dir --no-compile ".[${EXTRAS}]"

FROM ${BASE}
COPY --from=build /opt/stylegan /opt/stylegan
# The home of whatever user the container is started with.
ENV PATH=/opt/stylegan/bin:$PATH PYTHONUNBUFFERED=1 HOME=/tmp
RUN useradd --uid 10001 stylegan && mkdir /runs && chown stylegan /runs
USER stylegan
WORKDIR /tmp
VOLUME /runs
# A training has no port to ask: it ends with an exit code, and the same command goes on.
HEALTHCHECK NONE
# SIGTERM, which `docker stop` sends, saves a checkpoint: give it time with --time=120.
ENTRYPOINT ["stylegan-tf"]
CMD ["--help"]
