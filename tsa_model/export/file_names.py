"""Names of the files in the folder of an exported model."""

MODEL_FILE = "model.onnx"
DESCRIPTION_FILE = "onnx.json"
PREPROCESSING_FILE = "preprocessing.json"
DATASET_FILE = "dataset.json"
TRAINING_ORDERS_FILE = "training_orders.json"
NETWORK_FOLDER = "network"
"""The weights that passed the gate, as they were trained: scores are recomputed with them."""
