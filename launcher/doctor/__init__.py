"""What a machine, a server and a namespace still lack for a run; imports the launcher's other rooms."""
