"""Learners of many agents (JAX): rollout, returns, the grammar of rewards, A2C and PPO for recurrent policies.

`Experiment` says who learns what, `Learner` holds all that changes, `update` is one turn: rollout -> rewards ->
advantages -> fit. Rewards are terms composed by name and weight (`Rewards`); further losses come in by a second door
(`AuxiliaryLoss`). Nothing here knows of influence: that room hands its terms and losses in. One convention of time:
R_{t+1} follows A_t and is stored at t (the notes' N1.3.3); bootstrap on truncation, not on termination.
"""

from suasion.agents._auxiliary import AuxiliaryLoss as AuxiliaryLoss
from suasion.agents._learner import Experiment as Experiment
from suasion.agents._learner import Learner as Learner
from suasion.agents._learner import LearnerConfig as LearnerConfig
from suasion.agents._learner import Report as Report
from suasion.agents._learner import advantages as advantages
from suasion.agents._learner import init as init
from suasion.agents._learner import placed as placed
from suasion.agents._learner import update as update
from suasion.agents._losses import normalised as normalised
from suasion.agents._metrics import Metric as Metric
from suasion.agents._metrics import Ratio as Ratio
from suasion.agents._optimiser import Optimiser as Optimiser
from suasion.agents._optimiser import group_norms as group_norms
from suasion.agents._play import Played as Played
from suasion.agents._play import play as play
from suasion.agents._returns import Targets as Targets
from suasion.agents._returns import lambda_returns as lambda_returns
from suasion.agents._returns import n_step_returns as n_step_returns
from suasion.agents._returns import next_values as next_values
from suasion.agents._returns import vtrace_returns as vtrace_returns
from suasion.agents._rewards import TERMS as TERMS
from suasion.agents._rewards import Extrinsic as Extrinsic
from suasion.agents._rewards import Paid as Paid
from suasion.agents._rewards import Rewards as Rewards
from suasion.agents._rewards import RewardTerm as RewardTerm
from suasion.agents._rewards import Shared as Shared
from suasion.agents._rollout import Acted as Acted
from suasion.agents._rollout import Actors as Actors
from suasion.agents._rollout import Finished as Finished
from suasion.agents._rollout import Script as Script
from suasion.agents._rollout import Tally as Tally
from suasion.agents._rollout import act as act
from suasion.agents._rollout import begin as begin
from suasion.agents._rollout import observe as observe
from suasion.agents._rollout import rollout as rollout
from suasion.agents._schedule import Schedule as Schedule
from suasion.agents._schedule import Trigger as Trigger
from suasion.agents._schedule import Weight as Weight
from suasion.agents._schedule import constant as constant
from suasion.agents._schedule import parse_weight as parse_weight
from suasion.agents._schedule import triggers as triggers
from suasion.agents._schedule import write_weight as write_weight
from suasion.agents._shards import over_environments as over_environments
from suasion.agents._trajectory import Params as Params
from suasion.agents._trajectory import Trajectory as Trajectory
