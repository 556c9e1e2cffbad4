"""The inspector: evidence, batching, ONNX Runtime, judgement. Import its modules; only `session` loads ONNX Runtime."""
