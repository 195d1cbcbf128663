"""The HTTP interface under /api, one module per subject."""

from fastapi import APIRouter

from untaught.studio.routes import events, examples, job_files, jobs, pictures, session, storage

__all__ = ["api"]

api = APIRouter(prefix="/api")
for module in (examples, pictures, jobs, job_files, storage, session, events):
    api.include_router(module.routes)
