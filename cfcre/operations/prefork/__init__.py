"""Stages of a local run as forks of one process that has torch and transformers loaded.

Every component is a process of its own, and four of them need both packages: on a slow core their
import takes longer than some stages' work. The launcher therefore starts one *server*
(:mod:`.server`) that imports them once, beside the first stages, and forks itself for every stage
that wants them. ``kfp.local`` is not changed: it starts ``python3`` as ever, which leads to the
*client* (:mod:`.client`), which asks the server for a fork and stands for it until it has ended.

Where there is no server, or the stage needs none of its packages, the client becomes the ordinary
interpreter: a stage never depends on the server.
"""
