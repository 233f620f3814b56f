"""The program `pps`."""

from __future__ import annotations

import sys
from typing import NoReturn

from cli.entry import Entry
from cli.process import run_process

_PIPELINE, _JOB, _SECRET = "Pipelines", "Jobs and datums", "Secrets"
_WORKFLOW = "Workflows"
COMMANDS = {
    "create-pipeline": Entry("cli.commands.pipeline", "create_pipeline", "Make pipelines from a spec", _PIPELINE),
    "update-pipeline": Entry("cli.commands.pipeline", "update_pipeline", "Replace the specs of pipelines", _PIPELINE),
    "list-pipeline": Entry("cli.commands.pipeline", "list_pipeline", "List pipelines", _PIPELINE),
    "inspect-pipeline": Entry("cli.commands.pipeline", "inspect_pipeline", "Show a pipeline", _PIPELINE),
    "check-status": Entry("cli.commands.check_status", "check_status", "Say which pipelines need a look", _PIPELINE),
    "edit-pipeline": Entry("cli.commands.edit_pipeline", "edit_pipeline", "Change a spec in an editor", _PIPELINE),
    "draw": Entry("cli.commands.draw", "draw", "Draw pipelines and what they read", _PIPELINE),
    "delete-pipeline": Entry("cli.commands.pipeline", "delete_pipeline", "Take a pipeline away", _PIPELINE),
    "start-pipeline": Entry("cli.commands.pipeline", "start_pipeline", "Let a stopped pipeline run", _PIPELINE),
    "stop-pipeline": Entry("cli.commands.pipeline", "stop_pipeline", "Give a pipeline no jobs", _PIPELINE),
    "rerun-pipeline": Entry("cli.commands.pipeline", "rerun_pipeline", "Make a job for the inputs as is", _PIPELINE),
    "run-cron": Entry("cli.commands.pipeline", "run_cron", "Tick the cron inputs of a pipeline now", _PIPELINE),
    "set-defaults": Entry("cli.commands.defaults", "set_defaults", "Set what specs are laid over", _PIPELINE),
    "get-defaults": Entry("cli.commands.defaults", "get_defaults", "Print what specs are laid over", _PIPELINE),
    "validate": Entry("cli.commands.spec", "validate", "Check a spec file", _PIPELINE),
    "schema": Entry("cli.commands.spec", "schema", "Print the JSON Schema of specs, for editors", _PIPELINE),
    "run-workflow": Entry("cli.commands.run_workflow", "run_workflow", "Run the tasks of a workflow file", _WORKFLOW),
    "install-workflow": Entry("cli.commands.workflow", "install_workflow", "Let a workflow run by itself", _WORKFLOW),
    "list-workflow": Entry("cli.commands.workflow", "list_workflow", "List workflows", _WORKFLOW),
    "inspect-workflow": Entry("cli.commands.workflow", "inspect_workflow", "Show a run of a workflow", _WORKFLOW),
    "list-run": Entry("cli.commands.workflow", "list_run", "List the runs of a workflow", _WORKFLOW),
    "list-artifact": Entry("cli.commands.artifact", "list_artifact", "List what tasks of workflows left", _WORKFLOW),
    "expire-artifact": Entry("cli.commands.artifact", "expire_artifact", "Let go of what had its time", _WORKFLOW),
    "delete-workflow": Entry("cli.commands.workflow", "delete_workflow", "Take a workflow away", _WORKFLOW),
    "run": Entry("cli.commands.run", "run_pending", "Do everything that is pending, then end", _JOB),
    "list-job": Entry("cli.commands.job", "list_job", "List jobs, newest first", _JOB),
    "inspect-job": Entry("cli.commands.job", "inspect_job", "Show a job", _JOB),
    "wait-job": Entry("cli.commands.job", "wait_job", "Wait until a job has ended", _JOB),
    "stop-job": Entry("cli.commands.job", "stop_job", "End a job that runs", _JOB),
    "delete-job": Entry("cli.commands.job", "delete_job", "Delete a job that has ended, with its logs", _JOB),
    "list-job-set": Entry("cli.commands.job_set", "list_job_set", "List jobs by id, over all pipelines", _JOB),
    "inspect-job-set": Entry("cli.commands.job_set", "inspect_job_set", "Show the jobs of an id", _JOB),
    "wait-job-set": Entry("cli.commands.job_set", "wait_job_set", "Wait until the jobs of an id have ended", _JOB),
    "list-datum": Entry("cli.commands.job", "list_datum", "List the datums of a job", _JOB),
    "inspect-datum": Entry("cli.commands.job", "inspect_datum", "Show a datum", _JOB),
    "restart-datum": Entry("cli.commands.job", "restart_datum", "Begin again with datums that run", _JOB),
    "explain-datum": Entry("cli.commands.job", "explain_datum", "Say why a datum ran or was skipped", _JOB),
    "run-datum": Entry("cli.commands.run_datum", "run_datum", "Run one datum again here, without committing", _JOB),
    "export-lineage": Entry("cli.commands.export_lineage", "export_lineage", "Tell jobs as OpenLineage events", _JOB),
    "lineage": Entry("cli.commands.lineage", "lineage", "Show what made a file, or was made of it", _JOB),
    "logs": Entry("cli.commands.logs", "logs", "Print what user code wrote", _JOB),
    "next-datum": Entry("cli.commands.next_datum", "next_datum", "In a batched command: go to the next datum", _JOB),
    "create-secret": Entry("cli.commands.secret", "create_secret", "Make a secret for commands", _SECRET),
    "list-secret": Entry("cli.commands.secret", "list_secret", "List secrets, without values", _SECRET),
    "inspect-secret": Entry("cli.commands.secret", "inspect_secret", "Show the keys of a secret", _SECRET),
    "delete-secret": Entry("cli.commands.secret", "delete_secret", "Take a secret away", _SECRET),
    "completion": Entry("cli.commands.completion", "completion", "Print the completion script of a shell", "Shell"),
}

_HELP = "Pipelines over versioned data: only what changed runs again, and every output knows its origin."


def main() -> NoReturn:
    """Run `pps` with the words of the command line."""
    if sys.argv[1:3] == ["next", "datum"]:
        # As Pachyderm's program spells it, in code that runs there and here.
        sys.argv[1:3] = ["next-datum"]
    run_process(_run)


def _run() -> NoReturn:
    from cli.app import program, run  # click: loaded once `run_process` has put off looking for garbage

    run(program("pps", COMMANDS, help=_HELP))
