"""The benchmark: the hub beside redis-server and nats-server. `make bench`, or `python -m tests.bench --quick`.

How to read the folder, from what it does to what it shows:

* `__main__` takes the options, `runner` runs workloads one after another, each in its time, `measurement` is what they
  are given.
* `workloads/` says what is measured: a file for each workload, with one `run`, which gives a `Result` of tables and
  charts.
* `systems/` are those that are compared: adapters with twin names (`waggle`, `redis`, `nats`) of one `port`.
* `generator/` is the load in C, `subscribers` a load of subscribers, `pinger` another client that waits; `processes`
  starts servers and ends them.
* `results` is what was found, as plain data; `rounds`, `goals`, `tables`, `plots`, `markers` are pure functions of
  it, and `publishing` writes docs/performance.md and docs/measurements.md with them. `machine` says on what, and who
  else was there.

Rules, so that the figures mean something:

1. The systems are real processes on loopback, measured in one run, in rounds that take turns, after one that does not
   count.
2. Like is compared with like: library with library, bare socket with bare socket, server with server under one load.
3. The processor time of both ends is shown: where the client is the one at 100 %, the server was not measured. That of
   the server for each piece of work hardly depends on what else the machine does.
4. What else the machine did meanwhile is shown, too. A run on a busy machine says little.
5. No figure is written by hand.
"""
