r"""Sequence models: linear state spaces whose steps the input may choose, and Mamba (JAX + Equinox).

Notes: N(1)-N(13), NQ1. A `Layer` maps sequences [t, b, d] causally and carries a memory: `initial` starts it, `step` is
one step, `scan` all of them with the same numbers, and a sequence may be cut anywhere. The start of an episode clears
the memory by `where`. `Mamba` chooses what to keep by `selective_scan`; `S4D` cannot choose; `MinGRU` has one state a
channel and is the fast one on a CPU. `Block` puts a norm and a residual around any of them.

The discretisation is `suasion.statespace.hold`. How the scan runs on a CPU is told in `_chunks`, on a GPU in `_kernel`;
what both must equal is in `_reference`.
"""

from suasion.sequence._block import Block as Block
from suasion.sequence._block import RMSNorm as RMSNorm
from suasion.sequence._convolution import CausalConvolution as CausalConvolution
from suasion.sequence._diagonal import MinGRU as MinGRU
from suasion.sequence._diagonal import gated_scan as gated_scan
from suasion.sequence._layer import Layer as Layer
from suasion.sequence._layer import Memory as Memory
from suasion.sequence._mamba import Mamba as Mamba
from suasion.sequence._mamba import MambaMemory as MambaMemory
from suasion.sequence._scan import Scanned as Scanned
from suasion.sequence._scan import selective_scan as selective_scan
from suasion.sequence._scan import selective_step as selective_step
from suasion.sequence._step import Discretization as Discretization
from suasion.sequence._time_invariant import S4D as S4D
from suasion.sequence._time_invariant import DiagonalSSM as DiagonalSSM
