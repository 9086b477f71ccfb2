"""The command `bench`: the speed of a running hub, measured from here."""
