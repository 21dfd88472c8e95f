r"""Sequence models: linear state spaces whose steps the input may choose, and Mamba (JAX + Equinox).

Notes: N(1)-N(13), NQ1. A `Layer` maps sequences [t, b, d] causally and carries a memory: `initial` starts it, `step` is
one step, `scan` all of them with the same numbers, and a sequence may be cut anywhere. The start of an episode clears
the memory by `where`. `Mamba` chooses what to keep by `selective_scan`; `S4D` cannot choose; `MinGRU` has one state a
channel and is the fast one on a CPU. `Block` puts a norm and a residual around any of them.

`MambaLM` is the language model: `generate` goes on with a prompt, `read_huggingface` has published weights.

The discretisation is `suasion.statespace.hold`. How the scan runs on a CPU is told in `_chunks` and, compiled, in
`_native`; on a GPU in `_kernel`; what all must equal is in `_reference`.
"""

from suasion.sequence._block import Block as Block
from suasion.sequence._block import RMSNorm as RMSNorm
from suasion.sequence._characters import Text as Text
from suasion.sequence._characters import write as write
from suasion.sequence._convolution import CausalConvolution as CausalConvolution
from suasion.sequence._diagonal import MinGRU as MinGRU
from suasion.sequence._diagonal import gated_scan as gated_scan
from suasion.sequence._diagonal import gated_unit as gated_unit
from suasion.sequence._digits import Digits as Digits
from suasion.sequence._generate import Generated as Generated
from suasion.sequence._generate import Sampling as Sampling
from suasion.sequence._generate import generate as generate
from suasion.sequence._generate import prefill as prefill
from suasion.sequence._generate import sample as sample
from suasion.sequence._huggingface import read_huggingface as read_huggingface
from suasion.sequence._huggingface import write_huggingface as write_huggingface
from suasion.sequence._language import MambaLM as MambaLM
from suasion.sequence._language import MambaLMConfig as MambaLMConfig
from suasion.sequence._layer import Layer as Layer
from suasion.sequence._layer import Memory as Memory
from suasion.sequence._lstm import LSTM as LSTM
from suasion.sequence._mamba import Mamba as Mamba
from suasion.sequence._mamba import MambaMemory as MambaMemory
from suasion.sequence._scan import Scanned as Scanned
from suasion.sequence._scan import selective_scan as selective_scan
from suasion.sequence._scan import selective_step as selective_step
from suasion.sequence._stack import CORES as CORES
from suasion.sequence._stack import Architecture as Architecture
from suasion.sequence._stack import Stack as Stack
from suasion.sequence._step import Discretization as Discretization
from suasion.sequence._tasks import Batch as Batch
from suasion.sequence._tasks import Induction as Induction
from suasion.sequence._tasks import SelectiveCopying as SelectiveCopying
from suasion.sequence._tasks import Task as Task
from suasion.sequence._text import Bytes as Bytes
from suasion.sequence._text import Characters as Characters
from suasion.sequence._text import SubwordTokenizer as SubwordTokenizer
from suasion.sequence._text import Tokenizer as Tokenizer
from suasion.sequence._text import load_tokenizer as load_tokenizer
from suasion.sequence._time_invariant import S4D as S4D
from suasion.sequence._time_invariant import DiagonalSSM as DiagonalSSM
from suasion.sequence._train import Learner as Learner
from suasion.sequence._train import Recipe as Recipe
from suasion.sequence._train import begin as begin
from suasion.sequence._train import improve as improve
from suasion.sequence._train import score as score
