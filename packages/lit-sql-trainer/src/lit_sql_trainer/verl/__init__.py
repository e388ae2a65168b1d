"""Trains with GRPO on GPUs: VERL's workers and vLLM, driven by our trainer and daemon through the library's doors.

`rows` and `plan` are plain Python and import neither torch nor verl; `trainer`, `daemon` and `tensors` run
inside Ray and need the GPU stack (or its CPU build, see `cpu`). `launch.train_with_verl` is the way in.
"""
