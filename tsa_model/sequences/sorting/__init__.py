"""Raw orders to sorted columns, by DuckDB or Spark, in either layout; imports columns and features."""
