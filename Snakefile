# The map of the building: one plan (src/tesserae/workflow/plan.py), one rule file per step of the road.
#   snakemake                    every paper of config/config.yaml at its scale
#   snakemake detok              one paper;  snakemake detok_table_1: one table or figure
#   snakemake --config scale=smoke
#   snakemake --config remake=tokenizer/detok_sb_joint,libraries   make again what nothing requires
import os
import signal
from pathlib import Path
from snakemake.utils import min_version
from tesserae.config.errors import ConfigError
from tesserae.workflow import engine, events, home, launch, own_code, rights, runs, space, staleness, warm
from tesserae.workflow.plan import open_plan, read_plan

min_version("9.27")
engine.adjust()

try:
    own_code.check(Path(workflow.basedir))
    engine.verify_folder(Path(workflow.basedir))
    home.settle(Path(workflow.basedir))
    # A job's own Snakemake needs one job of the plan, not the fingerprints of all.
    PLAN = (read_plan if workflow.is_main_process else open_plan)(Path(workflow.basedir), config.get("scale"))
    PLAN.looks = workflow.is_main_process
    if workflow.is_main_process:
        STATUSES = staleness.examine(PLAN, launch.remake(PLAN, config.get("remake")))
except (ConfigError, OSError) as error:
    said = str(error) if isinstance(error, ConfigError) else rights.complaint(error)
    if said is None:
        raise
    raise WorkflowError(said)

if workflow.is_main_process:
    runs.take_part(workflow, PLAN, STATUSES)
else:  # inside a SLURM job: the warning before the wall limit is for the stage alone
    from tesserae.workflow import slurm

    slurm.quote_interpreter()
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    if os.environ.get("SLURM_RESTART_COUNT"):
        if launch.landed(PLAN, sys.argv):
            sys.exit(0)
        os.environ["TESSERAE_AGAIN"] = "1"  # for the step's own Snakemake, which SLURM's variables do not reach

SCALE = PLAN.scale
# What a stage asks for, not `threads`: Snakemake caps that by the cores there are, and threads may shape a number.
RUNNER = (
    f"{launch.client()} {{rule}} {{wildcards.recipe}}"
    f" --scale {SCALE} --fingerprint {{params.fingerprint}} --threads {{resources.cpus_per_task}}"
    f" {'>>' if 'TESSERAE_AGAIN' in os.environ else '>'} {{log}} 2>&1"  # queued again: the log goes on
    " || {{ echo '{rule} {wildcards.recipe} failed. Its log is {log} and ends:'; tail -n 15 {log} | tr '\\r' '\\n'"
    " | tail -n 15; exit 1; }} >&2"
)

wildcard_constraints:
    scale=SCALE,
    recipe=r"[\w.-]+",

localrules: all

rule all:
    input: [str(path) for name in PLAN.shown for path in PLAN.outputs(PLAN.jobs[name])]

include: "workflow/rules/data.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/sae.smk"
include: "workflow/rules/tokenizers.smk"
include: "workflow/rules/tokens.smk"
include: "workflow/rules/probes.smk"
include: "workflow/rules/domains.smk"
include: "workflow/rules/generators.smk"
include: "workflow/rules/samples.smk"
include: "workflow/rules/metrics.smk"
include: "workflow/rules/papers.smk"

onstart:
    if workflow.is_main_process:
        try:
            JOBS = [launch.job_id(job) for job in workflow.dag.needrun_jobs()]
            launch.begin(PLAN, STATUSES, JOBS, config.get("confirm"))
            events.begun([job for job in JOBS if job in PLAN.jobs], workflow)
        except (ConfigError, launch.Unconfirmed) as error:
            raise WorkflowError(str(error))
        if workflow.executor_plugin.name == "slurm":
            from tesserae.workflow import slurm

            slurm.prepare(workflow.dag.needrun_jobs())
    if workflow.is_main_process and workflow.local_exec:
        # Snakemake's limit on starts per second wakes it ever more often, for each finished job once a second more
        # (docs/decisions.md). Local jobs start as cores get free and need none.
        workflow.scheduler.job_rate_limiter = None
        if warm.wanted():
            WARM = warm.start(Path(".tesserae/warm.log"))

onerror:
    if workflow.is_main_process and (complaint := space.complaint(Path(workflow.basedir))):
        print(complaint, file=sys.stderr)  # the logs of jobs may be on the full disk
