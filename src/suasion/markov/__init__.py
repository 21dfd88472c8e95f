"""Markov chain, reward process, decision process, POMDP, policy, file formats (NumPy + SciPy + Numba).

Notes: N1.3, except solving, which is `suasion.planning`. A decision process is joint dynamics p(s', r | s, a), kept as
state -> choices -> branches (`MDP`); a policy makes a reward process of it (`under`), which is a chain with rewards
(`MarkovRewardProcess`, `MarkovChain`). R_{t+1} follows A_t. The discount belongs to the question, not to the model.
"""

from suasion.markov._absorption import Absorption as Absorption
from suasion.markov._absorption import Fundamental as Fundamental
from suasion.markov._absorption import Hitting as Hitting
from suasion.markov._bellman import bellman_expectation_q as bellman_expectation_q
from suasion.markov._bellman import bellman_expectation_v as bellman_expectation_v
from suasion.markov._bellman import bellman_optimality_q as bellman_optimality_q
from suasion.markov._bellman import bellman_optimality_v as bellman_optimality_v
from suasion.markov._build import from_arrays as from_arrays
from suasion.markov._build import from_dict as from_dict
from suasion.markov._build import from_function as from_function
from suasion.markov._build import from_gymnasium as from_gymnasium
from suasion.markov._chain import MarkovChain as MarkovChain
from suasion.markov._estimation import ChainPosterior as ChainPosterior
from suasion.markov._files import FORMATS as FORMATS
from suasion.markov._files import Format as Format
from suasion.markov._files import FormatError as FormatError
from suasion.markov._files import read_model as read_model
from suasion.markov._files import write_model as write_model
from suasion.markov._graph import Classes as Classes
from suasion.markov._hypotheses import Significance as Significance
from suasion.markov._hypotheses import homogeneity_test as homogeneity_test
from suasion.markov._hypotheses import independence_test as independence_test
from suasion.markov._hypotheses import order_test as order_test
from suasion.markov._mdp import MDP as MDP
from suasion.markov._mdp import Marginals as Marginals
from suasion.markov._mdp import check_distribution as check_distribution
from suasion.markov._policy import Policy as Policy
from suasion.markov._pomdp import POMDP as POMDP
from suasion.markov._question import Question as Question
from suasion.markov._returns import discounted_return as discounted_return
from suasion.markov._returns import q_from_v as q_from_v
from suasion.markov._returns import td_error as td_error
from suasion.markov._returns import v_from_q as v_from_q
from suasion.markov._reward_process import MarkovRewardProcess as MarkovRewardProcess
from suasion.markov._reward_process import RewardedWalks as RewardedWalks
from suasion.markov._simulate import Walks as Walks
from suasion.markov._simulate import simulate as simulate
from suasion.markov._stationary import Stationary as Stationary
from suasion.markov._under import under as under
