"""Tasks that several agents do together: who does what, within what time, with whose permission, and on what record.

::

    orchestrator.py    MultiAgentOrchestrator: the public face
     └─ coordination.py  one task: its turn, the decision, the run, its time, its record
         ├─ request.py     what is asked for, checked
         ├─ decision.py    whether it may run
         ├─ assignment.py  which agents it goes to, and why
         └─ run.py         the order of things, repetitions (retries.py)
             ├─ attempts.py    one call of a handler: on the loop, in a thread, in a process (processes.py)
             ├─ ends.py        how that ended
             └─ agents.py      what an agent can do and how it fares; slots.py says how much at a time
    capabilities/      what agents can do without being told how; context.py is what a handler is given
"""

from anam_py.orchestrator.context import Context, IncompleteError
from anam_py.orchestrator.orchestrator import MultiAgentOrchestrator

__all__ = ["Context", "IncompleteError", "MultiAgentOrchestrator"]
