"""The Modbus TCP gateway: the line handshake for PLCs. Register map: README.md beside this file."""
