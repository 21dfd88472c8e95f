"""Figures, animations and tables, drawn from what lies on disk: NumPy, matplotlib, Pillow; no JAX.

One style for the whole project: white paper, thin grid, colours that colour-blind people can tell apart.
Learning curves show the mean over seeds with its 95 % interval and every seed; an episode is drawn as the map
beside each agent's view. Nothing here opens a window or changes matplotlib's settings. Equal records give
equal files.

Not yet here: the report and the replay page.
"""

from suasion.viewing._animation import write_apng as write_apng
from suasion.viewing._animation import write_gif as write_gif
from suasion.viewing._curves import learning_curves as learning_curves
from suasion.viewing._frame import draw_frame as draw_frame
from suasion.viewing._grid import value_map as value_map
from suasion.viewing._grid import write_sweeps as write_sweeps
from suasion.viewing._interval import mean_interval as mean_interval
from suasion.viewing._runs import plot_runs as plot_runs
from suasion.viewing._style import save_figure as save_figure
from suasion.viewing._style import style as style
from suasion.viewing._table import comparison_table as comparison_table
from suasion.viewing._table import estimates_table as estimates_table
from suasion.viewing._table import measures_table as measures_table
