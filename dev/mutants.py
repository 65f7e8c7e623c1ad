"""
``make mutants``: planted bugs. Each is put into a copy of the tree, and the tests that are named with it have to fail.

The results go into docs/proof.md. A bug that no longer fits the code, or that its tests do not see, ends in an error.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "proof.md"
PACKAGE = "airflow_provider_mps"
_PARTS = (PACKAGE, "tests", "dev", "example_dags", "docs", "pyproject.toml", "README.md", "CHANGELOG.md")
_BEGIN, _END = "<!-- mutants -->\n", "<!-- end of mutants -->"


class Mutant(NamedTuple):
    """
    One bug.

    :param old: text of the module, found once, that becomes ``new``.
    :param tests: at least one of these has to fail.
    """

    bug: str
    module: str
    old: str
    new: str
    tests: str

    def found(self) -> int:
        """How often its text is in its module: once, or the bug no longer fits the code."""
        return (ROOT / PACKAGE / self.module).read_text(encoding="utf-8").count(self.old)


MUTANTS = (
    Mutant(
        "a job is sent again after it was accepted",
        "client/jobs/submission.py",
        "                    return self._request(sender, record)\n",
        "                    accepted = self._request(sender, record)\n"
        "                    if attempt > 1:\n                        return accepted\n",
        "tests/operators/test_submit_once.py::test_submit_without_waiting",
    ),
    Mutant(
        "a job is sent again when it is not known whether MPS took it",
        "client/retry.py",
        '(purpose is Purpose.SUBMIT and bool(getattr(action, "session_id", None)))',
        "purpose is Purpose.SUBMIT",
        "tests/operators/test_submit_once.py::test_f11_ambiguous_answers_without_a_session",
    ),
    Mutant(
        "the record is saved after the request, not before",
        "client/jobs/submission.py",
        "                record = self._save(record.sending(sender.clock.now()))\n",
        "                record = record.sending(sender.clock.now())\n",
        "tests/operators/test_job_records.py::test_every_step_is_written_down_before_it_is_taken",
    ),
    Mutant(
        "the TaskId of an accepted job is not stored",
        "client/jobs/submission.py",
        "        return self._save(record.accepted(answer",
        "        return (record.accepted(answer",
        "tests/operators/test_submit_once.py::test_f10_failure_right_after_acceptance",
    ),
    Mutant(
        "NOT_SENT is not restored after MPS has rejected the job",
        "client/jobs/submission.py",
        "                    if not ambiguous:  # before any pause",
        "                    if False:  # before any pause",
        "tests/operators/test_job_records.py::test_f90_evicted_in_the_pause_after_a_denial",
    ),
    Mutant(
        "a retry waits again for a job that failed while nobody polled it",
        "client/jobs/recovery.py",
        "if self._intent.own_session_id or not detail.has_failed(allow_partial=self._intent.allow_partial):",
        "if detail is not None:",
        "tests/operators/test_job_records.py::test_a_job_that_failed_while_nobody_polled_it",
    ),
    Mutant(
        "a retry takes up a job that was aborted",
        "client/jobs/record.py",
        "or record.ending is Ending.SUCCESS:\n",
        "or record.ending:\n",
        "tests/operators/test_job_records.py::test_f95_somebody_else_aborts_the_job",
    ),
    Mutant(
        "a retry pays again after a job that did not fail",
        "client/jobs/recovery.py",
        "            return record\n        log.info(",
        "            return None\n        log.info(",
        "tests/operators/test_submit_schedules.py::test_any_schedule",
    ),
    Mutant(
        "a missing record is taken for a job that was not sent",
        "client/jobs/record.py",
        "        return Step.SUBMIT if attempt.is_certainly_first else Step.SEARCH\n",
        "        return Step.SUBMIT\n",
        "tests/operators/test_job_records.py::test_f80_a_missing_record_is_no_proof",
    ),
    Mutant(
        "an edited `retries` is taken for a Clear where the record is missing",
        "client/jobs/record.py",
        "(self.is_first and self.clear_number > 0)",
        "self.is_first",
        "tests/operators/test_job_records.py::test_f80_an_edited_retries_is_no_clear",
    ),
    Mutant(
        "a search for a lost job that is cut short is not begun again",
        "client/jobs/submission.py",
        "            record = self.record = intent.new_record().presumed_sent(intent.run_began)\n",
        "            record = self._save(intent.new_record().presumed_sent(intent.run_began))\n",
        "tests/operators/test_job_records.py::test_f80_a_search_that_fails_is_begun_again",
    ),
    Mutant(
        "a search reads the finished tasks first",
        "client/jobs/find.py",
        "(TaskStatus.WAITING, TaskStatus.PROCESSING, TaskStatus.FINISH)",
        "(TaskStatus.FINISH, TaskStatus.WAITING, TaskStatus.PROCESSING)",
        "tests/client/jobs/test_find.py::test_a_job_that_moves_on_meanwhile_is_found",
    ),
    Mutant(
        "the window in which a SessionId is relied on is a day too long",
        "client/jobs/recovery.py",
        "_DEDUPLICATION_WINDOW = 2.5 * 86_400\n",
        "_DEDUPLICATION_WINDOW = 3.5 * 86_400\n",
        "tests/operators/test_submit_once.py::test_after_the_window_a_session_id_proves_nothing",
    ),
    Mutant(
        "mapped tasks share a marker",
        "client/jobs/record.py",
        "_digest([dag_id, run_id, task_id, map_index, clears])",
        "_digest([dag_id, run_id, task_id, clears])",
        "tests/client/jobs/test_record.py::test_f06_mapped_tasks_have_a_marker_each",
    ),
    Mutant(
        "a Clear does not submit a new job",
        "client/jobs/record.py",
        "    elif is_cleared(record, attempt) or record.ending is Ending.KILLED:\n",
        "    elif False:\n",
        "tests/operators/test_submit_once.py::test_f07_clear_submits_anew",
    ),
    Mutant(
        "`max_tries` is ignored",
        "client/jobs/record.py",
        "if attempt.max_tries != before.max_tries or attempt.clear_number != before.clear_number:",
        "if attempt.clear_number != before.clear_number:",
        "tests/operators/test_job_records.py::test_a_clear_that_leaves_the_run_as_it_is",
    ),
    Mutant(
        "`clear_number` is ignored",
        "client/jobs/record.py",
        "if attempt.max_tries != before.max_tries or attempt.clear_number != before.clear_number:",
        "if attempt.max_tries != before.max_tries:",
        "tests/operators/test_job_records.py::test_f83_clear_of_a_task_whose_worker_is_dead",
    ),
    Mutant(
        "FINISH is taken for success",
        "results/task.py",
        "        verdict = self.verdict\n        if not self.is_finished:",
        "        verdict = self.verdict\n        return\n        if not self.is_finished:",
        "tests/sensors/test_one_verdict.py::test_a_sensor_ends_alike_in_every_mode",
    ),
    Mutant(
        "whatever cancels a trigger aborts its job",
        "lifecycle/cancel.py",
        "    elif ended:\n",
        "    elif True:\n",
        "tests/operators/test_kill_deferred.py::test_f13_f15_the_trigger_asks_airflow_first",
    ),
    Mutant(
        "an Abort that waits for its turn ends with its trigger",
        "lifecycle/cancel.py",
        "        if not abort.done():\n",
        "        if not abort.done():\n            abort.cancel()\n",
        "tests/operators/test_kill_deferred.py::test_f15_many_ended_at_once_are_all_aborted",
    ),
    Mutant(
        "an outage is counted from the last good poll",
        "client/polling/wait.py",
        "            self.failing_since = now\n",
        "            self.failing_since = self.answered\n",
        "tests/client/polling/test_wait.py::test_the_wait_goes_on",
    ),
    Mutant(
        "a request takes two turns of the rate limiter",
        "client/protocol.py",
        "            yield AcquireTurn(limiter)\n",
        "            yield AcquireTurn(limiter)\n            yield AcquireTurn(limiter)\n",
        "tests/client/test_rate_limiter.py::test_a_request_takes_one_turn",
    ),
    Mutant(
        "one rate limiter for all RawActions",
        "client/rate_limiter.py",
        "    key = (config.account_key, action.name)\n",
        "    key = (config.account_key, type(action).__name__)\n",
        "tests/client/test_rate_limiter.py::test_each_raw_action_has_a_limiter_of_its_own",
    ),
    Mutant(
        "the rate grows with the square of the time, not with the cube",
        "client/rate_limiter.py",
        "GROWTH * beyond**3",
        "GROWTH * beyond**2",
        "tests/client/test_rate_limiter.py::test_a_throttled_request_halves_it_and_time_brings_it_back",
    ),
    Mutant(
        "delays without jitter",
        "client/retry.py",
        "    return longest * random.uniform(0.5, 1.0)\n",
        "    return longest\n",
        "tests/client/test_retry.py::test_delays_grow_and_are_spread_and_stay_bounded",
    ),
    Mutant(
        "an error code that is not documented ends a wait",
        "client/retry.py",
        "    Category.UNKNOWN,\n}\n_KNOWN_PERMANENT = {\n",
        "}\n_KNOWN_PERMANENT = {\n    Category.UNKNOWN,\n",
        "tests/client/test_retry.py::test_the_decision",
    ),
    Mutant(
        "connect and read timeout swapped",
        "client/bounded_session.py",
        "        self._timeout = (config.connect_timeout, config.timeout)\n",
        "        self._timeout = (config.timeout, config.connect_timeout)\n",
        "tests/client/test_transports.py::test_an_answer_may_take_longer_than_a_connection",
    ),
    Mutant(
        "proxy missing from the key of the credential cache",
        "client/credentials/cache.py",
        "    key = (provider, config.proxy, config.ca_file)\n",
        "    key = (provider, config.ca_file)\n",
        "tests/client/credentials/test_cache.py::test_keys_are_shared_only_where_they_are_fetched_in_the_same_way",
    ),
    Mutant(
        "keys that have expired are handed out",
        "client/credentials/cache.py",
        "            if not _is_valid(fetched):\n",
        "            if False:\n",
        "tests/client/credentials/test_cache.py::test_f117_expired_keys_are_never_handed_out",
    ),
    Mutant(
        "the client signs a submission again, behind the back of its record",
        "client/protocol.py",
        "and moved and not isinstance(action, SubmitAction)",
        "and moved",
        "tests/client/test_faults.py::test_f89_a_submission_is_not_signed_again_in_silence",
    ),
    Mutant(
        "requests are signed with the clock of this machine",
        "client/clock.py",
        "        return time.monotonic() + self.offset\n",
        "        return time.time()\n",
        "tests/client/test_mps_clock.py::test_f93_requests_are_signed_as_before_after_a_step",
    ),
    Mutant(
        "a repeated cancellation stops the Abort",
        "triggers/mps.py",
        "        while not work.done():\n",
        "        if not work.done():\n",
        "tests/operators/test_kill_deferred.py::test_f15_a_repeated_cancellation_does_not_stop_the_abort",
    ),
    Mutant(
        "whatever kills a worker aborts its job",
        "lifecycle/cancel.py",
        "record.state is JobState.ENDED or not ended_by_user(ti):",
        "record.state is JobState.ENDED:",
        "tests/operators/test_kill_worker.py::test_f20_an_evicted_worker_aborts_nothing",
    ),
    Mutant(
        "a task that is killed before it has sent its job sends it",
        "operators/submit.py",
        "        if self._killed:  # while there was no submission to stop",
        "        if False:  # while there was no submission to stop",
        "tests/operators/test_kill_worker.py::test_f17_killed_before_anything_was_sent",
    ),
    Mutant(
        "the deadline restarts at each resume of a sensor",
        "sensors/mps.py",
        "        wait.resume(event, state)\n",
        "        wait.resume(event, state)\n        wait.state.started = 0.0\n",
        "tests/sensors/test_endings.py::test_the_deadline_survives_a_second_deferral",
    ),
    Mutant(
        "a trigger judges the deadline by its own clock",
        "triggers/mps.py",
        "            if left is not None and not may_judge:",
        "            if left is None:",
        "tests/sensors/test_two_machines.py::test_f89_a_wrong_clock_ends_no_wait",
    ),
    Mutant(
        "a worker judges the deadline by its own clock",
        "lifecycle/wait.py",
        "self._seems_overdue and self.state.started > 0 and not self.clock.is_known",
        "False",
        "tests/operators/test_job_records.py::test_f89_a_wrong_clock_alone_ends_no_wait",
    ),
    Mutant(
        "a worker believes a trigger that time is up",
        "lifecycle/wait.py",
        "return not self._knows_its_start or (left is not None and left <= _CLOCK_TOLERANCE)",
        "return True",
        "tests/sensors/test_two_machines.py::test_a_trigger_that_says_too_early_that_time_is_up_ends_nothing",
    ),
    Mutant(
        "times of a wrong clock are kept",
        "client/polling/wait.py",
        "        state.own_started, state.failing_since = 0.0, None\n",
        "        pass\n",
        "tests/client/polling/test_wait.py::test_f89_times_of_a_wrong_clock_end_nothing",
    ),
    Mutant(
        "the deadline restarts at each retry",
        "operators/submit.py",
        "            wait = self._new_wait(mps_task_id, record.sent_at)\n",
        "            wait = self._new_wait(mps_task_id, self.hook.get_conn().clock.now())\n",
        "tests/operators/test_deadline.py::test_f24_a_retry_does_not_restart_the_clock",
    ),
    Mutant(
        "nothing is aborted at the deadline",
        "operators/submit.py",
        "        if self.cancel_on_kill:\n            result",
        "        if False:\n            result",
        "tests/operators/test_deadline.py::test_f21_a_waiting_job_is_aborted_at_the_deadline",
    ),
    Mutant(
        "the session of a triggerer is not closed",
        "client/aio.py",
        "            await self._session.close()\n",
        "            pass\n",
        "tests/client/test_transports.py::test_close_closes_the_connection",
    ),
    Mutant(
        "a secret in the trigger's arguments",
        "triggers/mps.py",
        "            region=wait.hook.region,\n",
        "            region=wait.hook.get_connection(wait.hook.mps_conn_id).password,\n",
        "tests/sensors/test_sensor.py::test_nothing_secret_is_deferred",
    ),
    Mutant(
        "a signature stays in what is shown",
        "results/redaction.py",
        '    if "://" in text:\n',
        '    if "://" in text and not text:\n',
        "tests/results/test_redaction.py::test_an_address_is_cut_before_its_secrets",
    ),
    Mutant(
        "a blocking call in the trigger",
        "triggers/mps.py",
        "            progress.report(outcome, delay=result.delay)\n",
        "            progress.report(outcome, delay=result.delay)\n            time.sleep(0.06)\n",
        "tests/triggers/test_trigger.py::test_the_loop_stays_free",
    ),
    Mutant(
        "one bad answer ends the wait",
        "client/polling/wait.py",
        "    if decide(outcome, Purpose.POLL, elapsed=state.failing(now), limits=limits).retries:\n"
        "        return None\n",
        "",
        "tests/triggers/test_trigger.py::test_trouble_is_waited_through",
    ),
    Mutant(
        "an event is taken for a verdict",
        "sensors/mps.py",
        "        wait = self._new_wait()\n        if state is None:",
        "        if event and event.get('status') == 'success':\n            return self.mps_task_id\n"
        "        wait = self._new_wait()\n        if state is None:",
        "tests/triggers/test_events.py::test_f39_a_strange_event_costs_one_poll",
    ),
    Mutant(
        "a list that lies is never switched off",
        "client/polling/hints.py",
        "        self._credit -= 1 + self._settings.points_for_mistake\n",
        "        pass\n",
        "tests/client/polling/test_bulk.py::test_lists_that_lie_change_no_verdict",
    ),
    Mutant(
        "a list that shows nothing is never switched off",
        "client/polling/bulk.py",
        "            self._accuracy.found_ended(task_id)\n",
        "            pass\n",
        "tests/client/polling/test_bulk.py::test_lists_that_show_nothing_are_switched_off",
    ),
    Mutant(
        "expedited tasks do not keep to the rate",
        "client/polling/queue.py",
        "                    self._limiter.reserve(self._expedited_rate)\n",
        "",
        "tests/client/polling/test_queue.py::test_expedited_tasks_keep_to_the_rate",
    ),
    Mutant(
        "the closing of a shared poller is not shielded",
        "client/polling/poller.py",
        "            await asyncio.shield(closing)",
        "            await closing",
        "tests/client/polling/test_poller_isolation.py::test_a_second_cancellation_leaves_no_session_open",
    ),
    Mutant(
        "a list resumes a worker again and again",
        "triggers/mps.py",
        "                state.ignores_lists = True\n",
        "",
        "tests/triggers/test_crowd.py::test_lists_resume_workers_without_a_poll",
    ),
)


class Copy:
    """A copy of the tree, in which bugs come and go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for part in _PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, folder / part)

    def failures(self, *tests: str, broken: bool = False) -> list[str]:
        """The first test that fails; with ``broken`` all, and those that did not get so far (which shows no bug)."""
        how = ["--numprocesses", "auto", "--dist", "loadfile"] if broken else ["--exitfirst"]
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *how, *tests]
        env = {**os.environ, "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=900, check=False
        )
        if done.returncode not in {0, 1}:
            raise RuntimeError(f"{' '.join(command)}:\n{done.stdout[-3000:]}{done.stderr[-2000:]}")
        words = "FAILED|ERROR" if broken else "FAILED"
        return re.findall(rf"^(?:{words}) (\S+)", done.stdout, re.MULTILINE)

    def with_bug(self, mutant: Mutant) -> list[str]:
        """The first test of a mutant that fails while it is there."""
        path = self.folder / PACKAGE / mutant.module
        sound = path.read_text(encoding="utf-8")
        path.write_text(sound.replace(mutant.old, mutant.new), encoding="utf-8")
        try:
            return self.failures(mutant.tests)
        finally:
            path.write_text(sound, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m dev.mutants", description=__doc__)
    parser.add_argument("--only", default="", help="bugs with this text in their name; nothing is written then")
    arguments = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if arguments.only in mutant.bug]
    if misfits := [mutant.bug for mutant in chosen if mutant.found() != 1]:
        print(f"These bugs no longer fit the code: {misfits}")
        return 1
    rows, unseen = [], []
    with tempfile.TemporaryDirectory(prefix="mps-mutants-") as name:
        copy = Copy(Path(name))
        if broken := copy.failures(*sorted({mutant.tests for mutant in chosen}), broken=True):
            print(f"These tests fail without any bug: {broken}")
            return 1
        for mutant in chosen:
            failed = copy.with_bug(mutant)
            print(f"{'seen' if failed else 'NOT SEEN':<9} {mutant.bug}", flush=True)
            test = mutant.tests.removeprefix("tests/")
            rows.append(f"| {mutant.bug} | `{mutant.module}` | `{test}` | {'yes' if failed else 'no'} |")
            unseen += [] if failed else [mutant.bug]
    if not arguments.only:
        head, _, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
        table = "\n".join(["| bug | module | test | seen |", "|---|---|---|---|", *rows, ""])
        PAGE.write_text(head + _BEGIN + table + _END + rest.partition(_END)[2], encoding="utf-8")
    return 1 if unseen else 0


if __name__ == "__main__":
    sys.exit(main())
