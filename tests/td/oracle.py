"""Every rule once more, slowly: plain Python over whole histories of episodes, fed with the same random numbers.

It shares with the kernels only the tables of outcomes (which have a test of their own) and the order of the draws.
"""

import math

MASK = (1 << 64) - 1


def _rotate(word, by):
    return ((word << by) | (word >> (64 - by))) & MASK


class Stream:
    """xoroshiro128++, by its definition (Blackman & Vigna 2021)."""

    def __init__(self, state):
        self.state = [int(w) for w in state]

    def __call__(self):
        s0, s1 = self.state
        word = (_rotate((s0 + s1) & MASK, 17) + s0) & MASK
        s1 ^= s0
        self.state = [_rotate(s0, 49) ^ s1 ^ ((s1 << 21) & MASK), _rotate(s1, 28)]
        return (word >> 11) / 2**53


class Player:
    """One run of one rule."""

    def __init__(
        self, tables, stream, *, discount, alpha, epsilon, ties="uniform", softmax=None, ucb=None, limit=None, start=0.0
    ):
        self.tables, self.draw, self.discount, self.limit = tables, stream, discount, limit or 10**9
        self.alpha, self.epsilon, self.ties, self.softmax, self.ucb = alpha, epsilon, ties, softmax, ucb
        self.past = []  # (choices of S, A, R, choices of S') of all steps
        self.size = len(tables.low)
        self.q = [start] * self.size
        self.pair = [list(self.q), list(self.q)]
        self.counts = [0] * self.size
        self.pair_counts = [[0] * self.size, [0] * self.size]
        self.t = 0
        self.returns, self.lengths = [], []

    def outcome(self, choice):
        low, high = int(self.tables.start[choice]), int(self.tables.start[choice + 1])
        certain = choice < self.size and self.tables.stride == 1
        scaled = 0.0 if certain else self.draw() * (high - low)
        cell = int(scaled)
        second = scaled - cell >= self.tables.threshold[low + cell]
        reward, first, count = self.tables.outcome[2 * (low + cell) + second].tolist()
        return reward, list(range(first, first + count))

    def best(self, q, choices):
        top = max(q[c] for c in choices)
        ties = [c for c in choices if q[c] == top]
        return ties if self.ties == "uniform" else ties[:1]

    def level(self):
        return self.epsilon(self.t + 1) if callable(self.epsilon) else self.epsilon

    def policy(self, choices):
        """Probabilities of the choices of a state."""
        if self.softmax:
            top = max(self.q[c] for c in choices)
            weights = [math.exp((self.q[c] - top) / self.softmax) for c in choices]
            return {c: w / sum(weights) for c, w in zip(choices, weights, strict=True)}
        return self.greedy(choices, self.level())

    def greedy(self, choices, epsilon=0.0):
        ties = self.best(self.q, choices)
        return {c: epsilon / len(choices) + (1 - epsilon) / len(ties) * (c in ties) for c in choices}

    def act(self, choices):
        if len(choices) == 1:
            return choices[0]
        u = self.draw()
        if self.ucb is not None:
            tried = {c: sum(c == step[1] for step in self.past) for c in choices}
            spread = math.log(1 + sum(tried.values()))
            bound = [self.q[c] + self.ucb * math.sqrt(spread / n) if n else math.inf for c, n in tried.items()]
            ties = [c for c, score in zip(choices, bound, strict=True) if score == max(bound)]
            return ties[int(u * len(ties))]
        if self.softmax:
            held = 0.0
            for c, p in self.policy(choices).items():
                held += p
                if u < held:
                    return c
            return choices[-1]
        epsilon = self.level()
        if u < epsilon:
            return choices[int(u / epsilon * len(choices))]
        ties = self.best(self.q, choices)
        return ties[int((u - epsilon) / (1 - epsilon) * len(ties))]

    def rate(self, choice, counts=None):
        counts = self.counts if counts is None else counts
        counts[choice] += 1
        return self.alpha(counts[choice]) if callable(self.alpha) else self.alpha

    def expected(self, choices, policy):
        return sum(p * self.q[c] for c, p in policy.items()) if choices else 0.0

    def play(self, rule, episodes, before=True):
        """`rule(history, A', choices of S', over)` learns; a history is a list of (choices of S, A, R)."""
        for _ in range(episodes):
            history, total = [], 0.0
            _, choices = self.outcome(self.size)
            choice = self.act(choices)
            while True:
                reward, following = self.outcome(choice)
                self.t += 1
                history.append((choices, choice, reward))
                self.past.append((choices, choice, reward, following))
                total += self.discount ** (len(history) - 1) * reward
                over = not following or len(history) >= self.limit
                after = self.act(following) if before and following else None
                rule(history, after, following, over)
                if over:
                    break
                choices, choice = following, self.act(following) if not before else after
            self.returns.append(total)
            self.lengths.append(len(history))

    def move(self, choice, target):
        self.q[choice] += self.rate(choice) * (target - self.q[choice])

    def sarsa(self, history, after, following, over):
        value = self.q[after] if following else 0.0
        self.move(history[-1][1], history[-1][2] + self.discount * value)

    def expected_sarsa(self, history, after, following, over):
        value = self.expected(following, self.policy(following)) if following else 0.0
        self.move(history[-1][1], history[-1][2] + self.discount * value)

    def q_learning(self, history, after, following, over):
        value = max(self.q[c] for c in following) if following else 0.0
        self.move(history[-1][1], history[-1][2] + self.discount * value)

    def double(self, history, after, following, over):
        _, choice, reward = history[-1]
        k = int(2 * self.draw())
        mine, other = self.pair[k], self.pair[1 - k]
        value = 0.0
        if following:
            ties = [c for c in following if mine[c] == max(mine[d] for d in following)]
            value = other[ties[int(self.draw() * len(ties))] if len(following) > 1 else following[0]]
        mine[choice] += self.rate(choice, self.pair_counts[k]) * (reward + self.discount * value - mine[choice])
        self.q[choice] = (mine[choice] + other[choice]) / 2

    def below(self, count):
        return int(self.draw() * count) if count > 1 else 0

    def dyna(self, planning, bonus):
        """Section 8.2, from the list of all steps: a state, a choice made there, one of its outcomes."""

        def rule(history, after, following, over):
            self.q_learning(history, after, following, over)
            for _ in range(planning):
                states = list(dict.fromkeys(tuple(step[0]) for step in self.past))
                state = states[self.below(len(states))]
                made = [c for c in state if bonus or any(c == step[1] for step in self.past)]
                choice = made[self.below(len(made))]
                met = self.in_order(choice, [(r, to) for _, c, r, to in self.past if c == choice])
                reward, to = met[self.below(len(met))] if met else (0.0, list(state))
                when = max((t for t, step in enumerate(self.past, 1) if step[1] == choice), default=0)
                reward += bonus * math.sqrt(len(self.past) - when)
                self.move(choice, reward + self.discount * max((self.q[c] for c in to), default=0.0))

        return rule

    def in_order(self, choice, met):
        """Outcomes in the order of the model's branches."""
        model = self.tables.branches
        branches = range(model.start[choice], model.start[choice + 1])

        def branch(outcome):
            reward, to = outcome
            same = [b for b in branches if model.reward[b] == reward and model.width[b] == len(to)]
            return next(b for b in same if not to or model.low[b] == to[0])

        return sorted(met, key=branch)

    def sweeping(self, planning, threshold):
        """Section 8.4, with means over the list of all steps; the queue is a dictionary."""
        queue = {}

        def off(choice):
            targets = [
                r + self.discount * max((self.q[c] for c in to), default=0.0)
                for _, made, r, to in self.past
                if made == choice
            ]
            return sum(targets) / len(targets) - self.q[choice]

        def demand(choice):
            urgency = abs(off(choice))
            if urgency > threshold:
                queue[choice] = max(urgency, queue.get(choice, 0.0))

        def rule(history, after, following, over):
            demand(history[-1][1])
            for _ in range(planning):
                if not queue:
                    break
                top = min(queue, key=lambda c: (-queue[c], c))
                del queue[top]
                self.move(top, self.q[top] + off(top))
                state = next(step[0] for step in self.past if step[1] == top)
                for made in sorted({step[1] for step in self.past if list(step[3]) == list(state)}):
                    demand(made)

        return rule

    def n_step(self, n):
        """Figure of section 7.2: at time t, learn about time t - n + 1; at the end about all that are left."""

        def rule(history, after, following, over):
            end = len(history)
            for t in range(max(0, end - n), end if over else end - n + 1):
                value = self.q[after] if following else 0.0
                target = sum(self.discount**k * r for k, (_, _, r) in enumerate(history[t:]))
                self.move(history[t][1], target + self.discount ** (end - t) * value)

        return rule

    def tree(self, n, target):
        """Equation 7.16, as the recursion that it is."""
        policy = self.greedy if target == "greedy" else self.policy

        def rule(history, after, following, over):
            end = len(history)

            def backup(t):
                reward = history[t][2]
                if t == end - 1:
                    value = self.expected(following, policy(following)) if following else 0.0
                    return reward + self.discount * value
                choices, taken, _ = history[t + 1]
                weight = policy(choices)
                others = sum(weight[c] * self.q[c] for c in choices if c != taken)
                return reward + self.discount * (others + weight[taken] * backup(t + 1))

            for t in range(max(0, end - n), end if over else end - n + 1):
                self.move(history[t][1], backup(t))

        return rule

    def traces(self, lambda_, kind, *, watkins=False, naive=False):
        """Dense traces over the whole table, forgotten when an episode begins."""
        e = [0.0] * self.size
        old = 0.0

        def rule(history, after, following, over):
            nonlocal old
            _, choice, reward = history[-1]
            if len(history) == 1:
                e[:] = [0.0] * self.size
                old = 0.0
            value = self.q[choice]
            follows = self.q[after] if following else 0.0
            explores = False
            if watkins and following:
                top = max(self.q[c] for c in following)
                explores, follows = follows < top, top
            error = reward + self.discount * follows - value
            alpha = self.rate(choice)
            for j in range(self.size):
                e[j] *= self.discount * lambda_
            rise = {"accumulating": 1.0, "replacing": 1.0 - e[choice], "dutch": 1.0 - alpha * e[choice]}[kind]
            e[choice] += rise
            for j in range(self.size):
                own = alpha
                if callable(self.alpha) and self.counts[j]:
                    own = self.alpha(self.counts[j])
                self.q[j] += own * (error + (value - old if kind == "dutch" else 0.0)) * e[j]
            if kind == "dutch":
                self.q[choice] -= alpha * (value - old)
                old = follows
            if explores and not naive:
                e[:] = [0.0] * self.size
                old = 0.0

        return rule

    def monte_carlo(self, visits):
        def rule(history, after, following, over):
            if not over:
                return
            value = 0.0
            if following:
                value = self.q[after] if self.ucb else self.expected(following, self.policy(following))
            for t in range(len(history) - 1, -1, -1):
                choice = history[t][1]
                if visits == "first" and any(c == choice for _, c, _ in history[:t]):
                    continue
                total = sum(self.discount**k * r for k, (_, _, r) in enumerate(history[t:]))
                self.move(choice, total + self.discount ** (len(history) - t) * value)

        return rule
