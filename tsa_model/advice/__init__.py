"""A first run description for events nobody has described yet: what their columns look like, guesses, a text.

Imports events and settings.
"""
