"""Commands of one file each. Commands of several files have a folder of their own beside this one."""
