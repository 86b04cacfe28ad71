rule semantic_features:  # images -> features of a frozen encoder, a part in each job
    input: PLAN.rule_inputs("semantic_features"), sources=ancient(PLAN.rule_sources("semantic_features"))
    output:
        features="results/{scale}/semantic_features/{recipe}/features.npy",
        manifest="results/{scale}/semantic_features/{recipe}/manifest.json",
    params: fingerprint=PLAN.rule_fingerprint("semantic_features"), spec=PLAN.rule_spec("semantic_features")
    log: "results/{scale}/semantic_features/{recipe}/stage.log"
    threads: PLAN.threads("semantic_features")
    resources: **PLAN.resources("semantic_features")
    shell: RUNNER
