"""What a forecast assumes because nobody measured it here: the one place of such numbers. Each is printed with it."""

STARTED = 60.0  # seconds of a job before its work: queue, imports, reading weights
DECODED = 100.0  # images that one core decodes, crops and resizes in a second
# Stages that take minutes on a CPU whatever they are told, in seconds.
LIGHT = {
    "prompts": 180.0,
    "targets": 60.0,
    "phrases": 180.0,
    "metrics": 300.0,
    "correlations": 30.0,
    "sizes": 30.0,
    "settings": 30.0,
    "table": 30.0,
    "figure": 60.0,
    "claims": 30.0,
    "notebook": 120.0,
    "lineage": 60.0,
    "page": 30.0,
    "report": 60.0,
}
PAGE = 2e6  # bytes of a table, figure, notebook or page
CONTEXT = 1.5e9  # bytes of CUDA's context and its libraries' workspaces, per process
CORES = 64  # for jobs without GPUs, beside the GPU nodes
PER_NODE = 8  # GPUs of a node
DOPRI5_EVALUATIONS = 100  # of the velocity by the adaptive solver; the pocket scale's generators take 26 to 32
DEAD = 0.1  # fraction of a sparse autoencoder's latents that get ghost gradients in a step
# What a program attains of an H100's peak, relative to what it attains of an A100's: the peak grew 3.2 times, the
# memory's speed 1.6 times, and eager programs in between are about 2.2 times as fast.
H100_ATTAINED = 0.7


def sentences(gpu: str) -> list[str]:
    """All assumptions behind a forecast for a kind of GPU, in words."""
    light = ", ".join(f"{stage} {seconds / 60:g}" for stage, seconds in LIGHT.items())
    newer = [
        f"An H100 attains {H100_ATTAINED:.0%} of what an A100 does, each as a fraction of its own peak; what does not "
        f"grow with the matrix work shrinks as the memory gets faster."
    ]
    return [
        *(newer if gpu == "h100" else []),
        "float32 products run as TF32, in sampling and features too; sampling and features attain the efficiency of "
        "training.",
        "The efficiency includes the exchange between GPUs, as the published hours do.",
        f"dopri5 evaluates the velocity {DOPRI5_EVALUATIONS} times.",
        f"Of a sparse autoencoder's latents {DEAD:.0%} are dead; what it gathers from tables counts nothing.",
        f"A job takes {STARTED:.0f} s before its work starts; a core decodes {DECODED:.0f} images per second.",
        f"Minutes on a CPU: {light}.",
        f"Nodes have {PER_NODE} GPUs; jobs without GPUs share {CORES} cores.",
        f"CUDA and its libraries take {CONTEXT / 1e9:.1f} GB of each GPU; fragmentation of memory is not counted.",
    ]
