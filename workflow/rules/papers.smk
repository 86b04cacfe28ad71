rule sizes:  # parameters of a network at the paper's size: counted, not run
    input: sources=ancient(PLAN.rule_sources("sizes"))
    output:
        metrics="results/{scale}/sizes/{recipe}/metrics.json",
        manifest="results/{scale}/sizes/{recipe}/manifest.json",
    params: fingerprint=PLAN.rule_fingerprint("sizes"), spec=PLAN.rule_spec("sizes")
    log: "results/{scale}/sizes/{recipe}/stage.log"
    threads: PLAN.threads("sizes")
    resources: **PLAN.resources("sizes")
    shell: RUNNER


rule settings:  # hyper-parameters of a recipe, as the paper's scale says them
    input: sources=ancient(PLAN.rule_sources("settings"))
    output:
        metrics="results/{scale}/settings/{recipe}/metrics.json",
        manifest="results/{scale}/settings/{recipe}/manifest.json",
    params: fingerprint=PLAN.rule_fingerprint("settings"), spec=PLAN.rule_spec("settings")
    log: "results/{scale}/settings/{recipe}/stage.log"
    threads: PLAN.threads("settings")
    resources: **PLAN.resources("settings")
    shell: RUNNER


rule table:  # published beside measured
    input: PLAN.rule_inputs("table"), sources=ancient(PLAN.rule_sources("table"))
    output:
        csv="results/{scale}/table/{recipe}/table.csv",
        markdown="results/{scale}/table/{recipe}/table.md",
        latex="results/{scale}/table/{recipe}/table.tex",
        html="results/{scale}/table/{recipe}/table.html",
        metrics="results/{scale}/table/{recipe}/metrics.json",
        manifest="results/{scale}/table/{recipe}/manifest.json",
    params: fingerprint=PLAN.rule_fingerprint("table"), spec=PLAN.rule_spec("table")
    log: "results/{scale}/table/{recipe}/stage.log"
    threads: PLAN.threads("table")
    resources: **PLAN.resources("table")
    shell: RUNNER


rule figure:  # one figure of a paper
    input: PLAN.rule_inputs("figure"), sources=ancient(PLAN.rule_sources("figure"))
    output:
        png="results/{scale}/figure/{recipe}/figure.png",
        svg="results/{scale}/figure/{recipe}/figure.svg",
        pdf="results/{scale}/figure/{recipe}/figure.pdf",
        manifest="results/{scale}/figure/{recipe}/manifest.json",
    params: fingerprint=PLAN.rule_fingerprint("figure"), spec=PLAN.rule_spec("figure")
    log: "results/{scale}/figure/{recipe}/stage.log"
    threads: PLAN.threads("figure")
    resources: **PLAN.resources("figure")
    shell: RUNNER


rule claims:  # a verdict for every statement of a paper
    input: PLAN.rule_inputs("claims"), sources=ancient(PLAN.rule_sources("claims"))
    output:
        json="results/{scale}/claims/{recipe}/claims.json",
        html="results/{scale}/claims/{recipe}/claims.html",
        markdown="results/{scale}/claims/{recipe}/claims.md",
        metrics="results/{scale}/claims/{recipe}/metrics.json",
        manifest="results/{scale}/claims/{recipe}/manifest.json",
    params: fingerprint=PLAN.rule_fingerprint("claims"), spec=PLAN.rule_spec("claims")
    log: "results/{scale}/claims/{recipe}/stage.log"
    threads: PLAN.threads("claims")
    resources: **PLAN.resources("claims")
    shell: RUNNER


rule notebook:  # the story of a paper's results, executed
    input: PLAN.rule_inputs("notebook"), sources=ancient(PLAN.rule_sources("notebook"))
    output:
        notebook="results/{scale}/notebook/{recipe}/notebook.ipynb",
        html="results/{scale}/notebook/{recipe}/notebook.html",
        manifest="results/{scale}/notebook/{recipe}/manifest.json",
    params: fingerprint=PLAN.rule_fingerprint("notebook"), spec=PLAN.rule_spec("notebook")
    log: "results/{scale}/notebook/{recipe}/stage.log"
    threads: PLAN.threads("notebook")
    resources: **PLAN.resources("notebook")
    shell: RUNNER


rule lineage:  # from any number to what it was made from, as a page
    input: PLAN.rule_inputs("lineage")
    output:
        html="results/{scale}/lineage/{recipe}/lineage.html",
        manifest="results/{scale}/lineage/{recipe}/manifest.json",
    params: fingerprint=PLAN.rule_fingerprint("lineage"), spec=PLAN.rule_spec("lineage")
    log: "results/{scale}/lineage/{recipe}/stage.log"
    threads: PLAN.threads("lineage")
    resources: **PLAN.resources("lineage")
    shell: RUNNER


rule forecast:  # what a scale would cost on a cluster: counted, not run
    input: sources=ancient(PLAN.rule_sources("forecast"))
    output:
        json="results/{scale}/forecast/{recipe}/forecast.json",
        png="results/{scale}/forecast/{recipe}/gantt.png",
        svg="results/{scale}/forecast/{recipe}/gantt.svg",
        manifest="results/{scale}/forecast/{recipe}/manifest.json",
    params: fingerprint=PLAN.rule_fingerprint("forecast"), spec=PLAN.rule_spec("forecast")
    log: "results/{scale}/forecast/{recipe}/stage.log"
    threads: PLAN.threads("forecast")
    resources: **PLAN.resources("forecast")
    shell: RUNNER


rule report:  # what there is, on one page
    input: PLAN.rule_inputs("report")
    output:
        html="results/{scale}/index.html",
        manifest="results/{scale}/manifest.json",
    params: fingerprint=PLAN.rule_fingerprint("report"), spec=PLAN.rule_spec("report")
    log: "results/{scale}/report.log"
    threads: PLAN.threads("report")
    resources: **PLAN.resources("report")
    shell: RUNNER.replace("{wildcards.recipe}", "index")


# Targets by name: a paper, a table, a figure.
for NAME in PLAN.project.papers:
    rule:
        name: NAME
        input: PLAN.targets("notebook", paper=NAME)

for NAME, ID in PLAN.named.items():
    rule:
        name: NAME
        input: [str(path) for path in PLAN.outputs(PLAN.jobs[ID])]
