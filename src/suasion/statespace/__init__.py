"""Linear systems and their discretisation, HMM, Kalman and particle filters (NumPy + Numba).

Notes: N1.3.1-d, N(1)-N(13). A model is a Markov chain and what is seen of it; the verbs are `filter`, `smooth`,
`decode`, `sample`, `simulate`, `forecast`, `fit` and `online`. `phi_1` and `hold` take JAX's arrays as well, so that
sequence models use the same text.
"""

from suasion.statespace._baum_welch import Fit as Fit
from suasion.statespace._belief import BeliefUpdate as BeliefUpdate
from suasion.statespace._belief import belief_update as belief_update
from suasion.statespace._belief import controlled_process as controlled_process
from suasion.statespace._belief import observed_process as observed_process
from suasion.statespace._covariance_form import CovarianceFiltered as CovarianceFiltered
from suasion.statespace._covariance_form import CovarianceSmoothed as CovarianceSmoothed
from suasion.statespace._emission import Emission as Emission
from suasion.statespace._emission import Gaussian as Gaussian
from suasion.statespace._emission import Likelihood as Likelihood
from suasion.statespace._emission import Moments as Moments
from suasion.statespace._emission import Poisson as Poisson
from suasion.statespace._emission import Table as Table
from suasion.statespace._exponential import fast_exp as fast_exp
from suasion.statespace._finite import FiniteDecoded as FiniteDecoded
from suasion.statespace._finite import FiniteFiltered as FiniteFiltered
from suasion.statespace._finite import FiniteForecast as FiniteForecast
from suasion.statespace._finite import FiniteSmoothed as FiniteSmoothed
from suasion.statespace._finite import FiniteSSM as FiniteSSM
from suasion.statespace._finite_score import FiniteScore as FiniteScore
from suasion.statespace._finite_verbs import FiniteStream as FiniteStream
from suasion.statespace._gaussian import LinearGaussianSSM as LinearGaussianSSM
from suasion.statespace._gaussian_score import GaussianScore as GaussianScore
from suasion.statespace._kalman_verbs import GaussianFiltered as GaussianFiltered
from suasion.statespace._kalman_verbs import GaussianForecast as GaussianForecast
from suasion.statespace._kalman_verbs import GaussianSmoothed as GaussianSmoothed
from suasion.statespace._kalman_verbs import GaussianStream as GaussianStream
from suasion.statespace._linear import DiscreteSystem as DiscreteSystem
from suasion.statespace._linear import LinearSystem as LinearSystem
from suasion.statespace._linear import noise_root as noise_root
from suasion.statespace._linear import zero_order_hold as zero_order_hold
from suasion.statespace._nonlinear import NonlinearSSM as NonlinearSSM
from suasion.statespace._nonlinear_filter import Extended as Extended
from suasion.statespace._nonlinear_filter import Unscented as Unscented
from suasion.statespace._nonlinear_verbs import NonlinearStream as NonlinearStream
from suasion.statespace._particle_compiled import CompiledSSM as CompiledSSM
from suasion.statespace._particle_records import ParticleFiltered as ParticleFiltered
from suasion.statespace._particle_records import ParticleHistory as ParticleHistory
from suasion.statespace._particle_resampling import resample as resample
from suasion.statespace._particle_smoothing import backward_sample as backward_sample
from suasion.statespace._particles import Proposal as Proposal
from suasion.statespace._particles import StateSpaceModel as StateSpaceModel
from suasion.statespace._particles import particle_filter as particle_filter
from suasion.statespace._phi import hold as hold
from suasion.statespace._phi import phi_1 as phi_1
from suasion.statespace._verbs import decode as decode
from suasion.statespace._verbs import filter as filter
from suasion.statespace._verbs import fit as fit
from suasion.statespace._verbs import forecast as forecast
from suasion.statespace._verbs import online as online
from suasion.statespace._verbs import sample as sample
from suasion.statespace._verbs import score as score
from suasion.statespace._verbs import simulate as simulate
from suasion.statespace._verbs import smooth as smooth
