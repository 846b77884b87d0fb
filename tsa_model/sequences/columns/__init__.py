"""Events as typed columns in plain files, mapped when they are read; imports events."""
