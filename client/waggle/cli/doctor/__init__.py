"""The command `doctor`: use each door of the hub once and report what is wrong."""
