"""Raw orders to typed orders: what a file's value means, decided once for contract, build and scoring.

Imports settings and files.
"""
