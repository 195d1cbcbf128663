"""Who gets in: tokens, sessions, what others on this machine and on the network can see."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

pytest.importorskip("fastapi", reason="the studio is an extra: pip install 'untaught[studio]'")

from running_studio import TOKEN, RunningStudio, access_to
from untaught.studio import server
from untaught.studio.security import Access
from untaught.studio.server import create_app
from untaught.studio.services import Services
from untaught.studio.sessions import Sessions
from untaught.studio.storage import Store


def with_client(store, access, act):
    """Run `act` with a client of a studio that is no process; it sends no token."""

    async def run():
        transport = httpx.ASGITransport(create_app(Services(store), access))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await act(client)

    return asyncio.run(run())


@pytest.mark.parametrize("token", ["", " ", "\n"])
@pytest.mark.parametrize("header", ["authorization", "cookie"])
def test_an_empty_secret_opens_nothing(tmp_path, token, header):
    (tmp_path / "token").write_text("")
    store = Store(tmp_path)
    access = Access("127.0.0.1", 80, store.token(), Sessions(tmp_path / "sessions.json"))
    value = f"Bearer {token}" if header == "authorization" else f"{access.cookie}={token}"

    async def act(client):
        return await client.get("/api/jobs", headers={header: value.strip()})

    assert with_client(store, access, act).status_code == 401
    assert len((tmp_path / "token").read_text()) >= 16


@pytest.mark.parametrize(
    "token", ["a&b#c?d%e+f=g/h;i", "\u00e4\u00f6\u00fc\u00df-sixteen-letters", '"quotes"-and-\\-in-it']
)
def test_a_token_of_any_characters_opens_the_page(tmp_path, token):
    access = Access("127.0.0.1", 80, token, Sessions(tmp_path / "sessions.json"))

    async def act(client):
        opened = await client.get(access.link().partition(":80")[2])
        page = await client.get("/api/jobs")
        client.cookies.clear()
        bearer = await client.get("/api/jobs", headers={"authorization": f"Bearer {token}".encode()})
        wrong = await client.get("/api/jobs", headers={"authorization": f"Bearer {token}x".encode()})
        return [answer.status_code for answer in (opened, page, bearer, wrong)]

    assert with_client(Store(tmp_path), access, act) == [200, 200, 200, 401]


def test_a_session_ends_here_or_everywhere_and_outlives_the_server(tmp_path):
    store, access = Store(tmp_path), access_to(tmp_path)

    async def log_in(client):
        client.cookies.clear()
        answer = await client.get(access.link().partition(":80")[2])
        assert TOKEN not in answer.headers["set-cookie"]
        return client.cookies[access.cookie]

    async def act(client):
        one, two = await log_in(client), await log_in(client)

        async def knows(secret):
            client.cookies.clear()
            answer = await client.get("/api/jobs", headers={"cookie": f"{access.cookie}={secret}"})
            return answer.status_code == 200

        assert one != two
        assert await knows(one)
        assert await knows(two)
        assert not await knows(TOKEN)
        access.sessions = Sessions(tmp_path / "sessions.json")
        assert await knows(one)
        await client.post("/api/logout", headers={"cookie": f"{access.cookie}={one}"})
        assert not await knows(one)
        assert await knows(two)
        everywhere = ("/api/logout/everywhere", {"cookie": f"{access.cookie}={two}"})
        assert (await client.post(everywhere[0], headers=everywhere[1])).status_code == 409, "the token is the user's"
        access.renew = lambda: "another-token-for-the-tests"
        assert (await client.post(everywhere[0], headers=everywhere[1])).status_code == 204
        assert not await knows(two)
        old = await client.get("/api/jobs", headers={"authorization": f"Bearer {TOKEN}"})
        new = await client.get("/api/jobs", headers={"authorization": "Bearer another-token-for-the-tests"})
        return old.status_code, new.status_code

    assert with_client(store, access, act) == (401, 200)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"sessions": 3, "host": "evil.example"}'])
def test_a_damaged_file_of_sessions_lets_nobody_in(tmp_path, content):
    (tmp_path / "sessions.json").write_bytes(content)
    sessions = Sessions(tmp_path / "sessions.json")
    assert sessions.host.endswith(".localhost")
    assert not sessions.knows("")
    secret = sessions.begin()
    assert Sessions(tmp_path / "sessions.json").knows(secret)
    assert Sessions(tmp_path / "sessions.json").host == sessions.host


@pytest.mark.parametrize("name", ["token", "sessions.json"])
def test_secrets_are_readable_by_nobody_else_at_any_time(tmp_path, monkeypatch, name):
    modes, replace = [], Path.replace

    def look(path, target):
        modes.append(path.stat().st_mode & 0o777)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", look)
    old = os.umask(0)
    try:
        store = Store(tmp_path)
        store.token()
        Sessions(tmp_path / "sessions.json").begin()
    finally:
        os.umask(old)
    assert set(modes) == {0o600}
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    (tmp_path / "token").chmod(0o644)
    assert store.token()
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600


def test_the_browser_is_told_the_token_by_a_file(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(server.webbrowser, "open", opened.append)
    access = access_to(tmp_path)
    server._open(access.link(), tmp_path / "open.html")
    assert TOKEN not in opened[0]
    assert opened[0].startswith("file://")
    assert access.link() in (tmp_path / "open.html").read_text()
    assert (tmp_path / "open.html").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="no /proc here")
def test_no_process_shows_the_token(tmp_path):
    with RunningStudio(tmp_path) as studio:
        studio.wait_until(lambda: studio.get("examples")["complete"])
        children = Path(f"/proc/{studio.process.pid}/task/{studio.process.pid}/children").read_text().split()
        assert children
        for pid in (studio.process.pid, *children):
            assert TOKEN.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
        for pid in children:
            assert TOKEN.encode() not in Path(f"/proc/{pid}/environ").read_bytes()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_certificate_gives_https(tmp_path):
    subject = ["-subj", "/CN=localhost", "-days", "1", "-nodes", "-newkey", "rsa:2048"]
    made = ["-keyout", tmp_path / "key.pem", "-out", tmp_path / "certificate.pem"]
    subprocess.run(["openssl", "req", "-x509", *subject, *made], check=True, capture_output=True)
    words = ["--no-browser", "--port", "0", "--folder", tmp_path / "studio", "--host", "0.0.0.0"]
    words += ["--certificate", tmp_path / "certificate.pem", "--key", tmp_path / "key.pem"]
    environment = {**os.environ, "UNTAUGHT_TOKEN": TOKEN}
    with subprocess.Popen(
        [sys.executable, "-m", "untaught", "studio", *words], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            first = process.stdout.readline()
            assert "https://" in first
            port = first.partition("/?")[0].rpartition(":")[2]
            with httpx.Client(verify=False, trust_env=False) as client:
                answer = client.get(f"https://127.0.0.1:{port}/?token={TOKEN}")
                assert answer.status_code == 200
                assert "secure" in answer.headers["set-cookie"].lower()
                origin = {"origin": f"https://127.0.0.1:{port}"}
                assert client.post(f"https://127.0.0.1:{port}/api/logout", headers=origin).status_code == 204
        finally:
            process.terminate()


def test_plain_http_on_a_network_says_what_it_means(tmp_path, monkeypatch, capsys):
    async def run(_store, _access, listening, *_, **__):
        listening.close()

    monkeypatch.setattr(server, "_run", run)
    server.serve(tmp_path, host="0.0.0.0", port=0, token=TOKEN, browser=False)
    said = capsys.readouterr().out
    assert "--certificate" in said
    assert "plain HTTP" in said
