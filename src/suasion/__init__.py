"""suasion: from the Bellman equation to agents that influence each other.

Each chapter of the subject is one room; imports only go down. Import the room that you need
(`import suasion.games`): importing the classical half never imports JAX.
"""

__version__ = "0.1.0"
