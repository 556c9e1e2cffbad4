"""From somebody's ONNX file to a bundle that runs it as it was trained.

`facts` is what is known of the file, and what a decode family says of it; `graph` reads it, `trial` runs it once,
`recognition` asks the families, `wrapper` puts the preprocessing into the network, `model_import` does all in order.
"""
