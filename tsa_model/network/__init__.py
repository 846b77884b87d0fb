"""The TSA network: parameters in `blocks`, the plain computation in `reference`, the quick one in `fast`."""
