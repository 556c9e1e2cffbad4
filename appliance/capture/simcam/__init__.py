"""A simulated GenICam camera: a GenTL producer in C, and the Python that builds, configures and commands it.

README.md beside this file says what it models and what it does not. Import from the modules: `build` (which needs
nothing but gcc and must run before anything else is installed), `settings`, `pack` and `control`.
"""
