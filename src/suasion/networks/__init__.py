"""Recurrent policies (JAX + Equinox): encoders, cores under one reset contract, named heads.

`Policy` is the definition, `Network` its parameters: a tree of arrays with one set per agent along the first axis, or
one set for all. `Policy.step` acts, `Policy.unroll` recomputes the same numbers for learning, and
`Policy.alternatives` asks what would have been said had somebody done something else. A core's input product is
linear, so that such a question costs one row of a table; the start of an episode clears the memory by `where`, see
`clear`. The model of the views' first layers is in `_lookup`.
"""

from suasion.networks._core import GRU as GRU
from suasion.networks._core import LSTM as LSTM
from suasion.networks._core import Core as Core
from suasion.networks._core import CoreInput as CoreInput
from suasion.networks._core import InputProduct as InputProduct
from suasion.networks._core import Memory as Memory
from suasion.networks._core import Memoryless as Memoryless
from suasion.networks._core import clear as clear
from suasion.networks._core import run_cells as run_cells
from suasion.networks._cores import CORES as CORES
from suasion.networks._cores import CoreKind as CoreKind
from suasion.networks._encoder import ClassEncoder as ClassEncoder
from suasion.networks._encoder import ConvolutionEncoder as ConvolutionEncoder
from suasion.networks._encoder import Dense as Dense
from suasion.networks._encoder import Encoder as Encoder
from suasion.networks._lookup import convolve_then_dense as convolve_then_dense
from suasion.networks._observation import Observation as Observation
from suasion.networks._observation import in_slots as in_slots
from suasion.networks._observation import multi_hot as multi_hot
from suasion.networks._observation import pairs_by_agent as pairs_by_agent
from suasion.networks._observation import pairs_in_slots as pairs_in_slots
from suasion.networks._observation import slot_agents as slot_agents
from suasion.networks._policy import Network as Network
from suasion.networks._policy import Output as Output
from suasion.networks._policy import Policy as Policy
from suasion.networks._policy import PolicyConfig as PolicyConfig
from suasion.networks._policy import log_probability as log_probability
from suasion.networks._sequence_cores import Diagonal as Diagonal
from suasion.networks._sequence_cores import SequenceCore as SequenceCore
from suasion.networks._trunk import Trunk as Trunk
