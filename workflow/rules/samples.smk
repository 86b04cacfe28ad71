# Images drawn by generators, and how fast. Of each stage, src/tesserae/config/stages.py says what it is for and what it writes.
for STAGE in (
    "search_samples",
    "samples",
    "throughput",
    "spread",
):
    rule:
        name: STAGE
        input: PLAN.rule_inputs(STAGE), sources=ancient(PLAN.rule_sources(STAGE))
        output: **PLAN.rule_outputs(STAGE)
        params: fingerprint=PLAN.rule_fingerprint(STAGE), spec=PLAN.rule_spec(STAGE)
        log: PLAN.rule_log(STAGE)
        threads: PLAN.threads(STAGE)
        resources: **PLAN.resources(STAGE)
        shell: RUNNER
