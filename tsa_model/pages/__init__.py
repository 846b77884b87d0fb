"""Templates, style and charts of every page we write; imports nothing of ours.

A room keeps its own template and hands typed values to `render_page`.
"""
