"""The HTTP doors for OTLP: a Collector or an SDK sends straight to a hub, without an edge.

The answers are those of the edge's receiver. What a sender must show is the ingest token, which is
derived from the cluster key: it can write telemetry under the name of a hub, and nothing else.
"""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from hub.web.routes import RouteSpec
from shared.receive.otlp import SIGNALS, OtlpReceiver, headers_of, wants_json
from shared.receive.replies import NO_CREDENTIALS, Answer, refuse
from shared.records import Signal
from shared.security import derive

INGEST_PURPOSE = "otlp ingest"

Handler = Callable[[Request], Awaitable[Response]]


def ingest_token(cluster_key: str) -> str:
    """What senders of OTLP show to every hub of the cluster."""
    return derive(cluster_key, INGEST_PURPOSE)


def otlp_routes(receiver: OtlpReceiver) -> list[RouteSpec]:
    """The doors of the three signals."""
    return [
        RouteSpec(path, ("POST",), "otlp", _handler(receiver, signal))
        for path, signal in SIGNALS.items()
    ]


def without_token(request: Request) -> Response:
    """The answer to who shows no ingest token, as OTLP wants errors to look."""
    json = wants_json(headers_of(request.scope))
    message = "this needs the ingest token of the cluster, as 'Authorization: Bearer ...'"
    headers = (("www-authenticate", "Bearer"),)
    return _response(refuse(NO_CREDENTIALS, message, json=json, headers=headers))


def _handler(receiver: OtlpReceiver, signal: Signal) -> Handler:
    async def endpoint(request: Request) -> Response:
        answer = await receiver.answer(signal, request.scope, request.receive)
        # Nobody reads what goes to a sender that hung up; 499 is what proxies log for it.
        return _response(answer) if answer is not None else Response(status_code=499)

    return endpoint


def _response(answer: Answer) -> Response:
    return Response(
        answer.body, answer.status, {"content-type": answer.content_type, **dict(answer.headers)}
    )
