"""Plots: data points out of files, Vega-Lite specifications out of points, and a page that shows them."""
