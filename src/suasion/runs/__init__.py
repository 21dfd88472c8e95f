"""Runs (JAX): what a run is, training it, and playing with what it learned.

`RunConfig` holds everything that a result depends on; `configure` makes one from a game's preset and a few changes,
`build` turns it into an experiment of `agents`. `train` fills a run's directory (see `records.create_run`): rows of
metrics that are a function of the step alone, checkpoints of all that changes while learning, wall-clock times apart.
An existing run of the same configuration goes on from its newest checkpoint. `play_run` plays episodes with the
policies of a run, `evaluate_run` measures their society, also of agents of several runs and scripted ones (`cast`);
`observe_run` measures how agents influence each other.
"""

from suasion.runs._cast import cast as cast
from suasion.runs._checkpoint import restore_learner as restore_learner
from suasion.runs._checkpoint import save_learner as save_learner
from suasion.runs._config import SIZED as SIZED
from suasion.runs._config import RunConfig as RunConfig
from suasion.runs._config import build as build
from suasion.runs._config import configure as configure
from suasion.runs._config import on_the_clock as on_the_clock
from suasion.runs._evaluate import Estimate as Estimate
from suasion.runs._evaluate import Evaluation as Evaluation
from suasion.runs._evaluate import evaluate_run as evaluate_run
from suasion.runs._influence import Observed as Observed
from suasion.runs._influence import observe_run as observe_run
from suasion.runs._manifest import manifest as manifest
from suasion.runs._plain import ConfigError as ConfigError
from suasion.runs._play import LoadedRun as LoadedRun
from suasion.runs._play import load_run as load_run
from suasion.runs._play import measures as measures
from suasion.runs._play import play_run as play_run
from suasion.runs._play import write_episodes as write_episodes
from suasion.runs._presets import Preset as Preset
from suasion.runs._presets import preset as preset
from suasion.runs._progress import Progress as Progress
from suasion.runs._signals import Stop as Stop
from suasion.runs._train import Status as Status
from suasion.runs._train import Trained as Trained
from suasion.runs._train import TrainingError as TrainingError
from suasion.runs._train import metrics_row as metrics_row
from suasion.runs._train import train as train
