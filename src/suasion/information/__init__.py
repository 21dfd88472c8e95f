"""Entropy, divergences, mutual information, estimators: one text for NumPy and JAX arrays.

Notes: N-KL, N-CMI (there at a fixed z), N(16)-N(18), N-PMI. Tables of probabilities `p[..., a]`, `p[..., x, y]`,
`p[..., x, y, z]` with any leading axes; the same from log-probabilities, for what lies inside `jax.jit`; estimates
from samples (NumPy, float64) and the permutation test that says what of an estimate is bias.

Results keep the dtype of their input and are in nats unless `unit="bits"`. 0 log 0 is 0, and gradients are finite
where values are: at a probability of exactly 0, where the logarithm has no derivative, p log p is given derivative 0.
What is no distribution is refused with its place and number. Inside a JAX transformation (`jit`, `grad`, `vmap`)
values are unknown, and only shapes and names are checked; NaN comes out as NaN. This room never imports JAX.
"""

from suasion.information._array import Unit as Unit
from suasion.information._array import check_distribution as check_distribution
from suasion.information._logs import entropy_from_logs as entropy_from_logs
from suasion.information._logs import jensen_shannon_from_logs as jensen_shannon_from_logs
from suasion.information._logs import kl_divergence_from_logs as kl_divergence_from_logs
from suasion.information._logs import mixture_from_logs as mixture_from_logs
from suasion.information._samples import Estimator as Estimator
from suasion.information._samples import PermutationNull as PermutationNull
from suasion.information._samples import entropy_from_samples as entropy_from_samples
from suasion.information._samples import mutual_information_from_samples as mutual_information_from_samples
from suasion.information._samples import permutation_null as permutation_null
from suasion.information._tables import conditional_entropy as conditional_entropy
from suasion.information._tables import conditional_mutual_information as conditional_mutual_information
from suasion.information._tables import conditional_mutual_information_at as conditional_mutual_information_at
from suasion.information._tables import cross_entropy as cross_entropy
from suasion.information._tables import entropy as entropy
from suasion.information._tables import jensen_shannon as jensen_shannon
from suasion.information._tables import joint_from_conditional as joint_from_conditional
from suasion.information._tables import kl_divergence as kl_divergence
from suasion.information._tables import mutual_information as mutual_information
from suasion.information._tables import pointwise_mutual_information as pointwise_mutual_information
