"""What `toolreeve up` does: nats-server, control plane, worker and gateway as one process tree.

Every part is a process of its own, listens on loopback only, says in a ready-file where, and is
started again on the same port when it dies. None outlives us, however we die.
"""
