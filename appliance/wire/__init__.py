"""Sockets between the processes and to the world."""
