"""The HTTP interface under /api, one module a subject."""

from fastapi import APIRouter

from untaught.studio.routes import events, jobs, pictures
from untaught.studio.routes import examples as beginnings
from untaught.studio.routes import results as outcomes

__all__ = ["api"]

api = APIRouter(prefix="/api")
for subject in (beginnings, pictures, jobs, outcomes, events):
    api.include_router(subject.routes)
