"""The gate's checks, one file each: what is compared, and what must hold; imports evidence."""
