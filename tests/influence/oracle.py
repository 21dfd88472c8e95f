"""Influence by plain loops in NumPy, float64: own networks, own memories, own episode starts, nothing at once.

`table[t, b, k, j, c]` is a distribution over j's actions: what j would do had k done (or said) c in step t, all else as
it was.
"""

import numpy as np


def log_softmax(logits):
    top = logits.max(-1, keepdims=True)
    return logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def dense(layer, group, x):
    return x @ np.asarray(layer.weight[group], float) + np.asarray(layer.bias[group], float)


class Mind:
    """One agent's encoder of class codes, core and head: of its policy, or of its model of the others.

    `offsets` gives the first table row of each discrete input by field, each with `agents` slots.
    """

    def __init__(self, layers, core, head, agent, policy, alphabets):
        self.layers, self.core, self.head = layers, core, head
        self.group = 0 if policy.config.shared else agent
        self.classes, self.agents = len(policy.spec.classes), policy.spec.agents
        self.alphabets = alphabets
        self.width = np.asarray(core.recurrent).shape[1]
        self.lstm = type(core).__name__ == "LSTM"

    def fresh(self):
        return (np.zeros(self.width), np.zeros(self.width))

    def step(self, memory, codes, symbols):
        """The memory after a step and the head's numbers; `symbols`: field -> one symbol per slot."""
        x = np.eye(self.classes)[np.asarray(codes).reshape(-1)].reshape(-1)
        for layer in self.layers:
            x = np.maximum(dense(layer, self.group, x), 0)
        product, g = self.core.product, self.group
        drive = x @ np.asarray(product.features[g], float) + np.asarray(product.bias[g], float)
        table, first = np.asarray(product.table[g], float), 0
        for field, size in self.alphabets.items():
            for slot in range(self.agents):
                if symbols[field][slot] < size:
                    drive = drive + table[first + slot * size + symbols[field][slot]]
            first += self.agents * size
        memory = self._recur(memory, drive)
        return memory, dense(self.head, g, memory[0])

    def _recur(self, memory, drive):
        h, c = memory
        past = h @ np.asarray(self.core.recurrent[self.group], float)
        if self.lstm:
            i, f, g, o = np.split(drive + past, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            return sigmoid(o) * np.tanh(c), c
        (drive_z, drive_r, drive_h), (past_z, past_r, past_h) = np.split(drive, 3), np.split(past, 3)
        z, r = sigmoid(drive_z + past_z), sigmoid(drive_r + past_r)
        bias = np.asarray(self.core.candidate_bias[self.group], float)
        h = z * h + (1 - z) * np.tanh(drive_h + r * (past_h + bias))
        return h, h


def minds(policy, network, head="action"):
    """Every agent's policy, with one of its heads."""
    return [
        Mind(network.encoder.layers, network.core, network.heads[head], i, policy, policy.alphabets)
        for i in range(policy.spec.agents)
    ]


def models(policy, network, model, parameters):
    """Every agent's model of the others."""
    own = parameters.encoder is not None
    layers = parameters.encoder.layers if own else (*network.encoder.layers, *parameters.layers)
    alphabets = {"current_actions": len(policy.spec.actions)}
    return [Mind(layers, parameters.core, parameters.head, i, policy, alphabets) for i in range(policy.spec.agents)]


def memory_of(memory, b, i):
    """Agent i's memory in environment b as (h, c), from a tree of [b, n, ...]."""
    h, c = memory if isinstance(memory, tuple) else (memory, memory)
    return np.asarray(h[b, i], float), np.asarray(c[b, i], float)


def slots(values, i):
    """What concerns all agents, as agent i names them."""
    agents = len(values)
    return [values[(i + d) % agents] for d in range(agents)]


def read(observation, t, b, i):
    """The discrete inputs of agent i in one step."""
    fields = ("last_actions", "current_actions", "messages")
    found = {name: getattr(observation, name) for name in fields}
    return {name: [int(x) for x in value[t, b, i]] for name, value in found.items() if value is not None}


def action_logs(mind, y, available):
    """The policy's log-probabilities from its head's numbers, the last of which is the value."""
    return log_softmax(np.where(available, y[:-1], -1e9))


def played(policy, network, trajectory, head="action"):
    """Every agent's log-probabilities of a head in every step, and its memory before each and after the last."""
    steps, environments = trajectory.start.shape
    logs = np.zeros((steps, environments, policy.spec.agents, policy.heads[head]))
    before = {}
    for b in range(environments):
        for i, mind in enumerate(minds(policy, network, head)):
            memory = memory_of(trajectory.memory, b, i)
            for t in range(steps):
                memory = mind.fresh() if trajectory.start[t, b] else memory
                before[t, b, i] = memory
                symbols = read(trajectory.observation, t, b, i)
                memory, y = mind.step(memory, trajectory.observation.codes[t, b, i], symbols)
                available = trajectory.observation.available[t, b, i] if head == "action" else True
                logs[t, b, i] = action_logs(mind, y, available)
            before[steps, b, i] = memory
    return logs, before


def empty(policy, trajectory, head="action"):
    agents, actions = policy.spec.agents, len(policy.spec.actions)
    return np.full((*trajectory.start.shape, agents, agents, policy.heads[head], actions), np.nan)


def basic(policy, network, trajectory):
    """One agent's current action in another's observation edited, and that other's policy asked again."""
    table, observation = empty(policy, trajectory), trajectory.observation
    _, before = played(policy, network, trajectory)
    agents = policy.spec.agents
    stage = {agent: s for s, members in enumerate(policy.stages) for agent in members}
    every = minds(policy, network)
    for t, b, k, j, a in np.ndindex(*table.shape[:-1]):
        if stage[k] < stage[j]:
            symbols = read(observation, t, b, j)
            symbols["current_actions"][(k - j) % agents] = a
            _, y = every[j].step(before[t, b, j], observation.codes[t, b, j], symbols)
            table[t, b, k, j, a] = np.exp(action_logs(every[j], y, observation.available[t, b, j]))
    return table


def spoken(policy, network, trajectory):
    """One agent's message in what another reads a step later edited, and that other's policy asked again."""
    table, observation = empty(policy, trajectory, "message"), trajectory.observation
    _, before = played(policy, network, trajectory)
    every, agents = minds(policy, network), policy.spec.agents
    for t, b, k, j, m in np.ndindex(*table.shape[:-1]):
        if k != j and t + 1 < len(table) and not trajectory.start[t + 1, b]:
            symbols = read(observation, t + 1, b, j)
            assert symbols["messages"][(k - j) % agents] == trajectory.symbols["message"][t, b, k]
            symbols["messages"][(k - j) % agents] = m
            _, y = every[j].step(before[t + 1, b, j], observation.codes[t + 1, b, j], symbols)
            table[t, b, k, j, m] = np.exp(action_logs(every[j], y, observation.available[t + 1, b, j]))
    return table


def foreseen(policy, network, trajectory, model, parameters, memory):
    """One whole pass of the model for every action: the others' actions as they were, the memory as it was."""
    table, observation = empty(policy, trajectory), trajectory.observation
    steps, environments = trajectory.start.shape
    agents, actions = policy.spec.agents, len(policy.spec.actions)
    for k, mind in enumerate(models(policy, network, model, parameters)):
        for b in range(environments):
            held = memory_of(memory, b, k)
            for t in range(steps):
                held = mind.fresh() if trajectory.start[t, b] else held
                joint = [int(x) for x in trajectory.symbols["action"][t, b]]
                for a in range(actions):
                    tried = [a if i == k else joint[i] for i in range(agents)]
                    symbols = {"current_actions": slots(tried, k)}
                    _, y = mind.step(held, observation.codes[t, b, k], symbols)
                    for d, logits in enumerate(y.reshape(agents - 1, actions), 1):
                        table[t, b, k, (k + d) % agents, a] = np.exp(log_softmax(logits))
                held, _ = mind.step(held, observation.codes[t, b, k], {"current_actions": slots(joint, k)})
    return table


def simulated(policy, network, trajectory, after, influencers):
    """The game's step for every action, and every other's policy asked in the state that it gives.

    `after(t, b, joint)` plays the step again and gives (codes, available) of all agents.
    """
    table = empty(policy, trajectory)
    _, before = played(policy, network, trajectory)
    every, agents = minds(policy, network), policy.spec.agents
    for t, b, k, a in np.ndindex(*table.shape[:3], table.shape[4]):
        if k not in influencers:
            continue
        joint = [int(x) for x in trajectory.symbols["action"][t, b]]
        joint[k] = a
        codes, available = after(t, b, joint)
        for j in range(agents):
            if j != k:
                symbols = {"last_actions": slots(joint, j)}
                if "message" in trajectory.symbols:
                    symbols["messages"] = slots([int(x) for x in trajectory.symbols["message"][t, b]], j)
                _, y = every[j].step(before[t + 1, b, j], codes[j], symbols)
                table[t, b, k, j, a] = np.exp(action_logs(every[j], y, available[j]))
    return table


def kl(p, q):
    return sum(x * np.log(x / y) for x, y in zip(p, q, strict=True) if x > 0)


def apart(kind, p, q, realised):
    """The divergence of two distributions by its definition."""
    if kind == "kl":
        return kl(p, q)
    if kind == "jsd":
        return kl(p, (p + q) / 2) / 2 + kl(q, (p + q) / 2) / 2
    return np.log(p[realised] / q[realised])


def information(weights, rows):
    """The mutual information of a choice with these weights and what follows it: H(mean) - mean H."""
    entropy = lambda p: -sum(x * np.log(x) for x in p if x > 0)  # noqa: E731
    return entropy(weights @ rows) - sum(w * entropy(row) for w, row in zip(weights, rows, strict=True))


def influence(kind, table, weights, chosen, actions, ahead, ended):
    """Influence of every pair that the table knows, and 0 elsewhere; `chosen`: the real c. See `influences`."""
    steps = table.shape[0]
    result = np.zeros(table.shape[:4])
    for t, b, k, j in np.ndindex(*result.shape):
        if k == j or np.isnan(table[t, b, k, j]).any():
            continue
        if ahead and (t == steps - 1 or ended[t, b]):
            continue
        rows = table[t, b, k, j]
        realised = actions[t + ahead, b, j]
        result[t, b, k, j] = apart(kind, rows[chosen[t, b, k]], weights[t, b, k] @ rows, realised)
    return result
