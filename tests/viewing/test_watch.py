"""The live page: what it follows, whom its server answers, and what a browser makes of it."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from suasion.records import Episode, MetricsWriter, RunPaths, create_run, hold_run, write_episode
from suasion.viewing import WatchServer
from suasion.viewing import _watch as watch
from suasion.viewing._watch import Watched

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


def rows(*steps: int) -> list[dict[str, Any]]:
    return [{"step": step, "episode/return": step**0.5, "episode/returns": [1.0, step / 2]} for step in steps]


def make_run(path: Path, *steps: int, label: str = "box", asked: int = 100, seed: int = 0) -> Path:
    create_run(path, {"label": label, "seed": seed, "steps": asked}, {"versions": {}, "commit": "abc"})
    with MetricsWriter(RunPaths(path).metrics) as writer:
        for row in rows(*steps):
            writer.append(row)
    return path


def append(path: Path, *steps: int, offset: int | None = None) -> None:
    with MetricsWriter(RunPaths(path).metrics, offset) as writer:
        for row in rows(*steps):
            writer.append(row)


def influenced(episode: Episode) -> Episode:
    steps, agents = episode.actions.shape
    pairs = np.random.default_rng(0).gamma(0.3, 0.1, (steps, agents, agents)) * (1 - np.eye(agents))
    return replace(episode, influence=pairs.astype(np.float32))


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the files at every request."""
    monkeypatch.setattr(watch, "_PAUSE", 0.0)
    monkeypatch.setattr(watch, "_SHARE", 0.0)


def test_what_is_told_from_nothing_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "seed-0"
    watched = Watched(tmp_path / "runs")
    nothing = watched.look()
    assert "no run in" in nothing.status
    assert watched.look() is nothing
    make_run(path)
    young = watched.look()
    assert young.number > nothing.number
    assert "no metrics yet" in young.parts["state"]
    append(path, 10, 20)
    assert watched.look().status == "The run has stopped before its end."
    with hold_run(path):
        assert watched.look().status == "Being written: step 20."
        assert "polyline" in watched.look().parts["learning"]
        size = RunPaths(path).metrics.stat().st_size
        with RunPaths(path).metrics.open("ab") as file:
            file.write(b'{"step": 3')
        assert "incomplete" in watched.look().parts["state"]
        append(path, 30, offset=size)
        assert watched.look().status == "Being written: step 30."
        append(path, 10, offset=0)
        assert watched.look().status == "Being written: step 10."
    append(path, 20, 100)
    assert watched.look().status == "The run has ended."
    make_run(tmp_path / "runs" / "seed-1", 10, seed=1)
    assert watched.look().status == "2 runs: 1 stopped before its end, 1 ended; the furthest is at step 100."
    RunPaths(path).metrics.write_text("{}\n")
    assert "left out" in watched.look().parts["state"]
    assert "line 1" in watched.look().parts["state"]
    assert watched.look().status == "2 runs: 1 stopped before its end, 1 damaged; the furthest is at step 10."


def test_what_has_not_changed_is_not_read_again(
    tmp_path: Path, walk: Callable[..., Episode], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_run(tmp_path / "run", 1, 2)
    write_episode(RunPaths(path).episodes / "step-000000000002-seed-0-0.suasion", influenced(walk()))
    read = []
    for name in ("recorded_by", "read_run", "films_of"):
        kept = getattr(watch, name)
        monkeypatch.setattr(watch, name, lambda *a, kept=kept, name=name, **k: (read.append(name), kept(*a, **k))[1])
    watched = Watched(tmp_path)
    first = watched.look()
    assert sorted(read) == ["films_of", "read_run", "recorded_by"]
    append(path, 3)
    again = watched.look()
    assert len(read) == 3
    assert (again.recorded, again.films) == (first.recorded, first.films)
    write_episode(RunPaths(path).episodes / "step-000000000003-seed-0-0.suasion", walk(step=3))
    assert watched.look().recorded != first.recorded
    assert sorted(read[3:]) == ["films_of", "recorded_by"]


@contextlib.contextmanager
def serving(path: Path) -> Iterator[WatchServer]:
    with WatchServer(path) as server:
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        yield server
        server.stop()
        thread.join(5)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WatchServer]:
    make_run(tmp_path / "run", 1, 2, 3)
    with serving(tmp_path / "run") as opened:
        yield opened


def asked(server: WatchServer, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to bytes."""
    port = int(server.url.rsplit(":", 1)[1].strip("/"))
    with socket.create_connection(("127.0.0.1", port), timeout=30) as link:
        link.sendall(request.replace(b"PORT", str(port).encode()))
        link.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionResetError):  # a connection too many is not answered
            while piece := link.recv(65536):
                answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(first.split(" ")[1]) if first else 0, headers, body


def get(path: bytes, *headers: bytes, method: bytes = b"GET", host: bytes = b"127.0.0.1:PORT") -> bytes:
    return b"\r\n".join((method + b" " + path + b" HTTP/1.1", b"Host: " + host, *headers, b"", b""))


def test_the_page_and_its_data(server: WatchServer) -> None:
    status, headers, body = asked(server, get(b"/"))
    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["content-length"] == str(len(body))
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "frame-ancestors 'none'"
    assert b"default-src 'none'; script-src 'sha256-" in body
    assert b"connect-src 'self'" in body
    assert b"unsafe" not in body
    assert "access-control-allow-origin" not in headers
    status, headers, body = asked(server, get(b"/data.json", host=b"LocalHost:PORT"))
    told = json.loads(body)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert told["parts"].keys() >= {"state", "learning", "influence", "versions"}
    status, headers, body = asked(server, get(b"/data.json?seen=%d" % told["seen"]))
    assert json.loads(body) == {"seen": told["seen"], "status": told["status"]}
    status, headers, body = asked(server, get(b"/", method=b"HEAD"))
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 10_000


@pytest.mark.parametrize("path", [b"/config.json", b"/../etc/passwd", b"/..%2f..%2fetc/passwd", b"//etc/passwd", b"/."])
def test_no_file_is_served(server: WatchServer, path: bytes) -> None:
    assert asked(server, get(path))[0] == 404


@pytest.mark.parametrize(
    "path",
    [b"/?", b"/data.json?seen=-1", b"/data.json?seen=" + b"9" * 11, b"/data.json?x=1", b"http://evil.test/", b"*"],
)
def test_no_other_address_is_served(server: WatchServer, path: bytes) -> None:
    assert asked(server, get(path))[0] == 404


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT", b"TRACE", b"get"])
def test_nothing_can_be_written(server: WatchServer, method: bytes) -> None:
    status, headers, body = asked(server, get(b"/", method=method))
    assert status == 405
    assert headers["allow"] == "GET, HEAD"
    assert body == b"405 Method Not Allowed\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get(b"/", host=b"evil.test"), 421),
        (get(b"/", host=b"evil.test:PORT"), 421),
        (get(b"/", host=b"127.0.0.1"), 421),
        (get(b"/", host=b"127.0.0.1:1"), 421),
        (get(b"/", host=b"127.0.0.1.evil.test:PORT"), 421),
        (get(b"/data.json", b"Host: evil.test"), 421),
        (b"GET / HTTP/1.1\r\n\r\n", 421),
        (get(b"/data.json", b"Origin: http://evil.test"), 403),
        (get(b"/data.json", b"Origin: null"), 403),
        (get(b"/data.json", b"Sec-Fetch-Site: cross-site"), 403),
        (get(b"/data.json", b"Sec-Fetch-Site: same-site"), 403),
        (get(b"/data.json", b"Sec-Fetch-Site: same-origin", b"Origin: http://127.0.0.1:PORT"), 200),
        (get(b"/", b"Content-Length: 5") + b"hello", 400),
        (get(b"/", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
        (get(b"/", b"X: " + b"a" * 20_000), 431),
        (get(b"/", *(b"X-%d: %s" % (i, b"a" * 400) for i in range(90))), 431),
        (get(b"/", *(b"X-%d: a" % i for i in range(200))), 431),
        (get(b"/" + b"a" * 20_000), 414),
        (b"GET / HTTP/9.9\r\n\r\n", 505),
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    ],
)
def test_strangers_are_refused(server: WatchServer, request_: bytes, status: int) -> None:
    found, headers, body = asked(server, request_)
    assert found == status, (headers, body)
    assert b"evil" not in body
    if status != 200:
        assert len(body) < 100
        assert headers["content-type"] == "text/plain; charset=utf-8"
    assert asked(server, get(b"/data.json"))[0] == 200  # and it goes on


def test_old_and_silent_clients(server: WatchServer) -> None:
    assert asked(server, b"")[0] == 0
    assert asked(server, b"GET /\r\n")[0] == 421
    assert asked(server, get(b"/data.json"))[0] == 200


def test_connections_are_few(server: WatchServer) -> None:
    """Those beyond the sixteenth are closed at once, and those that say nothing are not waited for for ever."""
    port = int(server.url.rsplit(":", 1)[1].strip("/"))
    silent = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(16)]
    for _ in range(50):
        status, _, _ = asked(server, get(b"/data.json"))
        if status == 0:
            break
    assert status == 0
    for link in silent:
        link.close()
    for _ in range(100):
        if asked(server, get(b"/data.json"))[0] == 200:
            break
    assert asked(server, get(b"/data.json"))[0] == 200


def test_what_cannot_be_watched(tmp_path: Path, server: WatchServer) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="a file; name the folder"):
        WatchServer(tmp_path / "file")
    for port in (-1, 65536):
        with pytest.raises(ValueError, match=f"port is {port}"):
            WatchServer(tmp_path, port=port)
    taken = int(server.url.rsplit(":", 1)[1].strip("/"))
    with pytest.raises(OSError, match=rf"port {taken} of 127\.0\.0\.1: .*--port 0"):
        WatchServer(tmp_path, port=taken)
    assert server.url.startswith("http://127.0.0.1:")


class Visit:
    """The live page in a browser, with all that went wrong."""

    def __init__(self, chromium: Any, url: str, **options: Any) -> None:
        self.page = chromium.new_context(**options).new_page()
        self.url, self.requests, self.complaints = url, [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.goto(url)

    def until(self, told: Callable[[Any], bool]) -> None:
        """Wait; the page's policy forbids playwright's own way, which evaluates strings."""
        for _ in range(300):
            if told(self.page):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(self.page.locator("main").inner_text()[:500])

    def points(self) -> int:
        """Of the first curve."""
        line = self.page.locator("#learning polyline.mean")
        return len(line.first.get_attribute("points").split()) if line.count() else 0

    def close(self) -> None:
        assert self.complaints == []
        assert all(request.startswith(self.url) for request in self.requests)
        self.page.context.close()


@pytest.mark.browser
def test_the_page_follows_a_run(chromium: Any, tmp_path: Path, walk: Callable[..., Episode]) -> None:
    path = tmp_path / "runs" / "seed-0"
    with serving(tmp_path / "runs") as server:
        visit = Visit(chromium, server.url)
        assert "waiting for one" in visit.page.locator("#live").inner_text()
        make_run(path, 10, 20, label=EVIL)
        visit.until(lambda page: visit.points() == 2)
        assert EVIL in visit.page.locator("#state th[scope=row]").inner_text()
        visit.page.locator("#configuration summary").click()
        visit.page.locator("input[value=iqm]").check()
        with hold_run(path):
            size = RunPaths(path).metrics.stat().st_size
            append(path, 30, 40, 50)
            visit.until(lambda page: visit.points() == 5 and "step 50" in page.locator("#live").inner_text())
            append(path, 30, offset=size)
            visit.until(lambda page: visit.points() == 3)
            with RunPaths(path).metrics.open("ab") as file:
                file.write(b'{"step"')
            visit.until(lambda page: "incomplete" in page.locator("#state").inner_text())
        assert visit.page.locator("input[value=iqm]").is_checked()
        assert visit.page.locator("#configuration details").get_attribute("open") is not None
        append(path, 100)
        visit.until(lambda page: page.locator("#live").inner_text() == "The run has ended.")
        assert visit.page.locator("img").count() == 0
        episode = replace(influenced(walk()), game=EVIL)
        write_episode(RunPaths(path).episodes / "step-000000000100-seed-0-0.suasion", episode)
        visit.until(lambda page: page.locator("#news").is_visible())
        visit.page.locator("#reload").click()
        visit.until(lambda page: page.locator("canvas.map").count() == 1)
        visit.page.keyboard.press("End")
        assert visit.page.evaluate("suasion.player.state") == 20
        visit.close()
        visit = Visit(chromium, server.url, viewport={"width": 390, "height": 800})
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390
        page = visit.page
    visit.until(lambda page: "has ended" in page.locator("#live").inner_text())
    assert all("ERR_CONNECTION_REFUSED" in complaint for complaint in visit.complaints)
    page.context.close()


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import webbrowser

    from suasion.cli import main

    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setenv("DISPLAY", ":0")

    def serve(server: WatchServer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(WatchServer, "serve", serve)
    assert main(["watch", str(tmp_path / "run"), "--no-browser"]) == 0
    assert opened == []
    assert main(["watch", str(tmp_path / "run")]) == 0
    (url,) = opened
    assert url in capsys.readouterr().out
    assert main(["watch", str(tmp_path / "run"), "--port", "70000"]) == 2
    assert "port is 70000" in capsys.readouterr().err
