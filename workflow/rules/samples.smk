rule search_samples:  # a part of the images at every candidate of guidance and temperature
    input: PLAN.rule_inputs("search_samples"), sources=ancient(PLAN.rule_sources("search_samples"))
    output:
        samples="results/{scale}/search_samples/{recipe}/samples.npy",
        index="results/{scale}/search_samples/{recipe}/index.json",
        manifest="results/{scale}/search_samples/{recipe}/manifest.json",
    params: fingerprint=PLAN.rule_fingerprint("search_samples"), spec=PLAN.rule_spec("search_samples")
    log: "results/{scale}/search_samples/{recipe}/stage.log"
    threads: PLAN.threads("search_samples")
    resources: **PLAN.resources("search_samples")
    shell: RUNNER


rule samples:  # a part of the images at what the search selected
    input: PLAN.rule_inputs("samples"), sources=ancient(PLAN.rule_sources("samples"))
    output:
        samples="results/{scale}/samples/{recipe}/samples.npy",
        labels="results/{scale}/samples/{recipe}/labels.npy",
        index="results/{scale}/samples/{recipe}/index.json",
        manifest="results/{scale}/samples/{recipe}/manifest.json",
    params: fingerprint=PLAN.rule_fingerprint("samples"), spec=PLAN.rule_spec("samples")
    log: "results/{scale}/samples/{recipe}/stage.log"
    threads: PLAN.threads("samples")
    resources: **PLAN.resources("samples")
    shell: RUNNER
