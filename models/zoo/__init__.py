"""Parts shared by the model scripts: data, trainable layers, ONNX graphs, quantization."""
