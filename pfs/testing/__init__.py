"""Contract suites and faults, shipped so that other backends can prove themselves.

Each fault is a backend over another, and they can be put over each other: `faults` (calls that fail, once or from then
on), `held` (calls that wait), `stale` (listings of an earlier moment), `damage` (objects that are cut off or have a
wrong bit), `skew` (a store whose clock is off). `syscalls` breaks the calls below a local store, and cuts the power.
`bucket` is a store that behaves as a bucket does, in memory.
"""
