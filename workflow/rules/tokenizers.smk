# Tokenizers, and what is measured of each. Of each stage, src/tesserae/config/stages.py says what it is for and what it writes.
for STAGE in (
    "tokenizer",
    "reconstruction",
    "reconstruction_control",
    "token_counts",
    "truncation",
    "selection",
    "kept_tokens",
    "looks",
    "drawing_sweep",
    "objectness",
    "calibration",
    "information_gain",
    "mode_connectivity",
    "swaps",
    "denoising",
    "concept_f1",
    "concept_examples",
    "latent_clusters",
):
    rule:
        name: STAGE
        input: PLAN.rule_inputs(STAGE), sources=ancient(PLAN.rule_sources(STAGE))
        output: **PLAN.rule_outputs(STAGE)
        params: fingerprint=PLAN.rule_fingerprint(STAGE), spec=PLAN.rule_spec(STAGE)
        log: PLAN.rule_log(STAGE)
        threads: PLAN.threads(STAGE)
        resources: **PLAN.resources(STAGE)
        shell: RUNNER
