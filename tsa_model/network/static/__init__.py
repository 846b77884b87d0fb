"""The form for accelerators: every shape follows from the batch's, and the host never waits for a number.

It computes the numbers of `reference.py` from the same parameters, in few large operations. What the fast
form leaves out after looking at the data (repeated orders, padding, rows without a card) is computed here,
because on an accelerator looking costs more. It imports `fast` for what has static shapes there already.
"""
