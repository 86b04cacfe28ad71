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


rule concept_f1:  # which concepts a tokenizer names
    input: PLAN.rule_inputs("concept_f1"), sources=ancient(PLAN.rule_sources("concept_f1"))
    output:
        metrics="results/{scale}/concept_f1/{recipe}/metrics.json",
        manifest="results/{scale}/concept_f1/{recipe}/manifest.json",
    params: fingerprint=PLAN.rule_fingerprint("concept_f1"), spec=PLAN.rule_spec("concept_f1")
    log: "results/{scale}/concept_f1/{recipe}/stage.log"
    threads: PLAN.threads("concept_f1")
    resources: **PLAN.resources("concept_f1")
    shell: RUNNER


rule concept_examples:  # patches and images of a concept
    input: PLAN.rule_inputs("concept_examples"), sources=ancient(PLAN.rule_sources("concept_examples"))
    output:
        examples="results/{scale}/concept_examples/{recipe}/examples.npz",
        metrics="results/{scale}/concept_examples/{recipe}/metrics.json",
        manifest="results/{scale}/concept_examples/{recipe}/manifest.json",
    params: fingerprint=PLAN.rule_fingerprint("concept_examples"), spec=PLAN.rule_spec("concept_examples")
    log: "results/{scale}/concept_examples/{recipe}/stage.log"
    threads: PLAN.threads("concept_examples")
    resources: **PLAN.resources("concept_examples")
    shell: RUNNER


rule latent_clusters:  # how latents lie by concept
    input: PLAN.rule_inputs("latent_clusters"), sources=ancient(PLAN.rule_sources("latent_clusters"))
    output:
        clusters="results/{scale}/latent_clusters/{recipe}/clusters.npz",
        metrics="results/{scale}/latent_clusters/{recipe}/metrics.json",
        manifest="results/{scale}/latent_clusters/{recipe}/manifest.json",
    params: fingerprint=PLAN.rule_fingerprint("latent_clusters"), spec=PLAN.rule_spec("latent_clusters")
    log: "results/{scale}/latent_clusters/{recipe}/stage.log"
    threads: PLAN.threads("latent_clusters")
    resources: **PLAN.resources("latent_clusters")
    shell: RUNNER
