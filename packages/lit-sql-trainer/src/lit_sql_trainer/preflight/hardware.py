"""Check the accelerators of this machine, and the memory that a profile is estimated to need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lit_sql_trainer.errors import SetupError
from lit_sql_trainer.machine import admission
from lit_sql_trainer.machine.devices import find_gpus
from lit_sql_trainer.preflight.findings import Family, Finding, counted, failed, passed, some, warned
from lit_sql_trainer.preflight.hub import hub_file
from lit_sql_trainer.preflight.memory import GIB, Estimate, cache_sequences, estimates, size
from lit_sql_trainer.preflight.shape import ModelShape, read_shape, shape_of
from lit_sql_trainer.preflight.subject import Subject
from lit_sql_trainer.profile.profile import Profile

TIGHT = 0.9
"""Share of the memory above which a fit is called tight."""
FEW_SEQUENCES = 8
"""With fewer rollouts at once, generation leaves the GPU idle."""


def check_hardware(subject: Subject) -> Iterator[Finding]:
    """Check the accelerators, and compare the memory that the profile needs with what there is."""
    yield from _accelerators(subject.profile)
    shape = _shape(subject)
    if shape is None:
        yield warned(
            Family.HARDWARE,
            "memory",
            f"unknown: the configuration of {subject.model!r} cannot be read here",
            "Look again once the model is here, or name a folder with --model",
        )
        return
    for estimate in estimates(subject.profile, shape):
        yield _compared(estimate, shape)
    yield from _cache(subject.profile, shape)


def _shape(subject: Subject) -> ModelShape | None:
    """The model's shape from its folder, or from its configuration on the hub; None where neither can be read."""
    if subject.model_folder is not None:
        return read_shape(subject.model_folder)
    try:
        return shape_of(hub_file(subject.model, "config.json").content)
    except (KeyError, TypeError, ValueError):
        return None


def available_bytes() -> int | None:
    """Return the memory that is available without swapping; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in fields else None


def _accelerators(profile: Profile) -> Iterator[Finding]:
    """Check the accelerator that the profile trains on, and the packages for it."""
    if profile.verl is None and profile.local.device == "cpu":
        return
    try:
        if profile.verl is not None:
            admission.check_accelerator(profile)
        elif not find_gpus():
            problem = f"no NVIDIA GPU found for grpo.device={profile.local.device!r}"
            raise SetupError(problem, "set grpo.device=cpu, or use a machine with a GPU")
    except SetupError as error:
        yield failed(Family.HARDWARE, "accelerator", error.problem, error.remedy)
        return
    seen = [each.name if each.memory_gib is None else f"{each.name}, {each.memory_gib:.0f} GiB" for each in find_gpus()]
    if seen:
        yield passed(Family.HARDWARE, "accelerator", some(seen))
    else:
        yield passed(Family.HARDWARE, "accelerator", "an NPU, or those of a Ray cluster")


def _available(estimate: Estimate) -> tuple[int, str] | None:
    """Memory for an estimate in bytes and where it is; None where it is not known. A GPU counts whole: vLLM takes its
    share of the whole, and what others hold of it is theirs to give back.
    """
    if not estimate.on_gpu:
        found = available_bytes()
        return None if found is None else (found, "free on this machine")
    sizes = [gpu.memory_gib for gpu in find_gpus() if gpu.memory_gib is not None]
    return (int(min(sizes) * GIB), "on each GPU") if sizes else None


def _compared(estimate: Estimate, shape: ModelShape) -> Finding:
    largest = sorted(estimate.parts, key=lambda part: -part.size_bytes)[:4]
    parts = [part.described for part in largest]
    if estimate.gpu_share:
        parts.insert(0, f"vLLM {100 * estimate.gpu_share:.0f} % of the GPU")
    found = _available(estimate)
    remedy = "Lower the batch (see `lit-sql settings`), take a smaller model, LoRA, offloading, or a larger machine"
    if found is None:
        said = f"needs {size(estimate.total_bytes)} ({', '.join(parts)}); what there is, is unknown"
        return warned(Family.HARDWARE, estimate.place, said, remedy)
    available, where = found
    share = int(estimate.gpu_share * available)
    needed, least = estimate.total_bytes + share, estimate.certain_bytes + share
    said = (
        f"at most {size(needed)} for {shape.parameters / 1e6:,.0f} M parameters ({', '.join(parts)}), "
        f"{size(available)} {where}"
    )
    if least > available:
        return failed(Family.HARDWARE, estimate.place, f"at least {size(least)}; {said}", remedy)
    if needed > available:
        said = f"{said}; {size(least)} if sequences are short"
        return warned(Family.HARDWARE, estimate.place, said, remedy)
    if needed > TIGHT * available:
        return warned(Family.HARDWARE, estimate.place, f"tight: {said}", remedy)
    return passed(Family.HARDWARE, estimate.place, said)


def _cache(profile: Profile, shape: ModelShape) -> Iterator[Finding]:
    """Check how many rollouts vLLM's cache holds at once."""
    found = _available(Estimate(place="GPU", parts=(), on_gpu=True))
    if profile.verl is None or found is None:
        return
    sequences = cache_sequences(profile, shape, found[0])
    said = f"vLLM's cache holds {counted(sequences, 'rollout')} of full length at once"
    if sequences < FEW_SEQUENCES:
        remedy = "Raise gpu_memory_utilization, or lower data.max_prompt_length and data.max_response_length"
        yield (failed if sequences == 0 else warned)(Family.HARDWARE, "key-value cache", said, remedy)
    else:
        yield passed(Family.HARDWARE, "key-value cache", said)
