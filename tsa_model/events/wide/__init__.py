"""The wide layout, one row per target order with its histories in `~`-joined texts (TSA spec, section 12)."""
