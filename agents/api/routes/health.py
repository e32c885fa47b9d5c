"""``GET /health/live`` and ``GET /health/ready``: neither limited nor traced."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse

from agents.gateway.dashboard_gateway import DashboardGateway

__all__ = ["agent_states", "health_router"]


def health_router(gateway: DashboardGateway) -> APIRouter:
    """Returns the health routes of a gateway."""
    router = APIRouter(prefix="/health")

    @router.get("/live")
    async def live() -> dict[str, str]:
        """Answers 200 while the process runs."""
        return {"status": "live"}

    @router.get("/ready", response_model=None)
    async def ready() -> JSONResponse:
        """Answers 200 once the card of at least one agent has been read, 503 before."""
        known = {name: operations is not None for name, operations in gateway.agents.items()}
        status = "ready" if any(known.values()) else "no agent's card could be read yet"
        return JSONResponse({"status": status, "agents": known}, 200 if status == "ready" else 503)

    return router


def agent_states(gateway: DashboardGateway) -> dict[str, str]:
    """Returns agent -> ``ready``, or ``card not read yet``, as ``/health/ready`` tells it."""
    return {name: "card not read yet" if operations is None else "ready" for name, operations in gateway.agents.items()}
