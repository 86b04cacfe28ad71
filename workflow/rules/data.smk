rule dataset:  # images -> uint8 memory-mapped cache
    input: PLAN.rule_inputs("dataset"), sources=ancient(PLAN.rule_sources("dataset"))
    output:
        train_images="results/{scale}/dataset/{recipe}/train_images.npy",
        train_labels="results/{scale}/dataset/{recipe}/train_labels.npy",
        val_images="results/{scale}/dataset/{recipe}/val_images.npy",
        val_labels="results/{scale}/dataset/{recipe}/val_labels.npy",
        index="results/{scale}/dataset/{recipe}/index.json",
        captions="results/{scale}/dataset/{recipe}/captions.json",
        manifest="results/{scale}/dataset/{recipe}/manifest.json",
    params: fingerprint=PLAN.rule_fingerprint("dataset"), spec=PLAN.rule_spec("dataset")
    log: "results/{scale}/dataset/{recipe}/stage.log"
    threads: PLAN.threads("dataset")
    resources: **PLAN.resources("dataset")
    shell: RUNNER


rule reference:  # statistics of real images, computed once
    input: PLAN.rule_inputs("reference"), sources=ancient(PLAN.rule_sources("reference"))
    output:
        train="results/{scale}/reference/{recipe}/train.npz",
        val="results/{scale}/reference/{recipe}/val.npz",
        val_features="results/{scale}/reference/{recipe}/val_features.npy",
        manifest="results/{scale}/reference/{recipe}/manifest.json",
    params: fingerprint=PLAN.rule_fingerprint("reference"), spec=PLAN.rule_spec("reference")
    log: "results/{scale}/reference/{recipe}/stage.log"
    threads: PLAN.threads("reference")
    resources: **PLAN.resources("reference")
    shell: RUNNER
