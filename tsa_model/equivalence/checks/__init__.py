"""The gate's checks, one file each; imports evidence."""
