"""Learning from experience: Monte Carlo, temporal differences, Sarsa, Q-learning and their family (NumPy + Numba).

Notes: N1.2. `learn` finds a policy and `predict` the values of one, from steps that are drawn of a model, many
independent runs at once, each with a stream of random numbers of its own. Rules are records, such as
`QLearning(step_size=0.5)`. Beside what was learned stand exact values, by `suasion.planning`. R_{t+1} follows A_t; the
end of an episode is worth 0, and an episode that was cut off is followed by what is estimated for its last state.
"""

from suasion.td._algorithms import TD as TD
from suasion.td._algorithms import UCB as UCB
from suasion.td._algorithms import DoubleQLearning as DoubleQLearning
from suasion.td._algorithms import DynaQ as DynaQ
from suasion.td._algorithms import EpsilonGreedy as EpsilonGreedy
from suasion.td._algorithms import ExpectedSarsa as ExpectedSarsa
from suasion.td._algorithms import MonteCarlo as MonteCarlo
from suasion.td._algorithms import MonteCarloControl as MonteCarloControl
from suasion.td._algorithms import NStepSarsa as NStepSarsa
from suasion.td._algorithms import PrioritisedSweeping as PrioritisedSweeping
from suasion.td._algorithms import QLearning as QLearning
from suasion.td._algorithms import Sarsa as Sarsa
from suasion.td._algorithms import SarsaLambda as SarsaLambda
from suasion.td._algorithms import Softmax as Softmax
from suasion.td._algorithms import TDLambda as TDLambda
from suasion.td._algorithms import TreeBackup as TreeBackup
from suasion.td._algorithms import WatkinsQ as WatkinsQ
from suasion.td._batch import BatchValues as BatchValues
from suasion.td._batch import batch_mc as batch_mc
from suasion.td._batch import batch_td as batch_td
from suasion.td._learn import learn as learn
from suasion.td._learn import predict as predict
from suasion.td._learned import Band as Band
from suasion.td._learned import Learned as Learned
from suasion.td._learned import Predicted as Predicted
from suasion.td._learned import mean_band as mean_band
from suasion.td._learned import quantile_band as quantile_band
from suasion.td._log import Transitions as Transitions
from suasion.td._log_collect import collect as collect
from suasion.td._log_collect import model_hash as model_hash
from suasion.td._log_coverage import Coverage as Coverage
from suasion.td._log_coverage import CoverageError as CoverageError
from suasion.td._log_coverage import coverage as coverage
from suasion.td._log_evaluation import Estimate as Estimate
from suasion.td._log_evaluation import doubly_robust as doubly_robust
from suasion.td._log_evaluation import fitted_q_evaluation as fitted_q_evaluation
from suasion.td._log_evaluation import importance_sampling as importance_sampling
from suasion.td._log_files import read_log as read_log
from suasion.td._log_files import write_log as write_log
from suasion.td._log_learning import Equivalence as Equivalence
from suasion.td._log_learning import Replayed as Replayed
from suasion.td._log_learning import certainty_equivalence as certainty_equivalence
from suasion.td._log_learning import replay as replay
from suasion.td._log_minari import from_minari as from_minari
from suasion.td._log_minari import to_minari as to_minari
from suasion.td._policies import epsilon_greedy as epsilon_greedy
from suasion.td._policies import epsilon_soft as epsilon_soft
from suasion.td._policies import policy_value as policy_value
from suasion.td._schedules import Constant as Constant
from suasion.td._schedules import Linear as Linear
from suasion.td._schedules import Polynomial as Polynomial
