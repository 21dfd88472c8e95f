"""The replay page: what is in the file, what it may do, what is refused; and what a browser makes of it."""

import base64
import json
import re
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from suasion.records import Episode, MetricsWriter, RecordError, create_run, write_episode
from suasion.viewing import write_report
from suasion.viewing._replay_pack import influential, pack
from suasion.viewing._report_replay import find_episodes, write_replay

in_browser = pytest.mark.browser  # and `chromium` skips where there is none


def influence_of(episode: Episode, seed: int = 0) -> np.ndarray:
    steps, agents = episode.actions.shape
    pairs = np.random.default_rng(seed).gamma(0.3, 0.1, (steps, agents, agents)).astype(np.float32)
    pairs[:, np.arange(agents), np.arange(agents)] = 0
    return pairs


def busy(steps: int) -> Episode:
    """Cleanup's size: 25 x 18 cells, five agents that see 15 x 15, apples that come and go, beams, influence."""
    rng = np.random.default_rng(0)
    agents, sight = 5, 15
    ground = np.ones((25, 18), np.uint8)
    ground[1:-1, 1:-1] = 2
    place, heading = rng.integers(1, 17, (agents, 2)), rng.integers(0, 4, agents)
    moves = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])
    boards, views, headings = [], [], []
    for _ in range(steps + 1):
        cells = rng.integers(1, (24, 17), (3, 2))
        ground[tuple(cells.T)] = rng.integers(2, 4, 3)
        board = ground.copy()
        if rng.random() < 0.15:
            row, column = place[rng.integers(agents)]
            board[max(1, row - 5) : row, max(1, column - 1) : column + 2] = 4
        for k in rng.permutation(agents):
            target = np.clip(place[k] + moves[rng.integers(4)], 1, (23, 16))
            if not (place == target).all(1).any():
                place[k] = target
        heading = np.where(rng.random(agents) < 0.2, rng.integers(0, 4, agents), heading)
        board[tuple(place.T)] = 5 + np.arange(agents)
        wide = np.pad(board, sight // 2)
        boards.append(board)
        views.append([np.rot90(wide[r : r + sight, c : c + sight], heading[k]) for k, (r, c) in enumerate(place)])
        headings.append(heading)
    pairs = rng.gamma(0.3, 0.05, (steps, agents, agents)) * (1 - np.eye(agents))
    return Episode(
        game="cleanup",
        classes=("outside", "wall", "empty", "apple", "beam", *(f"agent {k + 1}" for k in range(agents))),
        palette=(
            (0, 0, 0),
            (180, 180, 180),
            (0, 0, 0),
            (0, 255, 0),
            (255, 255, 0),
            (0, 0, 255),
            (2, 81, 154),
            (204, 0, 204),
            (216, 30, 54),
            (254, 151, 0),
        ),
        actions_names=("left", "right", "up", "down", "stay", "clockwise", "counterclockwise", "fine"),
        boards=np.array(boards),
        views=np.array(views, np.uint8),
        actions=rng.integers(0, 8, (steps, agents)).astype(np.int16),
        rewards=(rng.random((steps, agents)) < 0.05).astype(np.float32),
        events={},
        influence=pairs.astype(np.float32),
        headings=np.array(headings, np.int8),
        agents=tuple(f"agent {k + 1}" for k in range(agents)),
        seed=0,
        step=0,
        agent_codes=tuple(range(5, 5 + agents)),
    )


def films(page: str) -> list[dict[str, Any]]:
    """The JSON of a page, found as a browser finds it: up to the first end tag."""
    found = re.search(r'<script type="application/json" id="films">(.*?)</script', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def unpacked(film: dict[str, Any]) -> dict[str, np.ndarray]:
    stream = zlib.decompress(base64.b64decode(film["bytes"]))
    arrays = {}
    for name, place in film["arrays"].items():
        kind = np.dtype(place["type"])
        piece = np.frombuffer(stream, np.uint8, place["size"] * kind.itemsize, place["at"])
        arrays[name] = np.ascontiguousarray(piece.reshape(kind.itemsize, -1).T).view(kind).ravel()
    return arrays


def test_packing_keeps_everything(walk: Callable[..., Episode]) -> None:
    episode = walk(steps=30)
    episode = walk(steps=30, influence=influence_of(episode), messages=episode.actions)
    film = pack(episode, "a")
    arrays = unpacked(film)
    boards = np.cumsum(arrays["boards"].reshape(episode.boards.shape), 0, dtype=np.uint8)
    np.testing.assert_array_equal(boards, episode.boards)
    for name in ("actions", "rewards", "headings", "messages"):
        np.testing.assert_array_equal(arrays[name], getattr(episode, name).ravel())
    # Windows that turn with the agents foretell these views entirely.
    assert film["forecast"]["kind"] == "window"
    assert "views" not in arrays
    values = arrays["influence"] / 32767 * film["largest"]
    np.testing.assert_allclose(values, episode.influence.ravel(), atol=film["largest"] / 32767, rtol=0)
    t, k, j, nats = film["moments"][0]
    assert nats == pytest.approx(episode.influence.max(), rel=1e-3)
    assert episode.influence[t, k, j] == episode.influence.max()
    assert influential(walk()) == []


def test_views_that_no_window_foretells(walk: Callable[..., Episode]) -> None:
    views = np.random.default_rng(0).integers(0, 3, walk().views.shape).astype(np.uint8)
    film = pack(replace(walk(), views=views, agent_codes=None, agents=("x", "y", "z")), "a")
    assert film["forecast"] == {"kind": "before"}
    stored = unpacked(film)["views"].reshape(views.shape)
    np.testing.assert_array_equal(np.cumsum(stored, 0, dtype=np.uint8), views)


def test_hostile_names_stay_text(walk: Callable[..., Episode], tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><!--\u202e"
    episode = replace(walk(), game=evil, agents=(evil, "b", "c"), note=evil)
    page = write_replay({evil: episode}, tmp_path / "page.html").read_text("utf-8")
    assert "alert(1)</script>" not in page
    assert "<script>alert" not in page
    assert films(page)[0]["name"] == evil
    policy = re.search(r'content="(default-src [^"]*)"', page)
    assert policy
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy[1]
    assert "http" not in page.replace("http-equiv", "")


def test_nothing_is_overwritten(walk: Callable[..., Episode], tmp_path: Path) -> None:
    target = tmp_path / "new" / "page.html"
    first = write_replay({"a": walk()}, target).read_bytes()
    with pytest.raises(RecordError, match=r"page\.html: exists; --force replaces it"):
        write_replay({"a": walk(seed=1)}, target)
    assert target.read_bytes() == first
    write_replay({"a": walk(seed=1)}, target, force=True)
    assert target.read_bytes() != first
    with pytest.raises(RecordError, match="exists and is no file"):
        write_replay({"a": walk()}, tmp_path, force=True)
    with pytest.raises(ValueError, match="0 episodes"):
        write_replay({}, tmp_path / "none.html")


def test_bad_episodes_are_refused(walk: Callable[..., Episode], tmp_path: Path) -> None:
    file = tmp_path / "episode.suasion"
    write_episode(file, walk())
    assert list(find_episodes([file])) == [str(file)]
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(RecordError, match="truncated"):
        find_episodes([file])
    with pytest.raises(RecordError, match="no such directory"):
        find_episodes([tmp_path / "missing"])


def test_a_thousand_steps_are_small(tmp_path: Path) -> None:
    """25 x 18 cells, five agents: at most 150 kB with influence and the tables of a hundred moments."""
    episode = with_alternatives(busy(1000), 100)
    assert episode.moments is not None
    assert len(episode.moments) == 100
    size = write_replay({"cleanup": episode}, tmp_path / "page.html").stat().st_size
    print(f"page of 1,000 steps: {size / 1000:.0f} kB")
    assert size <= 150_000


class Visit:
    """A page that was opened, with all that went wrong."""

    def __init__(self, chromium: Any, path: Path, **options: Any) -> None:
        self.page = chromium.new_context(**options).new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.goto(path.resolve().as_uri())
        self.page.evaluate("suasion.ready")

    def state(self) -> int:
        """After the next frame, in which all is drawn that was asked for."""
        waiting = "new Promise((drawn) => requestAnimationFrame(() => drawn(suasion.player.state)))"
        return int(self.page.evaluate(waiting))

    def close(self) -> None:
        assert self.complaints == []
        assert len(self.requests) == 1
        self.page.context.close()


@in_browser
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("harvest", {}),
        ("harvest", {"variant": "ssd"}),
        ("box-trapped", {}),
        ("cleanup", {}),
        ("cleanup", {"variant": "ssd"}),
    ],
)
def test_views_are_what_the_game_shows(
    name: str, options: dict[str, Any], chromium: Any, quick: Callable[..., Any], tmp_path: Path
) -> None:
    """500 states of a random walk (1,000 over the variants of a game): codes and pixels equal `observe`."""
    import jax

    from suasion.games import make

    game = make(name, **options)
    spec = game.spec
    step, see, draw = quick(game.step), quick(game.observe), quick(game.board)
    state = quick(game.reset)(jax.random.key(0))
    rng, boards, views, headings, states = np.random.default_rng(0), [], [], [], 500
    for t in range(states):
        boards.append(np.array(draw(state)))
        views.append(np.array(see(state).codes))
        headings.append(np.array(getattr(state, "heading", np.zeros(spec.agents))))
        state, _ = step(jax.random.key(t), state, rng.integers(0, len(spec.actions), spec.agents).astype(np.int32))
    names = tuple(f"agent {k + 1}" for k in range(spec.agents))
    episode = Episode(
        game=spec.name,
        classes=spec.classes,
        palette=spec.palette,
        actions_names=spec.actions,
        boards=np.array(boards, np.uint8),
        views=np.array(views, np.uint8),
        actions=np.zeros((states - 1, spec.agents), np.int16),
        rewards=np.zeros((states - 1, spec.agents), np.float32),
        events={},
        headings=np.array(headings, np.int8) if hasattr(state, "heading") else None,
        agents=names,
        seed=0,
        step=0,
        agent_codes=tuple(spec.classes.index(agent) for agent in names),
    )
    visit = Visit(chromium, write_replay({"walk": episode}, tmp_path / "page.html"))
    shown = visit.page.evaluate(
        """async ([states, agents]) => {
            const all = [];
            for (let t = 0; t < states; t++) for (let k = 0; k < agents; k++) all.push(await suasion.views(0, t, k));
            return [all.map((view) => view.codes), all.map((view) => view.pixels)];
        }""",
        [states, spec.agents],
    )
    if name == "cleanup":  # beams of both kinds, waste and what is left of it were there to be drawn
        for thing in ("waste", "river", "apple", "fining beam", "cleaning beam"):
            assert (episode.boards == spec.classes.index(thing)).any(), thing
    codes = np.array(shown[0], np.uint8).reshape(episode.views.shape)
    np.testing.assert_array_equal(codes, episode.views)
    pixels = np.array(shown[1], np.uint8).reshape(*episode.views.shape, 4)
    palette = np.array(pack(episode, "a")["palette"], np.uint8)
    np.testing.assert_array_equal(pixels[..., :3], palette[episode.views])
    visit.close()


@in_browser
def test_keys_clicks_and_play(chromium: Any, walk: Callable[..., Episode], tmp_path: Path) -> None:
    episode = replace(walk(), influence=influence_of(walk()))
    visit = Visit(chromium, write_replay({"one": episode, "two": walk(seed=1, steps=12)}, tmp_path / "page.html"))
    page = visit.page
    for key, state in (("ArrowRight", 1), ("Shift+ArrowRight", 11), ("ArrowLeft", 10), ("End", 20), ("Home", 0)):
        page.keyboard.press(key)
        assert visit.state() == state
    assert page.locator(".pane:visible").count() == 2
    page.locator("input[type=range]").fill("15")
    assert visit.state() == 15
    assert "state 12 of 12" in page.locator("canvas.map").nth(1).get_attribute("aria-label")
    t, k, j, _ = pack(episode, "a")["moments"][0]
    page.locator(".moments button").first.click()
    assert visit.state() == t + 1
    assert f"step {t}: agent {k + 1} → agent {j + 1}" in page.locator(".moments button").first.inner_text()
    page.locator("select[aria-label='states a second']").select_option("100")
    page.locator("h1").click()
    page.keyboard.press("Home")
    page.keyboard.press(" ")
    page.wait_for_timeout(100)
    for _ in range(100):  # the policy forbids playwright's own waiting, which evaluates strings in the page
        if visit.state() == 20 and not page.evaluate("suasion.player.playing"):
            break
        page.wait_for_timeout(50)
    assert visit.state() == 20
    card = page.locator(".pane").first.locator(".card p").first.inner_text()
    total = float(episode.rewards[:, 0].sum(dtype=np.float64))
    assert f"reward {total:g}" in card
    visit.close()


@in_browser
def test_hostile_names_do_nothing_in_a_browser(chromium: Any, walk: Callable[..., Episode], tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    episode = replace(walk(), game=evil, agents=(evil, "b", "c"), note=evil)
    for width in (390, 1200):
        path = write_replay({evil: episode}, tmp_path / f"{width}.html")
        visit = Visit(chromium, path, viewport={"width": width, "height": 800})
        assert evil in visit.page.locator("h3").first.inner_text()
        assert visit.page.locator("img").count() == 0
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
        visit.close()


@in_browser
def test_long_episodes_scrub_fast(chromium: Any, tmp_path: Path) -> None:
    """10,000 steps, the whole page in sight: 95 of 100 redraws within 33 ms. The bound here is three times that, for
    others use the machine.
    """
    episode = with_alternatives(busy(10_000), 100)
    tall = {"width": 1280, "height": 2400}
    visit = Visit(chromium, write_replay({"long": episode}, tmp_path / "page.html"), viewport=tall)
    tables = (episode.moments[:, 0] + 1).tolist()  # of every other redraw, so that tables are drawn as well
    spent = visit.page.evaluate(
        """(tables) => Array.from({length: 200}, (_, i) => {
            const before = performance.now();
            suasion.player.seek(i % 2 ? tables[(i >> 1) % tables.length] : (i * 7919) % 10001);
            suasion.player.draw();
            suasion.player.panes[0].map.getContext("2d").getImageData(0, 0, 1, 1);
            return performance.now() - before;
        })""",
        tables,
    )
    print(f"redraws: median {np.median(spent):.1f} ms, p95 {np.quantile(spent, 0.95):.1f} ms")
    assert np.quantile(spent, 0.95) <= 100
    visit.complaints.clear()  # reading pixels back, to wait until they are drawn, earns a remark on speed
    visit.close()


def with_alternatives(episode: Episode, most: int = 10) -> Episode:
    """Some recorded moments, the first the most influential one."""
    rng = np.random.default_rng(0)
    found = [(t, k, j, t + 1) for t, k, j, _ in influential(episode) if t + 1 < len(episode.actions)][:most]
    actions = len(episode.actions_names)
    tables = rng.dirichlet(np.ones(actions), (len(found), actions))
    return replace(
        episode,
        moments=np.array(found, np.int32),
        conditionals=np.rint(255 * tables).astype(np.uint8),
        marginals=np.rint(255 * tables.mean(1)).astype(np.uint8),
    )


def test_alternatives_are_recorded_and_packed(walk: Callable[..., Episode], tmp_path: Path) -> None:
    episode = with_alternatives(replace(walk(), influence=influence_of(walk())))
    write_episode(tmp_path / "e.suasion", episode)
    (read,) = find_episodes([tmp_path / "e.suasion"]).values()
    arrays = unpacked(pack(read, "a"))
    np.testing.assert_array_equal(arrays["recorded"], episode.moments.ravel())
    np.testing.assert_array_equal(arrays["conditionals"], episode.conditionals.ravel())
    np.testing.assert_array_equal(arrays["marginals"], episode.marginals.ravel())
    with pytest.raises(RecordError, match="belong together"):
        replace(episode, marginals=None)
    late = episode.moments.copy()
    late[3, 3] = 20
    with pytest.raises(RecordError, match=r"moments\[3, 3\] is step 20 of 20"):
        replace(episode, moments=late)
    late[3] = (5, 1, 1, 6)
    with pytest.raises(RecordError, match=r"moments\[3\] is \[5, 1, 1, 6\]"):
        replace(episode, moments=late)
    with pytest.raises(RecordError, match="conditionals has shape"):
        replace(episode, conditionals=episode.conditionals[:4])


@in_browser
def test_the_counterfactual_view(chromium: Any, walk: Callable[..., Episode], tmp_path: Path) -> None:
    episode = with_alternatives(replace(walk(), influence=influence_of(walk())))
    visit = Visit(chromium, write_replay({"one": episode}, tmp_path / "page.html"))
    visit.page.keyboard.press("Home")
    assert visit.state() == 0
    assert "No alternatives" in visit.page.locator(".scroll").inner_text()
    t, k, j, then = (int(x) for x in episode.moments[0])
    visit.page.locator(".moments button").first.click()
    assert visit.state() == t + 1
    assert visit.page.locator("button[aria-current]").count() >= 1
    shown = visit.page.locator("table.alternatives").first
    assert f"Step {t}: what agent {j + 1} would do in step {then}" in shown.inner_text()
    first = next(i for i, moment in enumerate(episode.moments) if moment[0] == t)
    cells = [int(cell) for cell in shown.locator("td").all_inner_texts()]
    tables = np.concatenate([episode.conditionals[first], episode.marginals[first][None]])
    np.testing.assert_allclose(cells, tables.ravel() / 2.55, atol=0.5)
    stops = sorted({moment[0] + 1 for moment in influential(episode, 20)})
    visit.page.keyboard.press("Home")
    for stop in stops[:3]:
        visit.page.keyboard.press("n")
        assert visit.state() == stop
    visit.page.locator("button.jump").first.click()
    assert visit.state() == stops[1]
    visit.page.evaluate(f"suasion.player.seek({t + 1})")
    assert visit.state() == t + 1
    taken = shown.locator("tr.taken th").inner_text()
    assert taken == "● " + episode.actions_names[episode.actions[t, k]]
    assert f"over the policy of agent {k + 1} in its state" in shown.inner_text()
    visit.close()


def spoken_to(episode: Episode, symbols: int, marginal: str = "policy") -> Episode:
    """Some recorded moments of messages, the first the most influential one."""
    rng = np.random.default_rng(0)
    found = [(t, k, j, t + 1) for t, k, j, _ in influential(episode) if t + 1 < len(episode.actions)][:10]
    tables = rng.dirichlet(np.ones(len(episode.actions_names)), (len(found), symbols))
    return replace(
        episode,
        messages=rng.integers(0, symbols, episode.actions.shape).astype(np.int16),
        moments=np.array(found, np.int32),
        conditionals=np.rint(255 * tables).astype(np.uint8),
        marginals=np.rint(255 * tables.mean(1)).astype(np.uint8),
        varied="message",
        marginal=marginal,
    )


def test_tables_of_messages_are_packed(walk: Callable[..., Episode], tmp_path: Path) -> None:
    episode = spoken_to(replace(walk(), influence=influence_of(walk())), 3, "average")
    write_episode(tmp_path / "e.suasion", episode)
    (read,) = find_episodes([tmp_path / "e.suasion"]).values()
    film = pack(read, "a")
    assert (film["varied"], film["marginal"], film["rows"]) == ("message", "average", 3)
    np.testing.assert_array_equal(unpacked(film)["conditionals"], episode.conditionals.ravel())
    assert "rows" not in pack(walk(), "a")


@in_browser
@pytest.mark.parametrize(("symbols", "marginal"), [(3, "policy"), (100, "average")])
def test_the_counterfactual_view_of_messages(
    symbols: int, marginal: str, chromium: Any, walk: Callable[..., Episode], tmp_path: Path
) -> None:
    """Lines are symbols, the spoken one is marked and never left out, and the page says what is averaged over."""
    evil = "<img src=x onerror=alert(1)>"
    episode = spoken_to(replace(walk(), influence=influence_of(walk()), agents=(evil, "b", "c")), symbols, marginal)
    t, k, j, then = (int(x) for x in episode.moments[0])
    said = int(episode.messages[t, k])
    if symbols > 64:
        episode.messages[t, k] = said = symbols - 1
    visit = Visit(chromium, write_replay({"one": episode}, tmp_path / "page.html"))
    visit.page.locator(".moments button").first.click()
    assert visit.state() == t + 1
    shown = visit.page.locator("table.alternatives").first
    names, text = episode.agents, shown.locator("caption").inner_text()
    assert f"Step {t}: what {names[j]} would do in step {then}, had {names[k]} said each of {symbols} symbols" in text
    assert f"It said “{said}”, then {names[j]} did “{episode.actions_names[episode.actions[then, j]]}”." in text
    over = "all steps of the episodes" if marginal == "average" else f"the policy of {names[k]} in its state"
    assert f"“On average” is over {over}." in text
    assert ("35 more are not shown" in text) == (symbols == 100)
    assert shown.locator("tr th").first.inner_text() == f"had {names[k]} said"
    kept = [c for c in range(symbols) if c < 64 or c == said]
    heads = shown.locator("th[scope=row]").all_inner_texts()
    assert heads == [("● " if c == said else "") + str(c) for c in kept] + ["on average"]
    assert shown.locator("tr.taken th").inner_text() == f"● {said}"
    first = next(i for i, moment in enumerate(episode.moments) if moment[0] == t)
    cells = [int(cell) for cell in shown.locator("td").all_inner_texts()]
    tables = np.concatenate([episode.conditionals[first][kept], episode.marginals[first][None]])
    np.testing.assert_allclose(cells, tables.ravel() / 2.55, atol=0.5)
    card = visit.page.locator(".card p").nth(k).inner_text()
    assert f"says {said}" in card
    visit.close()


@in_browser
def test_only_what_is_in_sight_is_drawn(chromium: Any, walk: Callable[..., Episode], tmp_path: Path) -> None:
    """Views below the window wait until one scrolls to them; text is always right; a frame draws once."""
    episode = replace(walk(), influence=influence_of(walk()))
    path = write_replay({"one": episode}, tmp_path / "page.html")
    visit = Visit(chromium, path, viewport={"width": 400, "height": 300})
    page, drawn = visit.page, "suasion.player.panes[0].layers.map((layer) => parseInt(layer.at))"
    page.wait_for_timeout(300)
    page.evaluate("[3, 4, 5].forEach((t) => suasion.player.seek(t))")
    assert visit.state() == 5
    first = page.evaluate(drawn)
    assert first[0] == 5
    assert first[-1] == 0
    assert "reward" in page.locator(".card p").last.inner_text()
    page.locator(".card").last.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    assert visit.state() == 5
    assert page.evaluate(drawn)[-1] == 5
    page.evaluate("suasion.player.seek(7)")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert set(page.evaluate(drawn)) == {7}
    visit.close()


@in_browser
def test_a_report_in_a_browser(chromium: Any, walk: Callable[..., Episode], tmp_path: Path) -> None:
    episode = replace(walk(), influence=influence_of(walk()))
    for seed in range(2):
        paths = create_run(tmp_path / f"seed-{seed}", {"label": "<b>x</b>", "seed": seed}, {"versions": {}})
        with MetricsWriter(paths.metrics) as writer:
            for step in range(1, 9):
                writer.append({"step": step, "episode/return": step * 1.5 + seed, "episode/returns": [1.0, 2.0 * seed]})
        write_episode(paths.episodes / "step-000000000008-seed-0-0.suasion", episode)
    visit = Visit(chromium, write_report([tmp_path], tmp_path / "report.html"))
    page = visit.page
    assert page.locator("main b").count() == 0
    page.locator("button[data-film]").first.click()
    page.wait_for_timeout(100)
    assert visit.state() == pack(episode, "a")["moments"][0][0] + 1
    assert page.locator("polyline.mean").first.is_visible()
    page.locator("input[value=iqm]").check()
    assert not page.locator("polyline.mean").first.is_visible()
    assert page.locator("polyline.iqm").first.is_visible()
    visit.close()
