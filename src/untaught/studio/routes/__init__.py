"""The HTTP interface under /api, one module per subject."""

from fastapi import APIRouter

from untaught.studio.routes import batch, events, examples, job_files, jobs, pictures, session, storage

__all__ = ["api"]

api = APIRouter(prefix="/api")
for module in (examples, batch, pictures, jobs, job_files, storage, session, events):
    api.include_router(module.routes)
