"""Markov chain, reward process, decision process, POMDP, policy, file formats (NumPy + SciPy).

Notes: N1.3. A decision process is joint dynamics p(s', r | s, a), kept as state -> choices -> branches.
"""

from suasion.markov._mdp import MDP as MDP
from suasion.markov._mdp import Marginals as Marginals
from suasion.markov._mdp import check_distribution as check_distribution
from suasion.markov._pomdp import POMDP as POMDP
from suasion.markov._question import Question as Question
