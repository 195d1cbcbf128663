"""The HTTP interface under /api, one module per subject."""

from fastapi import APIRouter

from untaught.studio.routes import events, examples, jobs, pictures, results

__all__ = ["api"]

api = APIRouter(prefix="/api")
for module in (examples, pictures, jobs, results, events):
    api.include_router(module.routes)
