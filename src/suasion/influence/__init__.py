"""Social influence (JAX): rewards for what one agent's action changes in what others do next (Jaques et al. 2019).

For an influencer k and an agent j, with everything else (z) as it was, influence is (N(14) of the notes)
$D[p(a^j \\mid a^k, z) \\| \\sum_{\\tilde a} \\pi^k(\\tilde a) p(a^j \\mid \\tilde a, z)]$ in nats; averaged over k's
policy it is the mutual information of the two actions. Where p comes from is a
`Counterfactual`: `Basic` asks j's own policy, which sees k act in the same step (experiment I); `Spoken` asks it about
the messages of k, which it reads a step later (experiment II); `Foreseen` asks the `ModelOfOthers` that k learns
(experiment III); `Simulated` plays the step again for every action of k and asks j's own
policy, which is exact: a reward of its own, and the yardstick of the other two. `Influence` is the reward term that
pays any of them; `measure` gives the same numbers for whole episodes; what agents then do is in `_behaviour`, what
their messages mean and change in `_coordination` (NX2).

Other rewards that look at others, to compare and combine with: `Inequity`, `Prosocial`, `Orientation`, `Exchange`.
"""

from suasion.influence._behaviour import Behaviour as Behaviour
from suasion.influence._behaviour import behaviour as behaviour
from suasion.influence._communication import Spoken as Spoken
from suasion.influence._conditionals import Table as Table
from suasion.influence._conditionals import moment_tables as moment_tables
from suasion.influence._conditionals import step_tables as step_tables
from suasion.influence._conditionals import table_steps as table_steps
from suasion.influence._conditionals import tabled as tabled
from suasion.influence._config import MODES as MODES
from suasion.influence._config import InfluenceConfig as InfluenceConfig
from suasion.influence._coordination import Communication as Communication
from suasion.influence._coordination import Consistency as Consistency
from suasion.influence._coordination import Coordination as Coordination
from suasion.influence._coordination import Speaker as Speaker
from suasion.influence._coordination import Talk as Talk
from suasion.influence._coordination import communication as communication
from suasion.influence._coordination import coordination as coordination
from suasion.influence._coordination import influential as influential
from suasion.influence._coordination import speaker_consistency as speaker_consistency
from suasion.influence._counterfactual import Basic as Basic
from suasion.influence._counterfactual import Counterfactual as Counterfactual
from suasion.influence._counterfactual import Foreseen as Foreseen
from suasion.influence._counterfactual import Simulated as Simulated
from suasion.influence._counterfactual import Tabled as Tabled
from suasion.influence._divergence import Divergence as Divergence
from suasion.influence._divergence import Imagined as Imagined
from suasion.influence._divergence import divergence as divergence
from suasion.influence._exchange import Exchange as Exchange
from suasion.influence._inequity import Inequity as Inequity
from suasion.influence._measure import Measured as Measured
from suasion.influence._measure import measure as measure
from suasion.influence._model import ModelConfig as ModelConfig
from suasion.influence._model import ModelOfOthers as ModelOfOthers
from suasion.influence._orientation import Orientation as Orientation
from suasion.influence._others import PerAgent as PerAgent
from suasion.influence._prosocial import Prosocial as Prosocial
from suasion.influence._reward import Influence as Influence
from suasion.influence._reward import influences as influences
from suasion.influence._reward import phases as phases
from suasion.influence._terms import TERMS as TERMS
