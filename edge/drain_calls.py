"""The calls about drains: begin or join one, look how it goes, give up waiting for it."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from edge.drain import Drain, Run
from edge.drain_goal import PHRASES
from shared.errors import RpcError, Unavailable
from shared.runtime import Runtime

DRAIN_SECONDS_DEFAULT = 600.0
DRAIN_SECONDS_MAX = 24 * 3600.0

RequestId = Annotated[str, Meta(min_length=1, max_length=200)]
Params = TypeVar("Params")
Method = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class _Begin(msgspec.Struct, forbid_unknown_fields=True):
    deadline_s: Annotated[float, Meta(ge=0, le=DRAIN_SECONDS_MAX)] = DRAIN_SECONDS_DEFAULT
    request_id: RequestId | None = None


class _Ask(msgspec.Struct, forbid_unknown_fields=True):
    """Of one drain, or of all."""

    request_id: RequestId | None = None


class _Cancel(msgspec.Struct, forbid_unknown_fields=True):
    request_id: RequestId


def drain_methods(drain: Drain, runtime: Runtime) -> dict[str, Method]:
    """The methods by name; they raise RpcError."""

    async def begin(raw: dict[str, Any]) -> dict[str, Any]:
        wanted = _read(_Begin, raw)
        try:
            return await drain.run(wanted.deadline_s, wanted.request_id)
        except Unavailable as error:
            raise RpcError("busy", str(error)) from error

    async def status(raw: dict[str, Any]) -> dict[str, Any]:
        wanted = _read(_Ask, raw).request_id
        running = [run for name, run in drain.running.items() if wanted in {None, name}]
        for run in running:
            await drain.measure(run)
        verdicts = [each for name, each in drain.verdicts.items() if wanted in {None, name}]
        return {
            "running": [_describe(drain, run, runtime) for run in running if not run.verdict],
            "verdicts": verdicts[::-1],
        }

    async def cancel(raw: dict[str, Any]) -> dict[str, Any]:
        wanted = _read(_Cancel, raw)
        verdict = await drain.cancel(wanted.request_id)
        if verdict is None:
            raise RpcError("not_found", f"no drain is called {wanted.request_id}")
        return verdict

    return {"edge.drain": begin, "edge.drain.status": status, "edge.drain.cancel": cancel}


def _read(kind: type[Params], raw: dict[str, Any]) -> Params:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise RpcError("invalid_params", str(error)) from error


def _describe(drain: Drain, run: Run, runtime: Runtime) -> dict[str, Any]:
    goal, causes = run.goal, drain.causes(run)
    elapsed_seconds = drain.elapsed_seconds(run)
    records_per_s, bytes_per_s = goal.rates
    return {
        "request_id": run.request_id,
        "began": _time(runtime.wall_ms() / 1000 - elapsed_seconds),
        "elapsed_s": round(elapsed_seconds, 3),
        "deadline_s": run.deadline_seconds,
        "goal": goal.whole.to_wire(),
        "safe": goal.whole.without(goal.left).to_wire(),
        "one_hub": goal.one_hub.to_wire(),
        "unreached": goal.unreached.to_wire(),
        "records_per_s": records_per_s,
        "bytes_per_s": bytes_per_s,
        "eta_seconds": goal.eta_seconds,
        "reason": "; ".join(f"{PHRASES[each.name]}: {each.why}" for each in causes),
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
