rule tokenizer:  # images -> trained tokenizer
    input: PLAN.rule_inputs("tokenizer"), sources=ancient(PLAN.rule_sources("tokenizer"))
    output:
        weights="results/{scale}/tokenizer/{recipe}/weights.safetensors",
        curves="results/{scale}/tokenizer/{recipe}/curves.jsonl",
        manifest="results/{scale}/tokenizer/{recipe}/manifest.json",
    params: fingerprint=PLAN.rule_fingerprint("tokenizer"), spec=PLAN.rule_spec("tokenizer")
    log: "results/{scale}/tokenizer/{recipe}/stage.log"
    threads: PLAN.threads("tokenizer")
    resources: **PLAN.resources("tokenizer")
    shell: RUNNER


rule reconstruction:  # rFID, rIS, PSNR on the validation set
    input: PLAN.rule_inputs("reconstruction"), sources=ancient(PLAN.rule_sources("reconstruction"))
    output:
        metrics="results/{scale}/reconstruction/{recipe}/metrics.json",
        images="results/{scale}/reconstruction/{recipe}/images.npz",
        manifest="results/{scale}/reconstruction/{recipe}/manifest.json",
    params: fingerprint=PLAN.rule_fingerprint("reconstruction"), spec=PLAN.rule_spec("reconstruction")
    log: "results/{scale}/reconstruction/{recipe}/stage.log"
    threads: PLAN.threads("reconstruction")
    resources: **PLAN.resources("reconstruction")
    shell: RUNNER


rule denoising:  # Figure A.1: decoding corrupted latents
    input: PLAN.rule_inputs("denoising"), sources=ancient(PLAN.rule_sources("denoising"))
    output:
        images="results/{scale}/denoising/{recipe}/denoising.npz",
        manifest="results/{scale}/denoising/{recipe}/manifest.json",
    params: fingerprint=PLAN.rule_fingerprint("denoising"), spec=PLAN.rule_spec("denoising")
    log: "results/{scale}/denoising/{recipe}/stage.log"
    threads: PLAN.threads("denoising")
    resources: **PLAN.resources("denoising")
    shell: RUNNER
