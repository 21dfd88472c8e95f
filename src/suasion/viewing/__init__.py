"""Figures, animations and tables, drawn from what lies on disk: NumPy, matplotlib, Pillow; no JAX.

One style for the whole project: white paper, thin grid, colours that colour-blind people can tell apart.
Learning curves show the mean over seeds with its 95 % interval and every seed; an episode is drawn as the map
beside each agent's view. What tables of values learn is drawn as curves with bands beside their limits, and as
maps of policies, also one after the other as a film. Models of up to some tens of states are graphs; games have
Schelling diagrams; estimates of hidden states have bands; who influences whom is a matrix. Text in an SVG is text, and
a PDF holds its fonts. Nothing here opens a window or changes matplotlib's settings. Equal records give equal files.
Report and replay are single HTML files that make no request and run no script but ours; the live page of `suasion
watch` asks the server alone that it came from.
"""

from suasion.viewing._animation import write_apng as write_apng
from suasion.viewing._animation import write_gif as write_gif
from suasion.viewing._curves import learning_curves as learning_curves
from suasion.viewing._film import write_film as write_film
from suasion.viewing._frame import draw_frame as draw_frame
from suasion.viewing._graph import chain_figure as chain_figure
from suasion.viewing._graph import check_size as check_size
from suasion.viewing._graph import decision_figure as decision_figure
from suasion.viewing._grid import value_map as value_map
from suasion.viewing._grid import write_sweeps as write_sweeps
from suasion.viewing._influence_picture import PairInfluence as PairInfluence
from suasion.viewing._influence_picture import influence_figure as influence_figure
from suasion.viewing._influence_picture import influence_of as influence_of
from suasion.viewing._influence_picture import plot_influence as plot_influence
from suasion.viewing._interval import mean_interval as mean_interval
from suasion.viewing._learning import Banded as Banded
from suasion.viewing._learning import Panel as Panel
from suasion.viewing._learning import banded_curves as banded_curves
from suasion.viewing._moment_table import moment_table as moment_table
from suasion.viewing._policy_picture import DIRECTIONS as DIRECTIONS
from suasion.viewing._policy_picture import GridPolicy as GridPolicy
from suasion.viewing._policy_picture import policy_maps as policy_maps
from suasion.viewing._policy_picture import state_values as state_values
from suasion.viewing._report import write_report as write_report
from suasion.viewing._report_replay import find_episodes as find_episodes
from suasion.viewing._report_replay import write_replay as write_replay
from suasion.viewing._runs import plot_runs as plot_runs
from suasion.viewing._schelling_picture import Diagram as Diagram
from suasion.viewing._schelling_picture import schelling_figure as schelling_figure
from suasion.viewing._series import Estimate as Estimate
from suasion.viewing._series import estimates_figure as estimates_figure
from suasion.viewing._series import occupancy_figure as occupancy_figure
from suasion.viewing._style import check_picture as check_picture
from suasion.viewing._style import save_figure as save_figure
from suasion.viewing._style import save_pictures as save_pictures
from suasion.viewing._style import style as style
from suasion.viewing._table import comparison_table as comparison_table
from suasion.viewing._table import estimates_table as estimates_table
from suasion.viewing._table import measures_table as measures_table
from suasion.viewing._video import write_mp4 as write_mp4
from suasion.viewing._watch_server import WatchServer as WatchServer
