"""Inspect a model without explaining an answer: summary, costs, graph, weights and kernels."""

from typing import TYPE_CHECKING

from vizhelpers._utils.lazy import lazy_imports

if TYPE_CHECKING:
    from vizhelpers.inspection.graph import module_graph
    from vizhelpers.inspection.graph_plot import draw_graph
    from vizhelpers.inspection.layer_costs import layer_budget, show_budget
    from vizhelpers.inspection.summary import summarize
    from vizhelpers.inspection.weight_plots import show_kernels, show_weight_stats
    from vizhelpers.inspection.weights import weight_stats

__getattr__, __dir__ = lazy_imports(__name__, __file__)
