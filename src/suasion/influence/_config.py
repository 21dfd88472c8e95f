"""What an experiment with influence is: mode, who influences whom, and the model of others."""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

from suasion.agents import AuxiliaryLoss
from suasion.games import Game, Spec
from suasion.influence._communication import Spoken
from suasion.influence._counterfactual import Basic, Counterfactual, Foreseen, Simulated
from suasion.influence._divergence import DIVERGENCES, MARGINALS, Divergence, Marginal
from suasion.influence._model import ModelConfig, ModelOfOthers
from suasion.influence._reward import Influence

Mode = Literal["basic", "communication", "model", "simulator"]
MODES: tuple[str, ...] = get_args(Mode)
MODEL = "model"  # name of the auxiliary loss, and so of its metrics


@dataclasses.dataclass(frozen=True, kw_only=True)
class InfluenceConfig:
    """How influence is measured and who is paid for it. How much, is the weight of the reward `influence`.

    Attributes:
        mode: `basic` (influencers act first, the others see it; experiment I), `communication` (by messages that the
            others read a step later; experiment II), `model` (every agent learns a model of the others; experiment III)
            or `simulator` (the game is played again for every action: exact).
        divergence: `kl`, `jsd` or `pmi`.
        influencers: agents whose influence counts, from 0; empty for agent 0 (basic) or all (the other modes).
        influenced: agents on whom it counts; empty for all that are not influencers (basic), or all.
        visible_only: only on agents that the influencer sees at the time.
        to_influenced: agents are paid the influence of others on them as well.
        samples: 0 for exact marginals over all own symbols, else drawn counterfactual ones (not in `model`).
        marginal: what an influencer's symbol is compared with: what its `policy` would have chosen in its state, as in
            the paper; or what that policy chooses on `average`, as somebody expects who does not see that state (not in
            `model`). By the first, a message that the state determines is no influence, however much it tells; by
            the second, what it tells counts.
        negative: the weight may be negative: agents are paid for not influencing.
        model: of the others, in mode `model`.

    Raises:
        ValueError: an unknown mode or divergence, sets that repeat an agent, numbers out of range. `sets` refuses
            what does not fit a game.
    """

    mode: Mode
    divergence: Divergence = "kl"
    influencers: tuple[int, ...] = ()
    influenced: tuple[int, ...] = ()
    visible_only: bool = False
    to_influenced: bool = False
    samples: int = 0
    marginal: Marginal = "policy"
    negative: bool = False
    model: ModelConfig = ModelConfig()

    def __post_init__(self) -> None:
        """Refuse what can be refused without a game."""
        if self.mode not in MODES:
            raise ValueError(f"mode is {self.mode!r}, must be one of {', '.join(MODES)}")
        if self.divergence not in DIVERGENCES:
            raise ValueError(f"divergence is {self.divergence!r}, must be one of {', '.join(DIVERGENCES)}")
        for name in ("influencers", "influenced"):
            agents = tuple(getattr(self, name))
            object.__setattr__(self, name, agents)
            if len(set(agents)) < len(agents):
                raise ValueError(f"{name} {agents} name an agent twice")
        if self.samples < 0:
            raise ValueError(f"samples is {self.samples}, must be 0 (exact) or more")
        if self.marginal not in MARGINALS:
            raise ValueError(f"marginal is {self.marginal!r}, must be one of {', '.join(MARGINALS)}")
        if self.marginal != "policy" and self.mode == "model":
            raise ValueError("a model's marginals are over the own policy: marginal must be policy")
        if self.samples and self.mode == "model":
            raise ValueError("a model's marginals are exact: samples must be 0")

    def sets(self, spec: Spec) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Influencers and influenced agents of a game.

        Raises:
            ValueError: a game of one agent, agents that it does not have, sets that overlap in mode `basic`, or nobody
                left to influence.
        """
        if spec.agents < 2:
            raise ValueError(f"{spec.name} has one agent: there is nobody to influence")
        everybody = tuple(range(spec.agents))
        for name in ("influencers", "influenced"):
            for agent in getattr(self, name):
                if not 0 <= agent < spec.agents:
                    raise ValueError(f"{name}: there is no agent {agent}; {spec.name} has 0..{spec.agents - 1}")
        first = self.influencers or ((0,) if self.mode == "basic" else everybody)
        rest = tuple(agent for agent in everybody if agent not in first)
        if self.mode == "basic" and not rest:
            raise ValueError(f"influencers {first} are all agents of {spec.name}: nobody is left to see them act")
        then = self.influenced or (rest if self.mode == "basic" else everybody)
        both = sorted(set(first) & set(then))
        if both and self.mode == "basic":
            raise ValueError(f"agents {both} are influencers and influenced: in mode basic these sets are disjoint")
        if first == then and len(first) == 1:
            raise ValueError(f"influencers {first} and influenced {then}: there is nobody else to influence")
        return first, then

    def stages(self, spec: Spec) -> tuple[tuple[int, ...], ...]:
        """Who acts when inside a step: influencers first in mode `basic`, else all at once."""
        first, _ = self.sets(spec)
        if self.mode != "basic":
            return ()
        return first, tuple(agent for agent in range(spec.agents) if agent not in first)

    def term(self, game: Game) -> Influence:
        """The reward term."""
        first, then = self.sets(game.spec)
        source: dict[Mode, Counterfactual] = {
            "basic": Basic(),
            "model": Foreseen(MODEL),
            "simulator": Simulated(game, first),
            "communication": Spoken(),
        }
        return Influence(
            counterfactual=source[self.mode],
            divergence=self.divergence,
            influencers=first,
            influenced=then,
            visible_only=self.visible_only,
            to_influenced=self.to_influenced,
            samples=self.samples,
            marginal=self.marginal,
            landmarks=tuple(event.name for event in game.spec.events if event.landmark),
        )

    def auxiliary(self) -> tuple[tuple[str, AuxiliaryLoss], ...]:
        """The losses that the mode needs: the model of others."""
        return ((MODEL, ModelOfOthers(config=self.model)),) if self.mode == "model" else ()
