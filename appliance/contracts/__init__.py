"""What others can rely on: the types of all messages, and made from them the schemas that lie beside this file."""
