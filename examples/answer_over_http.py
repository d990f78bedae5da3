"""Serve a merged model over HTTP, in as few lines as that takes: POST an image, get its answer as JSON.

    python examples/answer_over_http.py MODEL
    curl --data-binary @scan.png http://127.0.0.1:8000/predict

A sketch to begin from, not a product: it has no sign-in, no queue, no audit log and no limit on who may ask, and
listens on this machine alone. Needs ``pip install starlette uvicorn`` (medforge's extra `page` brings both).
"""

import io
import sys

import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import medforge
from medforge.errors import InvalidInput

LARGEST = 32 * 2**20


def application(model: medforge.MergedModel) -> Starlette:
    """Return the application that puts each posted image to the model."""

    async def predict(request: Request) -> JSONResponse:
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > LARGEST:
                return JSONResponse({"error": f"the image is larger than {LARGEST} bytes"}, 413)
        try:
            image = Image.open(io.BytesIO(body))
            found = (await run_in_threadpool(model.predict, image, top=3))[0]
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, InvalidInput) as error:
            return JSONResponse({"error": f"that is no image ({error})"}, 400)
        ranking = [{"task": one.task, "class": one.key, "p": one.probability} for one in found.ranking]
        return JSONResponse({"none_of_these": found.none_of_these if found.calibrated else None, "ranking": ranking})

    return Starlette(routes=[Route("/predict", predict, methods=["POST"])])


if __name__ == "__main__":
    uvicorn.run(application(medforge.load(sys.argv[1])), host="127.0.0.1", port=8000)
