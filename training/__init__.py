"""From a folder of chest radiographs to a model bundle: train, evaluate, export."""
