"""``GET /health/live`` and ``GET /health/ready``: neither limited nor traced."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse

from agents.gateway.dashboard_gateway import DashboardGateway

__all__ = ["health_router"]


def health_router(gateway: DashboardGateway) -> APIRouter:
    """The routes over one gateway."""
    router = APIRouter(prefix="/health")

    @router.get("/live")
    async def live() -> dict[str, str]:
        """The process answers."""
        return {"status": "live"}

    @router.get("/ready", response_model=None)
    async def ready() -> JSONResponse:
        """At least one agent can be called; 503 until then."""
        known = {name: operations is not None for name, operations in gateway.agents.items()}
        status = "ready" if any(known.values()) else "no agent's card could be read yet"
        return JSONResponse({"status": status, "agents": known}, 200 if status == "ready" else 503)

    return router
