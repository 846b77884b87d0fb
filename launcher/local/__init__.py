"""The pipeline on this machine, stage by stage, by kfp's local runner; imports compilation."""
