rule generator:  # tokens -> trained generator
    input: PLAN.rule_inputs("generator"), sources=ancient(PLAN.rule_sources("generator"))
    output:
        weights="results/{scale}/generator/{recipe}/weights.safetensors",
        curves="results/{scale}/generator/{recipe}/curves.jsonl",
        manifest="results/{scale}/generator/{recipe}/manifest.json",
    params: fingerprint=PLAN.rule_fingerprint("generator"), spec=PLAN.rule_spec("generator")
    log: "results/{scale}/generator/{recipe}/stage.log"
    threads: PLAN.threads("generator")
    resources: **PLAN.resources("generator")
    shell: RUNNER
