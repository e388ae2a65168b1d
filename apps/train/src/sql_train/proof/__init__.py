"""`train fast --cpu-proof`: VERL's whole training loop without a GPU, checked by a computation of its own.

`run` says what a proof run is and does it; `agent` and `parts` are our agent, daemon and trainer with a few faults and
much written down; `cpu*` give VERL and vLLM what they miss on a CPU; `checks`, `weights` and `report` say what held.
"""
