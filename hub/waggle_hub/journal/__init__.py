"""The journal: what must survive, before anyone is told of it (G2). `port` says what one is, `null` is none."""
