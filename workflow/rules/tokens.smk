rule tokens:  # images -> token cache, a part of it in each job
    input: PLAN.rule_inputs("tokens"), sources=ancient(PLAN.rule_sources("tokens"))
    output:
        moments="results/{scale}/tokens/{recipe}/moments.npy",
        labels="results/{scale}/tokens/{recipe}/labels.npy",
        sums="results/{scale}/tokens/{recipe}/sums.npz",
        manifest="results/{scale}/tokens/{recipe}/manifest.json",
    params: fingerprint=PLAN.rule_fingerprint("tokens"), spec=PLAN.rule_spec("tokens")
    log: "results/{scale}/tokens/{recipe}/stage.log"
    threads: PLAN.threads("tokens")
    resources: **PLAN.resources("tokens")
    shell: RUNNER
