"""Where entries stand: one small interface of atomic steps, and a file for each kind of back end."""
