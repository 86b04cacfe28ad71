# What papers show, and pages of a whole scale. Of each stage, src/tesserae/config/stages.py says what it is for and what it writes.
for STAGE in (
    "correlations",
    "sizes",
    "settings",
    "table",
    "figure",
    "claims",
    "notebook",
    "page",
    "lineage",
    "forecast",
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


rule report:  # it lies at the top of its scale, and there is one
    input: PLAN.rule_inputs("report")
    output: **PLAN.rule_outputs("report")
    params: fingerprint=PLAN.rule_fingerprint("report"), spec=PLAN.rule_spec("report")
    log: PLAN.rule_log("report")
    threads: PLAN.threads("report")
    resources: **PLAN.resources("report")
    shell: RUNNER.replace("{wildcards.recipe}", "index")


# Targets by name: a paper, a table, a figure.
for NAME in PLAN.project.papers:
    rule:
        name: NAME
        input: [str(path) for name in PLAN.of_paper(NAME) for path in PLAN.outputs(PLAN.jobs[name])]

for NAME, ID in PLAN.named.items():
    rule:
        name: NAME
        input: [str(path) for path in PLAN.outputs(PLAN.jobs[ID])]
