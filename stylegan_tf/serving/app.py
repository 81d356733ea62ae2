"""The web application: paths, parameters, answers and errors.

    GET  /v1/images?seeds=7&psi=0.5      a picture; several seeds: JSON
    POST /v1/images  {"seeds": [0, 1]}   the same parameters as JSON
    GET  /v1/model                       facts about the model
    GET  /healthz, /metrics              loading or ready; Prometheus
    GET  /docs, /openapi.json            the API, for people and for programs

Whatever is wrong with a request is said in a sentence, as {"detail": "..."}: 400 what
is no value of a parameter or not in the model, 422 what is no parameter or no JSON
object, 429 the queue is full, 503 the model is loading.
"""

import asyncio
import base64
import json
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

import stylegan_tf
from stylegan_tf.config.limits import shortened
from stylegan_tf.errors import UserError
from stylegan_tf.figures.facts import picture_texts
from stylegan_tf.figures.sheets import enlarge, image_bytes
from stylegan_tf.serving.page import docs_page
from stylegan_tf.serving.queue import QueueFullError, WaitingImage
from stylegan_tf.serving.requests import (
    FORMATS,
    ImageRequest,
    ModelFacts,
    flag_texts,
    read_request,
)
from stylegan_tf.serving.service import Service

PATHS = ("/", "/docs", "/openapi.json", "/healthz", "/metrics")
PATHS += ("/v1/images", "/v1/model")
CHECK_CLIENT = 1.0  # seconds between looks at whether a waiting client is still there
LOADING = "the model is loading; try again in a few seconds."
LONGEST, MOST = 2000, 100  # characters of a text, items of a list

Text = Annotated[str, Field(max_length=LONGEST)]
Numbers = Annotated[list[int], Field(max_length=10_000)]
Reals = Annotated[list[float], Field(max_length=MOST)]
Texts = Annotated[list[Text], Field(max_length=MOST)]
Vectors = Annotated[list[Reals | Text], Field(max_length=MOST)]

# What each parameter takes; generate.py's flags of these names take the same.
TAKES = {
    "seeds": "numbers and ranges such as 0-3,7: a picture for each",
    "psi": "a number, truncation: 0 the average picture, 1 all that the model knows; "
    "or one for each layer, 0.5,0.5,1",
    "cutoff": "the number of layers that are truncated, from the coarsest",
    "psi_center": "class or global, the average that truncation pulls towards",
    "noise": "const, random (from the seed) or none",
    "classes": "classes such as 0-2 or cats, which the seeds take in turn",
    "label": "a label vector such as 0.3,0.7, or several, which the seeds take in turn",
    "mix": "SEED@LAYERS such as 639@coarse: layers that come from another seed; or "
    "several",
    "edit": "DIRECTION:AMOUNT or DIRECTION:AMOUNT@LAYERS such as pca0:2@0-3; or "
    "several",
    "translate": "x,y such as 0.25,0, in widths of a picture; of StyleGAN3",
    "rotate": "degrees, counterclockwise; of StyleGAN3",
    "enlarge": "how many times each pixel is repeated, 1 by default",
    "format": f"{' or '.join(FORMATS)}; png by default, json for several seeds",
}


def _taking(name: str) -> Any:
    return Field(None, description=f"{TAKES[name]}.")


class ImageQuery(BaseModel):
    """Parameters of an address."""

    model_config = ConfigDict(extra="forbid")
    seeds: Text | None = _taking("seeds")
    psi: Text | None = _taking("psi")
    cutoff: Text | None = _taking("cutoff")
    psi_center: Text | None = _taking("psi_center")
    noise: Text | None = _taking("noise")
    classes: Text | None = _taking("classes")
    label: Texts = Field([], description=f"{TAKES['label']}.")
    mix: Texts = Field([], description=f"{TAKES['mix']}.")
    edit: Texts = Field([], description=f"{TAKES['edit']}.")
    translate: Text | None = _taking("translate")
    rotate: Text | None = _taking("rotate")
    enlarge: Text | None = _taking("enlarge")
    format: Text | None = _taking("format")


class ImageBody(BaseModel):
    """Parameters as JSON."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "example": {"seeds": [0, 1, 2], "psi": 0.7, "mix": ["639@coarse"]}
        },
    )
    seeds: int | Text | Numbers | None = _taking("seeds")
    psi: float | Text | Reals | None = _taking("psi")
    cutoff: int | None = _taking("cutoff")
    psi_center: Text | None = _taking("psi_center")
    noise: Text | None = _taking("noise")
    classes: int | Text | Numbers | None = _taking("classes")
    label: Reals | Vectors | Text | None = _taking("label")
    mix: Text | Texts | None = _taking("mix")
    edit: Text | Texts | None = _taking("edit")
    translate: Text | Reals | None = _taking("translate")
    rotate: float | Text | None = _taking("rotate")
    enlarge: int | None = _taking("enlarge")
    format: Text | None = _taking("format")


class Problem(BaseModel):
    """An error: what was received, what is expected, what to do."""

    detail: str


class Sentence(Response):
    """JSON in ASCII, which every text that was received fits in."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        """Returns the body."""
        return json.dumps(content, separators=(",", ":")).encode("ascii")


def problem(status: int, text: str, wait: int | None = None) -> Response:
    """Returns an answer with a sentence; `wait` is in seconds."""
    headers = {} if wait is None else {"Retry-After": str(wait)}
    return Sentence({"detail": text}, status, headers)


PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {
        "model": Problem,
        "description": "No value of a parameter, or not in the model.",
    },
    422: {"model": Problem, "description": "No such parameter, or no JSON object."},
    429: {"model": Problem, "description": "The queue is full; see Retry-After."},
    503: {"model": Problem, "description": "The model is loading."},
}
PICTURE: dict[str, Any] = {
    "image/png": {"schema": {"type": "string", "format": "binary"}},
    "image/jpeg": {"schema": {"type": "string", "format": "binary"}},
    "application/json": {
        "example": {
            "model": "runs/00000-demo-demo",
            "height": 64,
            "width": 64,
            "channels": 3,
            "images": [{"seed": 0, "png": "iVBORw0KGgo... (base64)"}],
        }
    },
}


def make_app(service: Service) -> FastAPI:
    """Returns the application that answers from a service."""
    app = FastAPI(
        title="stylegan_tf",
        version=stylegan_tf.__version__,
        description="Pictures of a generator. Parameters are generate.py's flags.",
        docs_url=None,
        redoc_url=None,
    )
    _add_errors(app)
    drawn = {200: {"content": PICTURE, "description": "PNG, JPEG or JSON."}}
    how = {"responses": drawn | PROBLEMS, "response_class": Response}

    @app.get("/v1/images", summary="Draws pictures", **how)
    async def get_images(
        request: Request, query: Annotated[ImageQuery, Query()]
    ) -> Response:
        counts = Counter(name for name, _ in request.query_params.multi_items())
        for name, count in counts.items():
            if count > 1 and name not in ("mix", "edit", "label"):
                raise UserError(f"{name} is given {count} times; give it once.")
        return await _answer(service, request, query.model_dump())

    @app.post("/v1/images", summary="Draws pictures", **how)
    async def post_images(request: Request, body: ImageBody) -> Response:
        return await _answer(service, request, body.model_dump())

    @app.get("/v1/model", summary="Tells about the model", responses={503: {}})
    async def model() -> Response:
        if service.facts is None:
            return problem(503, LOADING, 5)
        return Sentence(model_facts(service.facts, service))

    @app.get("/healthz", summary="Says whether pictures are drawn")
    async def healthz() -> Response:
        state = service.state
        return Sentence({"status": state}, 200 if state == "ready" else 503)

    @app.get("/metrics", summary="Counts, for Prometheus")
    async def metrics() -> Response:
        kind = "text/plain; version=0.0.4; charset=utf-8"
        return Response(service.metrics.text(), headers={"Content-Type": kind})

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(docs_page(app.openapi()))

    @app.get("/", include_in_schema=False)
    async def first() -> Response:
        return RedirectResponse("/docs")

    return app


def model_facts(facts: ModelFacts, service: Service) -> dict[str, object]:
    """Returns what `/v1/model` says."""
    height, width, channels = facts.shape
    c = facts.config
    return {
        "model": facts.name,
        "architecture": c.architecture,
        "height": height,
        "width": width,
        "channels": channels,
        "layers": facts.layers,
        "labels": facts.labels,
        "label_numbers": c.classes if facts.vectors else 0,
        "class_names": list(c.class_names),
        "noise": ["const", "random", "none"] if facts.noisy else ["const", "none"],
        "directions": ["pca0, pca1, ...", "sefa0, sefa1, ...", *facts.directions],
        "most_seeds": service.most_seeds,
        "most_waiting": service.queue.limit,
    }


# ---------------------------------------------------------------------------
# Answers


async def _answer(service: Service, request: Request, values: dict) -> Response:
    if service.facts is None:
        return problem(503, LOADING, 5)
    facts = service.facts
    asked = read_request(flag_texts(values), facts, service.most_seeds)
    images = [WaitingImage(asked, number) for number in range(len(asked.seeds))]
    try:
        service.queue.put(images)
    except QueueFullError as full:
        service.metrics.refused.inc()
        return problem(429, str(full), full.seconds)
    futures = [asyncio.wrap_future(image.future) for image in images]
    left = set(futures)
    while left:
        _, left = await asyncio.wait(left, timeout=CHECK_CLIENT)
        if left and await request.is_disconnected():
            for future in left:
                future.cancel()
            return Response(status_code=499)  # nobody reads it
    faults = [error for future in futures if (error := future.exception())]
    if faults:
        raise faults[0]
    pictures = [future.result() for future in futures]
    return await asyncio.to_thread(_encoded, asked, pictures, facts, service.metadata)


def _encoded(
    asked: ImageRequest,
    pictures: Sequence[np.ndarray],
    facts: ModelFacts,
    metadata: bool,
) -> Response:
    kind = "png" if asked.format == "json" else asked.format
    files = []
    for number, picture in enumerate(pictures):
        flags = asked.recipe(number, facts)
        texts = picture_texts("picture", flags, Psi=flags.get("psi") or "0.7")
        large = enlarge(picture[None], asked.enlarge)[0]
        files.append(image_bytes(large, kind, texts if metadata else None))
    if asked.format != "json":
        name = f"seed{asked.seeds[0]:04d}.{asked.format}"
        shown = {"Content-Disposition": f'inline; filename="{name}"'}
        return Response(files[0], headers=shown, media_type=f"image/{kind}")
    rows: list[dict[str, object]] = []
    for seed, label, file in zip(asked.seeds, asked.labels, files, strict=True):
        row: dict[str, object] = {"seed": seed}
        if label is not None:
            row["class" if isinstance(label, int) else "label"] = label
        rows.append(row | {"png": base64.b64encode(file).decode("ascii")})
    height, width, channels = facts.shape
    sizes = {"height": height * asked.enlarge, "width": width * asked.enlarge}
    return Sentence(
        {"model": facts.name, **sizes, "channels": channels, "images": rows}
    )


# ---------------------------------------------------------------------------
# Errors


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(UserError)
    async def wrong(request: Request, error: UserError) -> Response:
        return problem(400, str(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return problem(422, validation_sentence(error.errors()))

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        texts = {
            404: f"there is nothing at {shortened(request.url.path)}; see /docs.",
            405: f"{request.url.path} does not take {request.method}; see /docs.",
            400: "the body is no JSON that can be read.",
        }
        answer = problem(
            error.status_code, texts.get(error.status_code, str(error.detail))
        )
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        return problem(500, "this is a mistake of the server's; its log says more.")


def validation_sentence(errors: Sequence[dict]) -> str:
    """Returns a sentence on the first of pydantic's errors."""
    error = errors[0]
    place = [str(part) for part in error["loc"][1:]]
    name = place[0] if place else ""
    if error["type"] == "json_invalid":
        return 'the body is no JSON; send an object such as {"seeds": [0, 1]}.'
    if error["type"] == "extra_forbidden":
        return f"there is no parameter {shortened(name)}; there are {', '.join(TAKES)}."
    if error["type"] == "string_unicode" and not name:
        return "the body has a text that is not Unicode."
    if name not in TAKES:
        return (
            'the body is no JSON object; send one such as {"seeds": [0, 1]}, with '
            "Content-Type: application/json."
        )
    value = error.get("input")
    return f"{name}: {shortened(value)} was given; it takes {TAKES[name]}."
