"""Kills `suasion train` at random moments, starts it again each time, and counts the bytes that come out different.

    python kills.py --kills 50 --cases stag-hunt/lstm harvest/gru --folder FOLDER

Standard library alone: the processes under test are real ones, and die by SIGKILL. A moment is drawn evenly over the
start of a process (a quarter of them) or over the time after its first new row of metrics. One process writes a
checkpoint after every row, another hardly any. A run that ends before its next kill is compared with an uninterrupted
one, and the next run begins; at the end the last run is brought to its end and compared as well. Prints JSON.
"""

import argparse
import dataclasses
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

GAMES = {
    "stag-hunt": ("stag-hunt", "--horizon", "20"),
    "harvest": ("harvest", "--view", "5", "--horizon", "40"),
}
SMALL = ("--width", "8", "--environments", "4", "--rollout", "8", "--epochs", "1", "--minibatches", "1")
OFTEN = (0.001, 0.05, 0.5)  # seconds between checkpoints: all of the time, now and then, hardly ever
START = 2.5  # seconds; kills while the program loads, compiles, reads its checkpoint
WORK = 0.7  # seconds after the first new row
LIMIT = 300  # seconds that one process may take


@dataclasses.dataclass
class Told:
    """What happened to one case."""

    case: str
    kills: int = 0
    while_starting: int = 0
    runs: int = 0
    lives: int = 0
    torn: int = 0  # kills that left half a line
    left_over: int = 0  # kills that left a temporary file
    damaged: int = 0  # checkpoints that were passed over
    left_at_the_end: int = 0  # temporary files after a run's end
    bytes_compared: int = 0
    differing: int = 0


def start(case, steps, out, seconds):
    """A process that trains the case."""
    game, core = case.split("/")
    command = [sys.executable, "-m", "suasion", "train", *GAMES[game], *SMALL]
    command += ["--checkpoint-seconds", str(seconds), "--core", core, "--steps", str(steps), "--out", str(out)]
    with (out.parent / f"{out.name}.txt").open("wb") as errors:
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)


def whole(process, out):
    """Wait for the end; what it complained of."""
    if process.wait(LIMIT):
        raise SystemExit(f"{out}: ended with {process.returncode}: {complaints(out)}")
    return complaints(out)


def complaints(out):
    return (out.parent / f"{out.name}.txt").read_text(errors="replace")


def size(path):
    return path.stat().st_size if path.exists() else 0


def kill(process, out, chance, told):
    """Let it live for a random while; whether it was still there to be killed."""
    metrics = out / "seed-0" / "metrics.jsonl"
    starting = chance.random() < 0.25
    if starting:
        time.sleep(chance.random() * START)
    else:
        # A resumed process cuts the file first, so any change of its size is the first sign of work.
        seen, begun = size(metrics), time.monotonic()
        while size(metrics) == seen and process.poll() is None and time.monotonic() - begun < LIMIT:
            time.sleep(0.002)
        time.sleep(chance.random() * WORK)
    if process.poll() is not None:
        return False
    process.send_signal(signal.SIGKILL)
    process.wait()
    told.kills += 1
    told.while_starting += starting
    content = metrics.read_bytes() if metrics.exists() else b""
    told.torn += bool(content) and not content.endswith(b"\n")
    told.left_over += bool(list(out.rglob(".partial-*")))
    return True


def checkpoint(out):
    return max((out / "seed-0" / "checkpoints").glob("checkpoint-*")).read_bytes()


def differing(a, b):
    return sum(x != y for x, y in zip(a, b, strict=False)) + abs(len(a) - len(b))


def compare(out, reference, told):
    for mine, theirs in (
        ((out / "seed-0" / "metrics.jsonl").read_bytes(), (reference / "seed-0" / "metrics.jsonl").read_bytes()),
        (checkpoint(out), checkpoint(reference)),
    ):
        told.bytes_compared += len(theirs)
        told.differing += differing(mine, theirs)
    told.left_at_the_end += len(list(out.rglob(".partial-*")))


def hunt(case, kills, steps, folder, chance):
    """The kills of one case."""
    told = Told(case)
    reference = folder / "reference"
    folder.mkdir(parents=True)
    whole(start(case, steps, reference, OFTEN[-1]), reference)
    while told.kills < kills:
        out = folder / f"run-{told.runs}"
        told.runs += 1
        alive = True
        while alive and told.kills < kills:
            told.lives += 1
            process = start(case, steps, out, chance.choice(OFTEN))
            alive = kill(process, out, chance, told)
            told.damaged += complaints(out).count("passed over")
            if not alive:
                whole(process, out)
        told.damaged += whole(start(case, steps, out, OFTEN[-1]), out).count("passed over")
        told.lives += 1
        compare(out, reference, told)
        shutil.rmtree(out)
    return told


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="of all cases together")
    parser.add_argument("--cases", nargs="+", default=["stag-hunt/lstm", "harvest/gru"], metavar="GAME/CORE")
    parser.add_argument("--steps", type=int, default=32_000, help="of each run")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--folder", type=Path, required=True, help="of the runs; must not exist")
    given = parser.parse_args()
    chance = random.Random(given.seed)
    shares = [given.kills // len(given.cases) + (k < given.kills % len(given.cases)) for k in range(len(given.cases))]
    found = []
    for k, (case, share) in enumerate(zip(given.cases, shares, strict=True)):
        found.append(dataclasses.asdict(hunt(case, share, given.steps, given.folder / str(k), chance)))
        print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
