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


rule codes:  # images -> codes of a discrete tokenizer, a part of them in each job
    input: PLAN.rule_inputs("codes"), sources=ancient(PLAN.rule_sources("codes"))
    output:
        codes="results/{scale}/codes/{recipe}/codes.npy",
        labels="results/{scale}/codes/{recipe}/labels.npy",
        counts="results/{scale}/codes/{recipe}/counts.npy",
        manifest="results/{scale}/codes/{recipe}/manifest.json",
    params: fingerprint=PLAN.rule_fingerprint("codes"), spec=PLAN.rule_spec("codes")
    log: "results/{scale}/codes/{recipe}/stage.log"
    threads: PLAN.threads("codes")
    resources: **PLAN.resources("codes")
    shell: RUNNER
