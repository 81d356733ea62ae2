# Serves a model over HTTP (docs/serving.md):
#
#   docker build -f docker/serve.Dockerfile -t stylegan-serve .
#   docker run -p 8000:8000 -v "$PWD/model:/model:ro" stylegan-serve \
#     --model=/model/generator.keras
#
# For NVIDIA GPUs: --build-arg EXTRAS=serve,gpu and docker run --gpus=all. The CUDA
# libraries are then packages of pip, so the base needs none; the host needs the driver.
ARG BASE=python:3.12-slim

FROM ${BASE} AS build
ARG EXTRAS=serve
WORKDIR /source
COPY requirements.txt setup.py pyproject.toml MANIFEST.in ./
COPY README.md LICENSE CHANGELOG.md CITATION.cff ./
COPY launch launch
COPY stylegan_tf stylegan_tf
RUN python -m venv /opt/stylegan \
 && /opt/stylegan/bin/pip install --no-cache-dir --no-compile ".[${EXTRAS}]"

FROM ${BASE}
COPY --from=build /opt/stylegan /opt/stylegan
ENV PATH=/opt/stylegan/bin:$PATH PYTHONUNBUFFERED=1
RUN useradd --create-home --uid 10001 stylegan
USER stylegan
WORKDIR /home/stylegan
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=180s --retries=3 \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz')"]
# SIGTERM, which `docker stop` sends, lets accepted requests be answered. The container
# is the wall to other machines: publish the port where it may be reached.
ENTRYPOINT ["stylegan-tf", "serve", "--host=0.0.0.0", "--port=8000"]
