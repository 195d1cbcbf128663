"""A running studio for a test, on a free port, with a client that knows the token."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Self

import httpx

TOKEN = "a-token-for-the-tests"


def access_to(folder: Path) -> Any:
    """Return who may connect to a studio that is no process."""
    from untaught.studio.security import Access
    from untaught.studio.sessions import Sessions

    return Access("127.0.0.1", 80, TOKEN, Sessions(folder / "sessions.json"))


class RunningStudio:
    """``untaught studio`` as a process.

    Args:
        folder: for its files.
        errors: gets what it prints as errors; by default they go to the terminal.
        words: further words of the command.
    """

    def __init__(self, folder: Path, errors: IO[str] | None = None, words: Sequence[str] = ()) -> None:
        self.folder = folder
        self.words = words
        self.errors = errors
        self.start()

    def start(self, port: str = "0") -> None:
        words = ["studio", "--no-browser", "--port", port, "--folder", str(self.folder), *self.words]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "untaught", *words],
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "UNTAUGHT_TOKEN": TOKEN},
        )
        assert self.process.stdout is not None
        self.address = re.search(r"http://\S+", self.process.stdout.readline()).group()
        self.home = self.address.partition("/?")[0]
        # Browsers find the studio's own name; programs go to the address.
        self.base = f"http://127.0.0.1:{self.home.rpartition(':')[2]}"
        self.client = httpx.Client(
            base_url=f"{self.base}/api/", headers={"authorization": f"Bearer {TOKEN}"}, timeout=60, trust_env=False
        )

    def kill(self) -> None:
        """Kill the server and its workers at once, as a loss of power would."""
        self.client.close()
        server = self.process.pid
        listed = Path(f"/proc/{server}/task/{server}/children")
        workers = listed.read_text().split() if listed.exists() else []  # elsewhere they soon end by themselves
        self.process.kill()
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(worker), signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.process.stdout.close()

    def get(self, path: str) -> Any:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None, status: int = 200) -> Any:
        answer = self.client.post(path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def upload(self, content: bytes, name: str = "photo.png") -> Any:
        answer = self.client.post("pictures", params={"name": name}, content=content)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def wait_for(self, identity: str, *states: str, seconds: float = 120) -> Any:
        """Wait until a job is in one of the states, and return its facts."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            facts = self.get(f"jobs/{identity}")
            if facts["state"] in states:
                return facts
            assert facts["state"] != "failed", facts
            time.sleep(0.1)
        raise AssertionError(f"still {facts['state']} after {seconds} s: {facts}")

    def wait_until(self, condition: Any, seconds: float = 60) -> Any:
        """Wait until a function returns something true, and return that."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if answer := condition():
                return answer
            time.sleep(0.05)
        raise AssertionError(f"still not true after {seconds} s")
