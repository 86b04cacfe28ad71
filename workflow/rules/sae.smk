rule sae:  # features -> sparse autoencoder
    input: PLAN.rule_inputs("sae"), sources=ancient(PLAN.rule_sources("sae"))
    output:
        weights="results/{scale}/sae/{recipe}/weights.safetensors",
        curves="results/{scale}/sae/{recipe}/curves.jsonl",
        metrics="results/{scale}/sae/{recipe}/metrics.json",
        manifest="results/{scale}/sae/{recipe}/manifest.json",
    params: fingerprint=PLAN.rule_fingerprint("sae"), spec=PLAN.rule_spec("sae")
    log: "results/{scale}/sae/{recipe}/stage.log"
    threads: PLAN.threads("sae")
    resources: **PLAN.resources("sae")
    shell: RUNNER


rule prompts:  # class names -> features of a text encoder
    input: PLAN.rule_inputs("prompts"), sources=ancient(PLAN.rule_sources("prompts"))
    output:
        features="results/{scale}/prompts/{recipe}/features.npy",
        prompts="results/{scale}/prompts/{recipe}/prompts.json",
        manifest="results/{scale}/prompts/{recipe}/manifest.json",
    params: fingerprint=PLAN.rule_fingerprint("prompts"), spec=PLAN.rule_spec("prompts")
    log: "results/{scale}/prompts/{recipe}/stage.log"
    threads: PLAN.threads("prompts")
    resources: **PLAN.resources("prompts")
    shell: RUNNER


rule concepts:  # images -> the concepts in each
    input: PLAN.rule_inputs("concepts"), sources=ancient(PLAN.rule_sources("concepts"))
    output:
        train_indices="results/{scale}/concepts/{recipe}/train_indices.npy",
        train_offsets="results/{scale}/concepts/{recipe}/train_offsets.npy",
        val_indices="results/{scale}/concepts/{recipe}/val_indices.npy",
        val_offsets="results/{scale}/concepts/{recipe}/val_offsets.npy",
        counts="results/{scale}/concepts/{recipe}/counts.npy",
        class_counts="results/{scale}/concepts/{recipe}/class_counts.npy",
        manifest="results/{scale}/concepts/{recipe}/manifest.json",
    params: fingerprint=PLAN.rule_fingerprint("concepts"), spec=PLAN.rule_spec("concepts")
    log: "results/{scale}/concepts/{recipe}/stage.log"
    threads: PLAN.threads("concepts")
    resources: **PLAN.resources("concepts")
    shell: RUNNER
