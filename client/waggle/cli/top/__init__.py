"""The command `top`: a live view of the hub in the terminal."""
