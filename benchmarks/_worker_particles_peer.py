"""Worker: the same model filtered by the `particles` package."""

from __future__ import annotations

import importlib.metadata

import numpy as np

from benchmarks._measure import tell
from benchmarks._worker_particles import asked, repeat


def main() -> None:
    given = asked(__doc__)
    import particles
    from particles import distributions
    from particles import state_space_models as models

    class Volatility(models.StateSpaceModel):
        def PX0(self):
            spread = given.noise / np.sqrt(1 - given.persistence**2)
            return distributions.Normal(loc=given.mean, scale=spread)

        def PX(self, t, xp):
            return distributions.Normal(loc=given.mean + given.persistence * (xp - given.mean), scale=given.noise)

        def PY(self, t, xp, x):
            return distributions.Normal(loc=0.0, scale=np.exp(0.5 * x))

    y = np.load(given.returns)

    def once() -> float:
        question = models.Bootstrap(ssm=Volatility(), data=y)
        run = particles.SMC(fk=question, N=given.particles, resampling="systematic", ESSrmin=0.5)
        run.run()
        return float(run.logLt)

    tell(**repeat(once, given.seconds), version=importlib.metadata.version("particles"))


if __name__ == "__main__":
    main()
