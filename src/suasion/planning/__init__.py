"""Planning in a known model: dynamic programming with proven bounds (NumPy + Numba).

Notes: N1.1.2, N1.1.3, N1.3.4. `solve` answers for a discount, `reach_reward`, `reach_probability`, `average_reward` and
`finite_horizon` for other objectives. Every answer lies between bounds that hold in exact arithmetic.
"""

from suasion.planning._evaluation import Certificate as Certificate
from suasion.planning._evaluation import certify as certify
from suasion.planning._evaluation import evaluate as evaluate
from suasion.planning._evaluation import improve as improve
from suasion.planning._objectives import Horizon as Horizon
from suasion.planning._objectives import average_reward as average_reward
from suasion.planning._objectives import finite_horizon as finite_horizon
from suasion.planning._objectives import reach_probability as reach_probability
from suasion.planning._objectives import reach_reward as reach_reward
from suasion.planning._quotient import InfiniteValueError as InfiniteValueError
from suasion.planning._solution import Solution as Solution
from suasion.planning._solution import Status as Status
from suasion.planning._solve import Method as Method
from suasion.planning._solve import solve as solve
