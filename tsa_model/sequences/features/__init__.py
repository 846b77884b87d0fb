"""What is computed from orders: orderings by key, windows, vocabulary and scaler, targets; imports columns."""
