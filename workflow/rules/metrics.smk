rule search:  # the whole sweep, and what it selects
    input: PLAN.rule_inputs("search"), sources=ancient(PLAN.rule_sources("search"))
    output:
        search="results/{scale}/search/{recipe}/search.json",
        manifest="results/{scale}/search/{recipe}/manifest.json",
    params: fingerprint=PLAN.rule_fingerprint("search"), spec=PLAN.rule_spec("search")
    log: "results/{scale}/search/{recipe}/stage.log"
    threads: PLAN.threads("search")
    resources: **PLAN.resources("search")
    shell: RUNNER


rule features:  # a part of the samples through the extractor
    input: PLAN.rule_inputs("features"), sources=ancient(PLAN.rule_sources("features"))
    output:
        features="results/{scale}/features/{recipe}/features.npy",
        logits="results/{scale}/features/{recipe}/logits.npy",
        preview="results/{scale}/features/{recipe}/preview.npy",
        manifest="results/{scale}/features/{recipe}/manifest.json",
    params: fingerprint=PLAN.rule_fingerprint("features"), spec=PLAN.rule_spec("features")
    log: "results/{scale}/features/{recipe}/stage.log"
    threads: PLAN.threads("features")
    resources: **PLAN.resources("features")
    shell: RUNNER


rule metrics:  # FID, IS, precision and recall of all parts
    input: PLAN.rule_inputs("metrics"), sources=ancient(PLAN.rule_sources("metrics"))
    output:
        metrics="results/{scale}/metrics/{recipe}/metrics.json",
        preview="results/{scale}/metrics/{recipe}/preview.npy",
        manifest="results/{scale}/metrics/{recipe}/manifest.json",
    params: fingerprint=PLAN.rule_fingerprint("metrics"), spec=PLAN.rule_spec("metrics")
    log: "results/{scale}/metrics/{recipe}/stage.log"
    threads: PLAN.threads("metrics")
    resources: **PLAN.resources("metrics")
    shell: RUNNER
