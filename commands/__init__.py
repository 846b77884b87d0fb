"""The command line: a file per command, which checks what it is given and calls the room that does it.

Imports launcher and tsa_model. At module level a command imports only what costs nothing, so that printing
help or refusing an argument is quick; it imports the rest when everything it was given is checked.
"""
