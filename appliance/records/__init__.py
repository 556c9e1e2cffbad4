"""The recorder's room: a journal that loses nothing, images, replay and retention."""
