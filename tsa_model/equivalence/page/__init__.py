"""The verdict as a page for people; imports results."""
