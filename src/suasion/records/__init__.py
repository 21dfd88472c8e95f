"""What lies on disk: runs, metrics, checkpoints, episodes. Standard library and NumPy; no JAX.

An envelope is one file with a header, named arrays and a SHA-256 over all of it; checkpoints and episodes are
envelopes. Metrics are JSON lines, a pure function of the step. A run is a directory of these. Files are
written whole or not at all, equal content gives equal bytes, and no time stamp is written anywhere but in
`timing.jsonl`.

This is the one place that parses bytes of unknown origin. Nothing is unpickled; sizes are checked before
memory is taken; whatever is wrong with a file, its reader raises `RecordError` and nothing else. Writers
raise `RecordError` for values that cannot be written, and `OSError` where the disk refuses.
"""

from suasion.records._checkpoint import Checkpoint as Checkpoint
from suasion.records._checkpoint import drop_checkpoints as drop_checkpoints
from suasion.records._checkpoint import newest_checkpoint as newest_checkpoint
from suasion.records._checkpoint import save_checkpoint as save_checkpoint
from suasion.records._counterfactuals import Counterfactuals as Counterfactuals
from suasion.records._counterfactuals import read_counterfactuals as read_counterfactuals
from suasion.records._counterfactuals import write_counterfactuals as write_counterfactuals
from suasion.records._disk import RecordError as RecordError
from suasion.records._disk import make_folder as make_folder
from suasion.records._disk import read_bounded as read_bounded
from suasion.records._disk import refuse as refuse
from suasion.records._disk import sweep as sweep
from suasion.records._disk import write_whole as write_whole
from suasion.records._envelope import Envelope as Envelope
from suasion.records._envelope import read_envelope as read_envelope
from suasion.records._envelope import write_envelope as write_envelope
from suasion.records._episode import Episode as Episode
from suasion.records._episode import most_influential as most_influential
from suasion.records._episode import read_episode as read_episode
from suasion.records._episode import write_episode as write_episode
from suasion.records._export import export_csv as export_csv
from suasion.records._export import export_parquet as export_parquet
from suasion.records._export import export_tensorboard as export_tensorboard
from suasion.records._follow import MetricsFollower as MetricsFollower
from suasion.records._json import read_json as read_json
from suasion.records._json import write_json as write_json
from suasion.records._lock import hold_run as hold_run
from suasion.records._lock import is_held as is_held
from suasion.records._metrics import Metrics as Metrics
from suasion.records._metrics import MetricsWriter as MetricsWriter
from suasion.records._metrics import read_metrics as read_metrics
from suasion.records._nearest import nearest as nearest
from suasion.records._run import Run as Run
from suasion.records._run import RunPaths as RunPaths
from suasion.records._run import create_run as create_run
from suasion.records._run import find_runs as find_runs
from suasion.records._run import read_run as read_run
from suasion.records._tensors import read_tensors as read_tensors
from suasion.records._tensors import write_tensors as write_tensors
